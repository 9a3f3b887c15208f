//! A record as an event.

use std::fmt;

use rdkafka::message::{Headers, Message};

use crate::cloudevents::CloudEvent;
use crate::{Envelope, Place};

/// A record as it is in its partition.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) offset: i64,
    /// The length of its value.
    pub(super) bytes: usize,
    pub(crate) event: Result<Envelope, String>,
}

/// A record by its number and the place that it has: of a topic that was made anew the number alone may be another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(super) offset: i64,
    place: Place,
}

impl Record {
    pub(super) fn new(message: &impl Message) -> Self {
        let bytes = message.payload().map_or(0, <[u8]>::len);
        Self { offset: message.offset(), bytes, event: event(message) }
    }

    pub(crate) fn mark(&self) -> Mark {
        let place = self.event.as_ref().map(|event| event.place);
        Mark { offset: self.offset, place: place.unwrap_or_default() }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.offset, self.place)
    }
}

impl Mark {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (offset, place) = text.split_once(' ')?;
        Some(Self { offset: offset.parse().ok()?, place: place.parse().ok()? })
    }
}

/// The event of a record, or why it is none.
pub(crate) fn event(message: &impl Message) -> Result<Envelope, String> {
    let headers = message.headers().ok_or("it has no headers")?;
    // What is no text is somebody else's.
    let texts: Vec<_> =
        headers.iter().filter_map(|of| Some((of.key, std::str::from_utf8(of.value?).ok()?))).collect();
    let event = CloudEvent::from_kafka(&texts, message.payload().unwrap_or_default().to_vec());
    Envelope::try_from(event.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
}
