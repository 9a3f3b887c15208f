//! Redis Streams: a stream for each lane, whose ids are the events' places.

mod append;

use std::fmt;

use async_trait::async_trait;
use shared_db::redis::{Redis, Script};

use self::append::Append;
use super::{Accepted, Capabilities, Dedup, Refusal, Sink};
use crate::cloudevents::Source;
use crate::{Envelope, Error, Lane, Place};

static LAST: Script = Script::new("events_last", concat!(include_str!("ends.lua"), include_str!("last.lua")));

/// Events in one script: 250 take one or two milliseconds, during which the server serves nobody else.
const STEP: usize = 250;

/// Bytes of events in one script: a mebibyte, so that large payloads do not hold the server up either.
const STEP_BYTES: usize = 1024 * 1024;

/// Entries that a lane's stream keeps where no other number is given: with the sixteen lanes 1.6 million events, which is a day at
/// eighteen events a second, and about 1.5 GB of the server's memory at 1 KiB each.
const KEEP: u32 = 100_000;

/// The prefix of keys where no other is named.
const PREFIX: &str = "events";

/// Redis Streams, of Redis 6.2 or later, Valkey, or a cluster of either: the lane 7 is the stream `{events:7}`, and an event's entry has its
/// place as its id, such as `12-345`. Its fields are those of a CloudEvent in the binary mode, and `data`. The last place that it had is also the value of
/// `{events:7}:last`. The server must evict nothing (`maxmemory-policy noeviction`).
///
/// As a [sink](Sink) it knows each event that is sent again, refuses a relay that is behind the times, and tells what it has last, since
/// ids only grow; that holds for as long as the server keeps what it acknowledged. What it lost shows, and is brought again.
///
/// The streams belong to the log. An entry that somebody else adds is passed by, with an error in the log of whoever reads it; but one with an id that
/// is later than the next events' ([`Refusal::Foreign`]) holds its lane up until it is taken out.
///
/// Ticks are numbered by milliseconds, so an id tells when its event was cut off, and `MINID` trims by time. A stream keeps its last entries, [`keep`](Self::keep) of them and up to some hundreds
/// more; readers that fall behind further than that miss what was trimmed.
#[derive(Clone)]
pub struct RedisStreams {
    pub(crate) redis: Redis,
    prefix: String,
    keep: u32,
    source: Source,
}

impl RedisStreams {
    /// Streams whose keys begin with `{events:`, of 100,000 entries each.
    pub fn new(redis: &Redis) -> Self {
        Self { redis: redis.clone(), prefix: PREFIX.to_owned(), keep: KEEP, source: Source::default() }
    }

    /// The same under another prefix: for several logs in one Redis, or for tests.
    ///
    /// # Errors
    /// [`Error::Config`] for one that is not 1 to 63 letters, digits, `-`, `_`, `.` or `:`.
    pub fn prefix(self, prefix: &str) -> Result<Self, Error> {
        Ok(Self { prefix: super::word(prefix, "-_.:")?, ..self })
    }

    /// What the events say about where they come from, in place of `/events`.
    #[must_use]
    pub fn source(self, source: Source) -> Self {
        Self { source, ..self }
    }

    /// How many entries each lane's stream keeps, at least one. It bounds the memory of the server, and how far behind a reader may be.
    #[must_use]
    pub fn keep(self, entries: u32) -> Self {
        Self { keep: entries.max(1), ..self }
    }

    /// What its keys begin with.
    pub(crate) fn prefix_name(&self) -> &str {
        &self.prefix
    }

    /// The key of a lane's stream.
    pub fn key(&self, lane: Lane) -> String {
        format!("{{{}:{lane}}}", self.prefix)
    }

    /// The stream, and beside it the place of its last event, in the same slot.
    fn keys(&self, lane: Lane) -> [String; 2] {
        let stream = self.key(lane);
        let last = format!("{stream}:last");
        [stream, last]
    }

    /// Sends so many as fit into one script.
    async fn step(&self, lane: Lane, after: Place, events: &[Envelope]) -> Accepted {
        let call = Append::new(&self.source, events).call(&self.keys(lane), after, self.keep);
        match self.redis.script::<(usize, String, String)>(&call).await {
            Ok((count, why, said)) if why.is_empty() => {
                if !said.is_empty() {
                    tracing::warn!(stream = self.key(lane), "somebody else writes to a lane: {said}");
                }
                Accepted::all(count)
            }
            Ok((count, why, said)) if why == "fenced" => Accepted::until(count, Refusal::Fenced(said)),
            Ok((count, why, said)) if why == "foreign" => Accepted::until(count, Refusal::Foreign(said)),
            Ok((count, _, said)) => Accepted::until(count, Refusal::Later(said)),
            Err(error) => Accepted::until(0, Refusal::Later(error.to_string())),
        }
    }
}

#[async_trait]
impl Sink for RedisStreams {
    fn name(&self) -> &str {
        "redis"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Dedup::Exact, true, true, true)
    }

    async fn last(&self, lane: Lane) -> Result<Option<Place>, Refusal> {
        let call = LAST.keys(self.keys(lane));
        let (last, unknown): (String, String) =
            self.redis.script(&call).await.map_err(|error| Refusal::Later(error.to_string()))?;
        if !unknown.is_empty() {
            return Err(Refusal::Foreign(unknown));
        }
        let is_none = |_| Refusal::Foreign(format!("the entry {last} of `{}` is no place", self.key(lane)));
        let place = last.parse::<Place>().map_err(is_none)?;
        Ok(Some(place).filter(|place| *place > Place::default()))
    }

    /// Steps go one after the other: one that comes without the one before it is refused, and the order holds in any case.
    async fn send(&self, lane: Lane, after: Option<Place>, events: &[Envelope]) -> Accepted {
        let (mut after, mut count) = (after.unwrap_or_default(), 0);
        while count < events.len() {
            let step = &events[count..count + step(&events[count..])];
            let accepted = self.step(lane, after, step).await;
            count += accepted.count;
            if accepted.refusal.is_some() {
                return Accepted { count, ..accepted };
            }
            after = step.last().map_or(after, |event| after.max(event.place));
        }
        Accepted::all(count)
    }
}

/// How many of the events go into one script: at least one.
fn step(events: &[Envelope]) -> usize {
    let mut bytes = 0;
    let fits = events.iter().take(STEP).take_while(|event| {
        bytes += event.payload.len();
        bytes <= STEP_BYTES
    });
    fits.count().max(1)
}

impl fmt::Debug for RedisStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStreams")
            .field("prefix", &self.prefix)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}
