//! Kafka: a topic with a partition for each lane.

mod client;
mod produce;
mod reader;
mod record;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

pub(crate) use self::client::Client;
use self::produce::{Produced, Producing};
use self::reader::{LOOKED_AT, Last, Reader};
pub(crate) use self::record::{Mark, event};
use super::{Accepted, Capabilities, Dedup, Refusal, Sink};
use crate::cloudevents::Source;
use crate::{Envelope, Error, LANES, Lane, Place};

/// For so long brokers that hang keep a lane waiting, before they are asked anew.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// A topic of Kafka 2.4 or later: an event of lane 7 is a record of the partition 7, with the event's key as its key. Its headers are the
/// attributes of a CloudEvent as Kafka's binding has them (`ce_id`), among them its place; its value is the event's payload.
///
/// As a [sink](Sink) it keeps the order of a lane and tells what it has last, by the headers of the partition's last record. What is sent
/// again is passed over if that record is as late. But Kafka takes records from whoever sends them, so a relay that has lost its lane
/// may bring events a second time, behind later ones: readers need an inbox, and an [`Intake`](crate::Intake) passes by what it knows.
///
/// The topic belongs to the log. A record that somebody else sends there is passed by, with an error in the log of whoever reads it. A lane whose records have all been dropped for their age counts as empty.
///
/// Clones share connections, and what they have read ahead: intakes of several groups in one process are faster with a topic opened for each.
#[derive(Clone)]
pub struct KafkaTopic {
    name: String,
    source: Source,
    producing: Arc<Producing>,
    reader: Arc<Reader>,
    tails: Arc<Mutex<[Option<Tail>; LANES as usize]>>,
}

/// The end of a partition as it was when it was last looked at.
#[derive(Clone, Copy)]
struct Tail {
    /// The number that the next record gets.
    end: i64,
    /// The place of the record before it.
    place: Place,
}

impl KafkaTopic {
    /// The topic of this name, which has to be there, with sixteen partitions or more. `config` says where its brokers are
    /// (`bootstrap.servers`), and how to sign in; nothing is kept under its `group.id`. How records are sent is set here: acknowledged by all
    /// replicas in sync, idempotent, and one request at a time to each broker.
    ///
    /// # Errors
    /// [`Error::Config`] for a name of other than 1 to 63 letters, digits, `-`, `_` or `.`, for settings that the client refuses, for a
    /// `transactional.id`, and for a topic with too few partitions; [`Error::Broker`] where no broker answers.
    pub async fn open(config: ClientConfig, topic: &str) -> Result<Self, Error> {
        let name = super::word(topic, "-_.")?;
        if config.get("transactional.id").is_some() {
            return Err(Error::Config(
                "a relay sends in no transaction: take out `transactional.id`".to_owned(),
            ));
        }
        let reader = Arc::new(Reader::new(&config, &name)?);
        let (client, asked) = (reader.client(), name.clone());
        let metadata = blocking(move || client.fetch_metadata(Some(&asked), PATIENCE)).await;
        let metadata = metadata.map_err(Error::Broker)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        match found.map_or(0, |found| found.partitions().len()) {
            0 => Err(Error::Config(format!("there is no topic `{topic}`; make it with {LANES} partitions"))),
            count if count < usize::from(LANES) => Err(Error::Config(format!(
                "the topic `{topic}` has {count} partitions; it needs {LANES}, one for each lane"
            ))),
            _ => {
                let producing = Arc::new(Producing::new(config, &name));
                Ok(Self { name, source: Source::default(), producing, reader, tails: Arc::default() })
            }
        }
    }

    /// What the events say about where they come from, in place of `/events`.
    #[must_use]
    pub fn source(self, source: Source) -> Self {
        Self { source, ..self }
    }

    /// The topic's name.
    pub(crate) fn topic(&self) -> &str {
        &self.name
    }

    /// By which its records are read.
    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The place of the partition's last event, which is looked for only where its end is not as it was.
    async fn tail(&self, lane: Lane) -> Result<Option<Tail>, Refusal> {
        let (client, name) = (self.reader.client(), self.name.clone());
        let asked = move || client.fetch_watermarks(&name, partition(lane), PATIENCE);
        let (begin, end) = blocking(asked).await.map_err(Refusal::Later)?;
        if begin == end {
            return Ok(None);
        }
        if let Some(tail) = self.known(lane).filter(|tail| tail.end == end) {
            return Ok(Some(tail));
        }
        let last = self.reader.last(lane, begin, end).await;
        let tail = match last.map_err(|error| Refusal::Later(error.to_string()))? {
            Last::Place(place) => Some(Tail { end, place }),
            Last::None => None,
            Last::TooFar => {
                return Err(Refusal::Foreign(format!(
                    "the last {LOOKED_AT} records of partition {lane} of `{}` are not ours; delete those of the partition up to {end} \
                     (kafka-delete-records), and what is kept of the lane's comes again",
                    self.name
                )));
            }
        };
        self.knows(lane, tail);
        Ok(tail)
    }

    fn known(&self, lane: Lane) -> Option<Tail> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(lane.number())]
    }

    fn knows(&self, lane: Lane, tail: Option<Tail>) {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(lane.number())] = tail;
    }

    /// Sends events that are not there, as far as is known. Those that are refused together are sent again one by one, which shows which of
    /// them is meant.
    pub(crate) async fn bring(&self, lane: Lane, events: &[Envelope]) -> Accepted {
        let (mut sent, mut step) = (0, events.len());
        while sent < events.len() {
            let portion = &events[sent..events.len().min(sent + step)];
            let Produced { count, last, failed } = self.producing.send(&self.source, lane, portion).await;
            sent += count;
            let place = count.checked_sub(1).and_then(|last| portion.get(last)).map(|event| event.place);
            self.knows(lane, place.zip(last).map(|(place, last)| Tail { end: last + 1, place }));
            match failed {
                None => {}
                Some(Refusal::Never(_)) if step > 1 => step = 1,
                Some(refusal) => return Accepted::until(sent, refusal),
            }
        }
        Accepted::all(sent)
    }
}

#[async_trait]
impl Sink for KafkaTopic {
    fn name(&self) -> &str {
        "kafka"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Dedup::None, false, true, true)
    }

    async fn last(&self, lane: Lane) -> Result<Option<Place>, Refusal> {
        Ok(self.tail(lane).await?.map(|tail| tail.place))
    }

    async fn send(&self, lane: Lane, after: Option<Place>, events: &[Envelope]) -> Accepted {
        let has = match self.last(lane).await {
            Ok(last) => last.unwrap_or_default(),
            Err(refusal) => return Accepted::until(0, refusal),
        };
        let after = after.unwrap_or_default();
        if has != after {
            return Accepted::until(0, Refusal::Fenced(format!("its last event is {has}, and was {after}")));
        }
        let known = events.partition_point(|event| event.place <= has);
        let brought = self.bring(lane, &events[known..]).await;
        Accepted { count: known + brought.count, ..brought }
    }
}

impl fmt::Debug for KafkaTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaTopic").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The partition of a lane has its number.
pub(crate) fn partition(lane: Lane) -> i32 {
    i32::from(lane.number())
}

/// What went wrong, without the values of settings: passwords are among them.
pub(crate) fn said(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, setting, _) => format!("the client refuses the setting `{setting}`"),
        error => error.to_string(),
    }
}

/// What the client only does while it blocks, on a thread for that.
pub(crate) async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(ask).await {
        Ok(answer) => answer.map_err(|error| said(&error)),
        Err(ended) => Err(ended.to_string()),
    }
}
