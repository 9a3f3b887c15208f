//! The binary form: [attributes as headers](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#31-binary-content-mode),
//! and the data as it is. Brokers with headers speak it too.

use super::{CloudEvent, Data, InvalidCloudEvent, percent};

/// In front of the name of each attribute.
pub(super) const PREFIX: &str = "ce-";

/// A request, or a message of a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Names in lower case, and values of visible ASCII.
    pub headers: Vec<(String, String)>,
    /// The data.
    pub body: Vec<u8>,
}

impl CloudEvent {
    /// The event as headers and a body.
    pub fn to_binary(&self) -> Message {
        let (content_type, body) = self.typed_body();
        let content_type = content_type.map(|value| ("content-type".to_owned(), percent::encode_odd(value)));
        let attributes = self.attributes().into_iter().filter(|(name, _)| *name != "datacontenttype");
        let headers = attributes.map(|(name, value)| (format!("{PREFIX}{name}"), percent::encode(&value)));
        Message { headers: headers.chain(content_type).collect(), body }
    }

    /// The event of these headers and this body. Headers that say nothing of the event are left alone; names may have capitals.
    ///
    /// # Errors
    /// [`InvalidCloudEvent`].
    pub fn from_binary<'a, H, N, V>(headers: H, body: Vec<u8>) -> Result<Self, InvalidCloudEvent>
    where
        H: IntoIterator<Item = &'a (N, V)>,
        N: AsRef<str> + 'a,
        V: AsRef<str> + 'a,
    {
        let mut attributes = Vec::new();
        for (name, value) in headers {
            let name = name.as_ref().to_ascii_lowercase();
            if name == "content-type" {
                attributes.push(("datacontenttype".to_owned(), value.as_ref().to_owned()));
            } else if let Some(name) = name.strip_prefix(PREFIX) {
                attributes.push((name.to_owned(), percent::decode(value.as_ref())?));
            }
        }
        let mut event = Self::from_attributes(attributes)?;
        event.data = event.body(body)?;
        Ok(event)
    }

    /// The data as it is, and its media type.
    pub(super) fn typed_body(&self) -> (Option<&str>, Vec<u8>) {
        let (content_type, body) = match &self.data {
            Some(Data::Json(text)) => (Some("application/json"), text.clone().into_bytes()),
            Some(Data::Text(text)) => (Some("text/plain; charset=utf-8"), text.clone().into_bytes()),
            Some(Data::Bytes(bytes)) => (Some("application/octet-stream"), bytes.clone()),
            None => (None, Vec::new()),
        };
        (self.datacontenttype.as_deref().or(content_type), body)
    }

    /// The data by its media type. No body is no data: an empty one is none of JSON, and says nothing elsewhere.
    pub(super) fn body(&self, body: Vec<u8>) -> Result<Option<Data>, InvalidCloudEvent> {
        let Some(media_type) = self.datacontenttype.as_deref().filter(|_| !body.is_empty()) else {
            return Ok((!body.is_empty()).then_some(Data::Bytes(body)));
        };
        let is_text = media_type.trim_start().to_ascii_lowercase().starts_with("text/");
        Ok(Some(match (self.is_json(), String::from_utf8(body)) {
            (true, Ok(text)) if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok() => {
                Data::Json(text)
            }
            (true, _) => return Err(InvalidCloudEvent::Data { expected: "JSON, as its media type says" }),
            (false, Ok(text)) if is_text => Data::Text(text),
            (false, Ok(text)) => Data::Bytes(text.into_bytes()),
            (false, Err(bytes)) => Data::Bytes(bytes.into_bytes()),
        }))
    }
}
