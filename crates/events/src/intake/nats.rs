//! NATS JetStream as a source, and a durable consumer of any stream.

use std::fmt;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::{self, Message};
use async_trait::async_trait;
use futures_util::StreamExt;

use super::group::REDELIVERED;
use super::{Delivery, Group, Read, Source, Taken};
use crate::sink::{JetStream, fields};
use crate::{Envelope, Error, Lane, Place};

/// For so long a server that hangs keeps a lane waiting, before it is asked anew.
const PATIENCE: Duration = Duration::from_secs(5);

/// For so long the server keeps a consumer that was left behind.
const CONSUMER: Duration = Duration::from_secs(10);

/// A message by its number and the place that it has: of a stream that was made anew the number alone may be another's.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mark {
    sequence: u64,
    place: Place,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.sequence, self.place)
    }
}

impl Mark {
    fn parse(text: &str) -> Option<Self> {
        let (sequence, place) = text.split_once(' ')?;
        Some(Self { sequence: sequence.parse().ok()?, place: place.parse().ok()? })
    }

    fn of(message: &StreamMessage) -> Self {
        Self { sequence: message.sequence, place: place(&message.headers) }
    }
}

#[async_trait]
impl Source for JetStream {
    fn name(&self) -> String {
        format!("nats:{}", self.stream_name())
    }

    /// Where nothing is new, that is one question: what the lane's last message is.
    async fn read(&self, lane: Lane, mark: Option<&str>, most: usize) -> Result<Read, Error> {
        let Some(top) = self.top(lane).await.map_err(Error::Broker)? else { return Ok(Read::default()) };
        let mark = mark.and_then(Mark::parse);
        if mark == Some(Mark::of(&top)) {
            return Ok(Read::default());
        }
        // A stream that has lost its end, or was made anew: what is known of it is told by the places.
        let mark = mark.filter(|mark| mark.sequence < top.sequence);
        let since = mark.map_or(1, |mark| mark.sequence);
        let most = most.saturating_add(usize::from(mark.is_some()));
        let mut messages = self.fetch(lane, since, most).await?;
        let first = messages.first().map(Self::mark_of);
        let Some(mark) = mark else { return Ok(Read::new(self.taken(lane, messages), false)) };
        if first == Some(mark) {
            messages.remove(0);
            return Ok(Read::new(self.taken(lane, messages), false));
        }
        // It was trimmed, or numbered anew: then what was not read may stand before it.
        let is_trimmed = first.is_none_or(|first| first.sequence != mark.sequence);
        Ok(Read::new(self.taken(lane, self.fetch(lane, 1, most).await?), is_trimmed))
    }
}

impl JetStream {
    /// The lane's messages from this number on, without a gap.
    async fn fetch(&self, lane: Lane, since: u64, most: usize) -> Result<Vec<Message>, Error> {
        let config = pull::Config {
            filter_subject: self.subject(lane),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: since },
            ack_policy: AckPolicy::None,
            inactive_threshold: CONSUMER,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = self.stream.create_consumer(config).await.map_err(|error| broker(&error))?;
        let fetched = self.fetched(&consumer, most).await;
        // What can't be deleted now goes by itself.
        let _ = self.stream.delete_consumer(&consumer.cached_info().name).await;
        fetched
    }

    async fn fetched(&self, consumer: &Consumer<pull::Config>, most: usize) -> Result<Vec<Message>, Error> {
        let batch = consumer.fetch().max_messages(most).messages().await;
        let mut batch = batch.map_err(|error| broker(&error))?;
        let mut messages = Vec::new();
        while let Some(message) = next(&mut batch).await? {
            let message = message.map_err(|error| broker(&error))?;
            let number = message.info().map_err(|error| broker(&error))?.consumer_sequence;
            // A line that broke may have swallowed some: those behind them come with the next look.
            if number != messages.len() as u64 + 1 {
                break;
            }
            messages.push(message);
        }
        Ok(messages)
    }

    fn taken(&self, lane: Lane, messages: Vec<Message>) -> Vec<Taken> {
        let taken = messages.into_iter().map(|message| {
            let mark = Self::mark_of(&message).to_string();
            Taken::new(mark, event(lane, &message))
        });
        taken.collect()
    }

    fn mark_of(message: &Message) -> Mark {
        let sequence = message.info().map(|info| info.stream_sequence).unwrap_or_default();
        Mark { sequence, place: message.headers.as_ref().map(place).unwrap_or_default() }
    }
}

/// The next message; none where the server says that these were all.
async fn next(batch: &mut pull::Batch) -> Result<Option<Result<Message, async_nats::Error>>, Error> {
    let next = tokio::time::timeout(PATIENCE, batch.next()).await;
    next.map_err(|_| Error::Broker(format!("the server said nothing for {PATIENCE:?}")))
}

fn place(headers: &HeaderMap) -> Place {
    headers.get_last(fields::PLACE).and_then(|place| place.as_str().parse().ok()).unwrap_or_default()
}

/// An event of a lane's subject.
fn event(lane: Lane, message: &Message) -> Result<Envelope, String> {
    let event = read(message)?;
    if event.lane == lane { Ok(event) } else { Err("its lane is another than its subject says".to_owned()) }
}

fn read(message: &Message) -> Result<Envelope, String> {
    let headers = message.headers.as_ref().ok_or("it has no headers")?;
    let fields: Vec<_> = headers
        .iter()
        .filter_map(|(name, values)| Some((name.to_string(), values.last()?.as_str().to_owned())))
        .collect();
    fields::read(&fields, message.payload.to_vec())
}

fn broker(error: &dyn fmt::Display) -> Error {
    Error::Broker(error.to_string())
}

/// A durable consumer of a stream, whoever writes to it: for events that come in no order. What a reader does not acknowledge for a minute
/// goes to another.
pub struct JetStreamGroup {
    context: jetstream::Context,
    consumer: Consumer<pull::Config>,
    name: String,
}

impl JetStreamGroup {
    /// The durable consumer of this name of the stream. Where it is not there it is made, and begins with the stream's first message of
    /// the subject `filter`, such as `orders.>`.
    ///
    /// # Errors
    /// [`Error::Broker`].
    pub async fn open(
        context: jetstream::Context,
        stream: &str,
        filter: &str,
        group: &str,
    ) -> Result<Self, Error> {
        let config = pull::Config {
            durable_name: Some(group.to_owned()),
            filter_subject: filter.to_owned(),
            ack_policy: AckPolicy::Explicit,
            ack_wait: REDELIVERED,
            ..pull::Config::default()
        };
        let of = context.get_stream_no_info(stream).await.map_err(|error| broker(&error))?;
        let consumer = of.get_or_create_consumer(group, config).await.map_err(|error| broker(&error))?;
        Ok(Self { context, consumer, name: format!("nats:{stream}:{group}") })
    }
}

#[async_trait]
impl Group for JetStreamGroup {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn take(&self, most: usize) -> Result<Vec<Delivery>, Error> {
        let batch = self.consumer.fetch().max_messages(most).messages().await;
        let mut batch = batch.map_err(|error| broker(&error))?;
        let mut taken = Vec::new();
        while let Some(message) = next(&mut batch).await? {
            let message = message.map_err(|error| broker(&error))?;
            let token = message.reply.as_ref().map(ToString::to_string).unwrap_or_default();
            taken.push(Delivery::new(token, read(&message)));
        }
        Ok(taken)
    }

    async fn waiting(&self) -> Result<Option<u64>, Error> {
        let info = self.consumer.get_info().await.map_err(|error| broker(&error))?;
        Ok(Some(info.num_pending + info.num_ack_pending as u64))
    }

    async fn acknowledge(&self, tokens: &[String]) -> Result<(), Error> {
        let client = self.context.client();
        for token in tokens {
            client.publish(token.clone(), "+ACK".into()).await.map_err(|error| broker(&error))?;
        }
        client.flush().await.map_err(|error| broker(&error))
    }
}

impl fmt::Debug for JetStreamGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JetStreamGroup").field("name", &self.name).finish_non_exhaustive()
    }
}
