//! An event as names and values beside its payload: a CloudEvent in the binary mode.

use crate::Envelope;
use crate::cloudevents::CloudEvent;

/// The place of an event in its lane, as it stands in headers.
pub(crate) const PLACE: &str = "ce-place";

/// Where a broker has no body, the payload is a field of this name.
#[cfg(feature = "redis")]
pub(crate) const DATA: &str = "data";

/// The event of these fields and this body, or why they are none.
pub(crate) fn read(fields: &[(String, String)], body: Vec<u8>) -> Result<Envelope, String> {
    let event = CloudEvent::from_binary(fields, body).map_err(|error| error.to_string())?;
    Envelope::try_from(event).map_err(|error| error.to_string())
}
