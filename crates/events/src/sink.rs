//! Where a relay brings events to: one trait, whose implementations say what they can guarantee.

#[cfg(any(feature = "redis", feature = "nats"))]
pub(crate) mod fields;
#[cfg(feature = "kafka")]
pub(crate) mod kafka;
#[cfg(feature = "nats")]
mod nats;
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;

use async_trait::async_trait;
use shared_core::Config as Schema;

#[cfg(feature = "kafka")]
pub use self::kafka::KafkaTopic;
#[cfg(feature = "nats")]
pub use self::nats::JetStream;
pub use self::postgres::PostgresLog;
#[cfg(feature = "redis")]
pub use self::redis::RedisStreams;
use crate::{Envelope, Error, Lane, Place};

#[cfg(test)]
pub(crate) use self::postgres::STATEMENTS;

/// Whether a sink knows an event that is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Dedup {
    /// It does not: consumers need an inbox.
    None,
    /// For some time, or for some number of events.
    Window,
    /// Always.
    Exact,
}

/// What a relay promises of the events at its sink. Each asks for what those before it do, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Schema)]
#[non_exhaustive]
pub enum Guarantee {
    /// Each event was there once at least. It may be there again, and behind later ones; what the sink itself loses may be gone. Whoever
    /// reads it needs an inbox.
    AtLeastOnce,
    /// A lane's events are in order but for those that are there again, and what the sink loses comes again. It needs a sink that keeps the
    /// order, and says what it has last.
    Restored,
    /// Each event is there once. It needs a sink that always knows what is sent again, and refuses what comes late from a relay that has lost
    /// its lane.
    #[default]
    Exact,
}

/// What a sink can do. A relay refuses to start where its [`Guarantee`] needs more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Whether an event that is sent again is known.
    pub dedup: Dedup,
    /// Whether the sends of a relay that has lost its lane are refused.
    pub fencing: bool,
    /// Whether it can say what it has last: without, what a broker lost can't be brought again.
    pub readable: bool,
    /// Whether a lane's events stay in order.
    pub ordered: bool,
}

impl Capabilities {
    /// What a sink can do.
    pub const fn new(dedup: Dedup, fencing: bool, readable: bool, ordered: bool) -> Self {
        Self { dedup, fencing, readable, ordered }
    }

    /// What it can't do, of what this guarantee needs.
    pub(crate) fn lacks(self, guarantee: Guarantee) -> Vec<&'static str> {
        let needs = [
            (Guarantee::Restored, self.ordered, "keep the order of a lane"),
            (Guarantee::Restored, self.readable, "say what it has last"),
            (Guarantee::Exact, self.dedup == Dedup::Exact, "always know what is sent again"),
            (Guarantee::Exact, self.fencing, "refuse a relay that has lost its lane"),
        ];
        let lacks = needs.into_iter().filter(|(by, can, _)| *by <= guarantee && !can);
        lacks.map(|(_, _, need)| need).collect()
    }
}

/// Why a sink took no more.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// This event will never be taken, such as one that is too large: it is parked, and those behind it go on.
    Never(String),
    /// It can't be reached, or is too busy: the same is sent again after a wait.
    Later(String),
    /// The lane is not as the relay left it: somebody else wrote to it, or something was lost. The relay has to ask whether the lane is
    /// still its own, and what was last.
    Fenced(String),
    /// Somebody else has written to the lane what the next event can't stand behind: the lane waits until that is taken out, and the others go on.
    /// The text says what that is.
    Foreign(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never(why) => write!(f, "it will never be taken: {why}"),
            Self::Later(why) => write!(f, "it can't be taken now: {why}"),
            Self::Fenced(why) => write!(f, "the lane is not as it was left: {why}"),
            Self::Foreign(why) => write!(f, "somebody else has written there: {why}"),
        }
    }
}

/// How much of what was sent is there now: the first so many, and why the next one is not.
#[derive(Debug)]
#[non_exhaustive]
pub struct Accepted {
    /// The length of the prefix that was accepted, or was there before.
    pub count: usize,
    /// Why the event behind it was not; `None` if all were.
    pub refusal: Option<Refusal>,
}

impl Accepted {
    /// All of them.
    pub const fn all(count: usize) -> Self {
        Self { count, refusal: None }
    }

    /// The first so many, and why no more.
    pub const fn until(count: usize, refusal: Refusal) -> Self {
        Self { count, refusal: Some(refusal) }
    }
}

/// A place outside of the log to which events are brought, in the order of each lane.
#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// A word for it in logs, metrics and `explain`, such as `redis`.
    fn name(&self) -> &str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// The place of the last event that it has of this lane; `None` if it has none. Only asked of those that are readable: when a
    /// relay is granted the lane, after [`Refusal::Fenced`], and now and then where nothing is to be sent.
    ///
    /// # Errors
    /// Why it can't say so now.
    async fn last(&self, lane: Lane) -> Result<Option<Place>, Refusal>;

    /// Takes events of one lane, in their order, and stops at the first that it can't take. What is there up to `after` counts as accepted.
    ///
    /// `after` is the last place that the relay knows it to have: its own answer to [`last`](Self::last), or what it accepted since.
    /// A sink that has another one takes nothing ([`Refusal::Fenced`]). With less it has lost something, which could not come back in order; with
    /// more the relay has to look whether that is of the log, or events would be taken for sent. One that can't say what it has last can't compare.
    ///
    /// Dropping the future leaves open what was taken.
    async fn send(&self, lane: Lane, after: Option<Place>, events: &[Envelope]) -> Accepted;
}

/// A word that is part of names elsewhere, or why it can't be.
fn word(word: &str, besides: &str) -> Result<String, Error> {
    let is_fit = |letter: char| letter.is_ascii_alphanumeric() || besides.contains(letter);
    if !(1..=63).contains(&word.len()) || !word.chars().all(is_fit) {
        let letters = besides.chars().map(|letter| format!("`{letter}`")).collect::<Vec<_>>().join(", ");
        return Err(Error::Config(format!(
            "`{word}` can be no part of a name: 1 to 63 letters, digits, {letters}"
        )));
    }
    Ok(word.to_owned())
}
