//! The structured form: [one JSON object an event](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{CloudEvent, Data, InvalidCloudEvent};

/// The members of an object, each as it was written: data keeps its text.
type Members = BTreeMap<String, Box<RawValue>>;

/// In the order of [`CloudEvent::attributes`].
#[derive(Serialize)]
#[serde(transparent)]
struct Written<'a>(#[serde(serialize_with = "in_order")] Vec<(&'a str, Member)>);

#[derive(Serialize)]
#[serde(untagged)]
enum Member {
    Text(String),
    Json(Box<RawValue>),
}

fn in_order<S: serde::Serializer>(members: &[(&str, Member)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(members.iter().map(|(name, member)| (name, member)))
}

impl CloudEvent {
    /// The event as a JSON object, of the media type [`STRUCTURED`](super::STRUCTURED).
    pub fn to_json(&self) -> String {
        // Texts alone, and JSON that was read before: writing them can't fail.
        serde_json::to_string(&self.written()).unwrap_or_default()
    }

    /// Events as a JSON list, of the media type [`BATCH`](super::BATCH).
    pub fn batch_to_json(events: &[Self]) -> String {
        let written: Vec<Written<'_>> = events.iter().map(Self::written).collect();
        serde_json::to_string(&written).unwrap_or_default()
    }

    /// Reads one event. An attribute that is `null` counts as missing.
    ///
    /// # Errors
    /// [`InvalidCloudEvent`].
    pub fn from_json(text: &str) -> Result<Self, InvalidCloudEvent> {
        read(serde_json::from_str(text).map_err(|_| InvalidCloudEvent::Json)?)
    }

    /// Reads several.
    ///
    /// # Errors
    /// [`InvalidCloudEvent`] if one of them is none.
    pub fn batch_from_json(text: &str) -> Result<Vec<Self>, InvalidCloudEvent> {
        let all: Vec<Members> = serde_json::from_str(text).map_err(|_| InvalidCloudEvent::Json)?;
        all.into_iter().map(read).collect()
    }

    fn written(&self) -> Written<'_> {
        let attributes = self.attributes().into_iter().map(|(name, value)| (name, Member::Text(value)));
        let data = self.data.as_ref().map(|data| match data {
            Data::Json(text) => match RawValue::from_string(text.clone()) {
                Ok(json) => ("data", Member::Json(json)),
                // Made by hand, and no JSON: a text is the nearest thing.
                Err(_) => ("data", Member::Text(text.clone())),
            },
            Data::Text(text) => ("data", Member::Text(text.clone())),
            Data::Bytes(bytes) => ("data_base64", Member::Text(BASE64_STANDARD.encode(bytes))),
        });
        Written(attributes.chain(data).collect())
    }
}

fn read(mut members: Members) -> Result<CloudEvent, InvalidCloudEvent> {
    members.retain(|_, value| value.get() != "null");
    let (data, base64) = (members.remove("data"), members.remove("data_base64"));
    let attributes = members.into_iter().map(|(name, value)| {
        let value = text(&name, &value)?;
        Ok((name, value))
    });
    let mut event = CloudEvent::from_attributes(attributes.collect::<Result<Vec<_>, _>>()?)?;
    event.data = match (data, base64) {
        (None, None) => None,
        (Some(data), None) => Some(value(&event, &data)),
        (None, Some(base64)) => Some(Data::Bytes(bytes(&base64)?)),
        (Some(_), Some(_)) => {
            return Err(InvalidCloudEvent::Data { expected: "either `data` or `data_base64`" });
        }
    };
    Ok(event)
}

/// The canonical text of an attribute.
fn text(name: &str, value: &RawValue) -> Result<String, InvalidCloudEvent> {
    match serde_json::from_str(value.get()) {
        Ok(Value::String(text)) => Ok(text),
        Ok(Value::Bool(is)) => Ok(is.to_string()),
        Ok(Value::Number(number)) if number.is_i64() => Ok(number.to_string()),
        _ => Err(InvalidCloudEvent::attribute(name, "a text, an integer, or a boolean")),
    }
}

/// Data of a media type that is not JSON is a text within JSON.
fn value(event: &CloudEvent, data: &RawValue) -> Data {
    match serde_json::from_str::<String>(data.get()) {
        Ok(text) if !event.is_json() => Data::Text(text),
        _ => Data::Json(data.get().to_owned()),
    }
}

fn bytes(base64: &RawValue) -> Result<Vec<u8>, InvalidCloudEvent> {
    let expected = InvalidCloudEvent::Data { expected: "`data_base64` to be Base64" };
    let Ok(text) = serde_json::from_str::<String>(base64.get()) else { return Err(expected) };
    BASE64_STANDARD.decode(text).map_err(|_| expected)
}
