//! Events as other systems know them: [CloudEvents 1.0](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md), structured,
//! binary and in batches, there and back.
//!
//! ```
//! use shared_events::cloudevents::{CloudEvent, Data};
//!
//! let text = r#"{"specversion":"1.0","id":"7","source":"/notes","type":"note.created","data":{"note":1}}"#;
//! let event = CloudEvent::from_json(text)?;
//! assert_eq!((event.kind.as_str(), &event.data), ("note.created", &Some(Data::Json(r#"{"note":1}"#.to_owned()))));
//!
//! let message = event.to_binary();
//! assert!(message.headers.contains(&("ce-type".to_owned(), "note.created".to_owned())));
//! assert_eq!(CloudEvent::from_binary(&message.headers, message.body)?.kind, "note.created");
//! # Ok::<(), shared_events::cloudevents::InvalidCloudEvent>(())
//! ```
//!
//! # How an event of the log looks
//! | attribute | what |
//! |---|---|
//! | `id` | the event's id |
//! | `source` | the program, as its [`Source`] says |
//! | `type`, `subject` | its name and its key |
//! | `time` | when its transaction wrote it |
//! | `datacontenttype` | `application/json` |
//! | `dataschema` | `event:` and its name and version: `event:note.created/1` |
//! | `tenantid`, `siteid` | whose it is |
//! | `actor`, `delegate` | who acted, and in whose place |
//! | `correlationid`, `causationid`, `traceparent` | the conversation, the event that led to it, the span that published it |
//! | `eventversion` | the version of its fields |
//! | `lane`, `place` | where it is in the order: later events of a lane have greater places |
//! | `replay` | `true` where it is delivered once more, by a replay |

mod binary;
#[cfg(any(feature = "redis", feature = "nats"))]
mod headers;
mod json;
mod kafka;
mod mapping;
mod percent;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use binary::Message;
#[cfg(any(feature = "redis", feature = "nats"))]
pub(crate) use headers::Headers;
pub use mapping::Source;

/// The content type of one event in the structured form.
pub const STRUCTURED: &str = "application/cloudevents+json";

/// The content type of several events in the structured form.
pub const BATCH: &str = "application/cloudevents-batch+json";

/// The version of the specification that is spoken here.
const SPEC: &str = "1.0";

/// An event in the words of the specification, whoever made it.
#[derive(Clone, PartialEq, Eq)]
pub struct CloudEvent {
    /// Its identity, unique within its source.
    pub id: String,
    /// Where it happened: a URI, or a part of one.
    pub source: String,
    /// What happened: the attribute `type`.
    pub kind: String,
    /// What it is about.
    pub subject: Option<String>,
    /// When it happened.
    pub time: Option<OffsetDateTime>,
    /// The media type of the data; JSON if there is none.
    pub datacontenttype: Option<String>,
    /// The schema of the data: a URI.
    pub dataschema: Option<String>,
    /// Whatever else is said about it, in the canonical text of each value: every transport but JSON carries texts. The names are
    /// lower-case letters and digits.
    pub extensions: BTreeMap<String, String>,
    /// What it says.
    pub data: Option<Data>,
}

/// What an event says.
#[derive(Clone, PartialEq, Eq)]
pub enum Data {
    /// A JSON value, as it was written.
    Json(String),
    /// A text of another media type.
    Text(String),
    /// Anything else.
    Bytes(Vec<u8>),
}

impl CloudEvent {
    /// The event with the attributes that each must have.
    pub fn new(id: impl Into<String>, source: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            source: source.into(),
            kind: kind.into(),
            subject: None,
            time: None,
            datacontenttype: None,
            dataschema: None,
            extensions: BTreeMap::new(),
            data: None,
        }
    }

    /// All attributes by their names, in their canonical texts: those that it must have first, then the others.
    pub fn attributes(&self) -> Vec<(&str, String)> {
        let time = self.time.and_then(|time| time.format(&Rfc3339).ok());
        let optional = [
            ("subject", self.subject.clone()),
            ("time", time),
            ("datacontenttype", self.datacontenttype.clone()),
            ("dataschema", self.dataschema.clone()),
        ];
        [("specversion", SPEC), ("id", &self.id), ("source", &self.source), ("type", &self.kind)]
            .map(|(name, value)| (name, value.to_owned()))
            .into_iter()
            .chain(optional.into_iter().filter_map(|(name, value)| Some((name, value?))))
            .chain(self.extensions.iter().map(|(name, value)| (name.as_str(), value.clone())))
            .collect()
    }

    /// The event of these attributes, without data. The names are in lower case.
    ///
    /// # Errors
    /// [`InvalidCloudEvent`] where one is missing that must be there, or what it says is not what its type allows.
    pub fn from_attributes(
        attributes: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, InvalidCloudEvent> {
        let mut all = BTreeMap::new();
        for (name, value) in attributes {
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
                return Err(InvalidCloudEvent::Name);
            }
            if name == "data" || all.insert(name.clone(), value).is_some() {
                return Err(InvalidCloudEvent::Attribute {
                    name,
                    expected: "it to be there once, as an attribute",
                });
            }
        }
        if all.remove("specversion").as_deref() != Some(SPEC) {
            return Err(InvalidCloudEvent::attribute("specversion", "`1.0`"));
        }
        let mut required = |name| {
            let value = all.remove(name).filter(|value| !value.is_empty());
            value.ok_or(InvalidCloudEvent::attribute(name, "a text that is not empty"))
        };
        let mut event = Self::new(required("id")?, required("source")?, required("type")?);
        let mut optional = |name| match all.remove(name) {
            Some(value) if value.is_empty() => {
                Err(InvalidCloudEvent::attribute(name, "a text that is not empty, or nothing"))
            }
            value => Ok(value),
        };
        event.subject = optional("subject")?;
        event.time = optional("time")?.as_deref().map(time).transpose()?;
        event.datacontenttype = optional("datacontenttype")?;
        event.dataschema = optional("dataschema")?;
        event.extensions = all;
        Ok(event)
    }

    /// Whether the data is JSON, by what is said about it.
    fn is_json(&self) -> bool {
        self.datacontenttype.as_deref().is_none_or(is_json)
    }
}

fn time(text: &str) -> Result<OffsetDateTime, InvalidCloudEvent> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| InvalidCloudEvent::attribute("time", "a time such as 2018-04-05T17:31:00Z"))
}

/// Whether a media type is `..json` or `..+json`, whatever its parameters.
fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some((_, subtype)) = essence.split_once('/') else { return false };
    subtype == "json" || subtype.ends_with("+json")
}

/// Without the data, which has no place in a log line.
impl fmt::Debug for CloudEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudEvent")
            .field("id", &self.id)
            .field("source", &self.source)
            .field("type", &self.kind)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, length) = match self {
            Self::Json(text) => ("Json", text.len()),
            Self::Text(text) => ("Text", text.len()),
            Self::Bytes(bytes) => ("Bytes", bytes.len()),
        };
        write!(f, "{kind}({length} bytes)")
    }
}

/// Why something is no event. It quotes nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCloudEvent {
    /// It is not JSON, or not an object; in a batch, not a list of those.
    #[error("expected a JSON object for each event")]
    Json,
    /// The name of an attribute is not one.
    #[error("the name of an attribute has lower-case letters and digits alone")]
    Name,
    /// An attribute is missing, or not what it must be.
    #[error("attribute `{name}`: expected {expected}")]
    #[non_exhaustive]
    Attribute {
        /// Its name.
        name: String,
        /// What it would have to be.
        expected: &'static str,
    },
    /// A header is not percent-encoded UTF-8.
    #[error("a header's value is not percent-encoded UTF-8")]
    Header,
    /// The data is not what the media type says, or was given twice.
    #[error("the data: expected {expected}")]
    #[non_exhaustive]
    Data {
        /// What it would have to be.
        expected: &'static str,
    },
}

impl InvalidCloudEvent {
    fn attribute(name: &str, expected: &'static str) -> Self {
        Self::Attribute { name: name.to_owned(), expected }
    }
}
