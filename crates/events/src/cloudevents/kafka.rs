//! The binary form as [Kafka has it](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md#32-binary-content-mode):
//! headers with another prefix, whose values are any text.

use super::{CloudEvent, InvalidCloudEvent, Message};

/// In front of the name of each attribute.
const PREFIX: &str = "ce_";

impl CloudEvent {
    /// The event as the headers and the value of a record.
    pub fn to_kafka(&self) -> Message {
        let (content_type, body) = self.typed_body();
        let content_type = content_type.map(|value| ("content-type".to_owned(), value.to_owned()));
        let attributes = self.attributes().into_iter().filter(|(name, _)| *name != "datacontenttype");
        let headers = attributes.map(|(name, value)| (format!("{PREFIX}{name}"), value));
        Message { headers: headers.chain(content_type).collect(), body }
    }

    /// The event of these headers and this value. Headers that say nothing of the event are left alone.
    ///
    /// # Errors
    /// [`InvalidCloudEvent`].
    pub fn from_kafka<'a, H, N, V>(headers: H, body: Vec<u8>) -> Result<Self, InvalidCloudEvent>
    where
        H: IntoIterator<Item = &'a (N, V)>,
        N: AsRef<str> + 'a,
        V: AsRef<str> + 'a,
    {
        let attributes = headers.into_iter().filter_map(|(name, value)| {
            let name = match name.as_ref() {
                "content-type" => "datacontenttype",
                name => name.strip_prefix(PREFIX)?,
            };
            Some((name.to_owned(), value.as_ref().to_owned()))
        });
        let mut event = Self::from_attributes(attributes)?;
        event.data = event.body(body)?;
        Ok(event)
    }
}
