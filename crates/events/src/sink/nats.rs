//! NATS JetStream: a stream with a subject for each lane.

use std::fmt;

use async_nats::HeaderMap;
use async_nats::jetstream::context::{Context, PublishErrorKind};
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, LastRawMessageErrorKind, RetentionPolicy, StorageType, Stream,
};
use async_nats::jetstream::{self, ErrorCode};
use async_trait::async_trait;

use super::{Accepted, Capabilities, Dedup, Refusal, Sink, fields};
use crate::cloudevents::{Headers, Source};
use crate::{Envelope, Error, Lane, Place};

/// Messages that a lane keeps where no other number is given: with the sixteen lanes 1.6 million events.
const KEEP: u32 = 100_000;

/// A stream of NATS JetStream 2.9 or later: an event of lane 7 is a message of the subject `events.7`, where `events` is the stream's name.
/// Its headers are the attributes of a CloudEvent in the binary mode, among them its place; its payload is the event's.
///
/// As a [sink](Sink) it knows each event that is sent again, and refuses a relay that is behind the times: each message names the one
/// that it comes behind (`Nats-Expected-Last-Subject-Sequence`). What it has last stands in the headers of the last message. That holds
/// for as long as the server keeps what it acknowledged, which by its own default is flushed to the disk every two minutes; what it
/// lost shows, and is brought again. The window of `Nats-Msg-Id` is not used: it would swallow what is brought again.
///
/// The stream belongs to the log. A message that somebody else publishes to a lane holds it up ([`Refusal::Foreign`]) until it is deleted.
///
/// A message goes when the one before it is acknowledged, so a lane takes one event a round trip; lanes go side by side.
#[derive(Clone)]
pub struct JetStream {
    pub(crate) context: Context,
    pub(crate) stream: Stream<()>,
    name: String,
    source: Source,
}

impl JetStream {
    /// The stream of this name, which is made if it is not there: on disk, with the subjects `{name}.*`, of which each keeps its last
    /// 100,000 messages. What else a stream can have, such as replicas, it is made with before.
    ///
    /// # Errors
    /// [`Error::Config`] for a name of other than 1 to 63 letters, digits, `-` or `_`, for a stream that does not take these subjects, does
    /// not acknowledge, or may drop the last message of a lane: by age, by the number or the size of all its messages, or since it was
    /// read; [`Error::Broker`] where the server says nothing, or refuses.
    pub async fn open(context: Context, name: &str) -> Result<Self, Error> {
        let name = super::word(name, "-_")?;
        let wanted = Config {
            name: name.clone(),
            subjects: vec![format!("{name}.*")],
            max_messages_per_subject: i64::from(KEEP),
            storage: StorageType::File,
            ..Config::default()
        };
        let broker = |error: &dyn fmt::Display| Error::Broker(format!("the stream `{name}`: {error}"));
        let found = context.get_or_create_stream(wanted).await.map_err(|error| broker(&error))?;
        check(&name, &found.cached_info().config)?;
        let stream = context.get_stream_no_info(&name).await.map_err(|error| broker(&error))?;
        Ok(Self { context, stream, name, source: Source::default() })
    }

    /// The stream's name.
    pub(crate) fn stream_name(&self) -> &str {
        &self.name
    }

    /// What the events say about where they come from, in place of `/events`.
    #[must_use]
    pub fn source(self, source: Source) -> Self {
        Self { source, ..self }
    }

    /// The subject of a lane.
    pub fn subject(&self, lane: Lane) -> String {
        format!("{}.{lane}", self.name)
    }

    /// The last message of a lane.
    pub(crate) async fn top(&self, lane: Lane) -> Result<Option<StreamMessage>, String> {
        match self.stream.get_last_raw_message_by_subject(&self.subject(lane)).await {
            Ok(message) => Ok(Some(message)),
            Err(error) => match error.kind() {
                LastRawMessageErrorKind::NoMessageFound => Ok(None),
                LastRawMessageErrorKind::JetStream(said)
                    if said.error_code() == ErrorCode::NO_MESSAGE_FOUND =>
                {
                    Ok(None)
                }
                _ => Err(error.to_string()),
            },
        }
    }

    /// Sends an event as the one behind the message of this number, and returns its own.
    async fn publish(&self, subject: &str, behind: u64, event: &Envelope) -> Result<u64, Refusal> {
        let (mut named, mut headers) = (HeaderMap::new(), Headers::default());
        self.source.headers(event, &mut headers);
        for (name, value) in headers.iter() {
            named.insert(name, value);
        }
        let message = PublishMessage::build()
            .payload(event.payload.clone().into())
            .headers(named)
            .expected_stream(&self.name)
            .expected_last_subject_sequence(behind);
        let sent = async { self.context.send_publish(subject.to_owned(), message).await?.await };
        let acknowledged = sent.await.map_err(|error| refusal(&error))?;
        Ok(acknowledged.sequence)
    }
}

/// The place that a message of ours names.
pub(crate) fn place(message: &StreamMessage) -> Option<Place> {
    message.headers.get_last(fields::PLACE)?.as_str().parse().ok()
}

fn refusal(error: &jetstream::context::PublishError) -> Refusal {
    // A source is what the server said; it is private to the error, but for its text.
    let text = error.to_string();
    match error.kind() {
        PublishErrorKind::WrongLastSequence => Refusal::Fenced(text),
        PublishErrorKind::MaxPayloadExceeded => Refusal::Never(text),
        PublishErrorKind::Other if text.contains("exceeds maximum") => Refusal::Never(text),
        _ => Refusal::Later(text),
    }
}

/// Refuses a stream in which a lane's last place could not be relied on.
fn check(name: &str, config: &Config) -> Result<(), Error> {
    let refused = |reason: &str| Err(Error::Config(format!("the stream `{name}` {reason}")));
    let (all, some) = (format!("{name}.*"), format!("{name}.>"));
    if !config.subjects.iter().any(|subject| *subject == all || *subject == some) {
        return refused(&format!("does not take the subjects `{all}`"));
    }
    if config.no_ack {
        return refused("acknowledges nothing");
    }
    if config.retention != RetentionPolicy::Limits {
        return refused("drops messages that were read; its retention must be by limits");
    }
    let drops_oldest = config.discard == DiscardPolicy::Old;
    if !config.max_age.is_zero() || (drops_oldest && (config.max_messages > 0 || config.max_bytes > 0)) {
        return refused(
            "may drop a lane's last message, from which its place is known; limit its messages per subject instead",
        );
    }
    Ok(())
}

#[async_trait]
impl Sink for JetStream {
    fn name(&self) -> &str {
        "nats"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Dedup::Exact, true, true, true)
    }

    async fn last(&self, lane: Lane) -> Result<Option<Place>, Refusal> {
        let top = self.top(lane).await.map_err(Refusal::Later)?;
        top.map(|message| place(&message).ok_or_else(|| foreign(&self.name, &message))).transpose()
    }

    async fn send(&self, lane: Lane, after: Option<Place>, events: &[Envelope]) -> Accepted {
        let (mut behind, has) = match self.top(lane).await {
            Ok(None) => (0, Place::default()),
            Ok(Some(message)) => match place(&message) {
                Some(place) => (message.sequence, place),
                None => return Accepted::until(0, foreign(&self.name, &message)),
            },
            Err(said) => return Accepted::until(0, Refusal::Later(said)),
        };
        if has != after.unwrap_or_default() {
            let said = format!("its last event is {has}, and was {}", after.unwrap_or_default());
            return Accepted::until(0, Refusal::Fenced(said));
        }
        let subject = self.subject(lane);
        for (count, event) in events.iter().enumerate() {
            if event.place <= has {
                continue;
            }
            match self.publish(&subject, behind, event).await {
                Ok(sequence) => behind = sequence,
                Err(refusal) => return Accepted::until(count, refusal),
            }
        }
        Accepted::all(events.len())
    }
}

fn foreign(stream: &str, message: &StreamMessage) -> Refusal {
    Refusal::Foreign(format!(
        "message {number} of `{}` names no place; take it out with `nats stream rmm {stream} {number}`",
        message.subject,
        number = message.sequence
    ))
}

impl fmt::Debug for JetStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JetStream").field("name", &self.name).finish_non_exhaustive()
    }
}
