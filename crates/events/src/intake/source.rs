use async_trait::async_trait;

use crate::{Envelope, Error, Lane};

/// A broker from which the events of each lane are read in their order. The [sinks](crate::sink) that are brokers are sources, too.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// What is read, such as `redis:events`: how far a group has come is kept under this name and its own.
    fn name(&self) -> String;

    /// The events of a lane behind `mark`, or from the first one that is there, in their order and at most `most`; none if there are none
    /// yet. It waits for none.
    ///
    /// # Errors
    /// [`Error::Broker`] or [`Error::Database`]: why it can't be read now. Dropping the future changes nothing.
    async fn read(&self, lane: Lane, mark: Option<&str>, most: usize) -> Result<Read, Error>;
}

/// What was read of a lane.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Read {
    /// In their order.
    pub taken: Vec<Taken>,
    /// Whether the event of the mark is gone, and with it perhaps some that were not read: the broker kept too few of them.
    pub missed: bool,
}

impl Read {
    /// What was read, and whether some may have been missed before.
    pub const fn new(taken: Vec<Taken>, missed: bool) -> Self {
        Self { taken, missed }
    }
}

/// An event as the broker has it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Taken {
    /// The broker's word for it, by which the next ones are found.
    pub mark: String,
    /// The event, or why it is none that can be read.
    pub event: Result<Envelope, String>,
}

impl Taken {
    /// An event with the broker's word for it.
    pub const fn new(mark: String, event: Result<Envelope, String>) -> Self {
        Self { mark, event }
    }
}
