use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

/// The value of an attribute, or the body of a log record. It compares with what a test writes: `value == "x"`, `value
/// == 200`. Bytes are a text of hexadecimal digits, and numbers that JSON does not have are `null`.
pub use serde_json::Value;

/// Attributes by their keys.
pub type Attributes = BTreeMap<String, Value>;

/// The library that made a span, a metric or a log record.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Scope {
    /// Its name.
    pub name: String,
    /// Its version, or nothing.
    pub version: String,
    /// What else it says of itself.
    pub attributes: Attributes,
}

impl Scope {
    pub(super) fn of(scope: Option<InstrumentationScope>) -> Self {
        let InstrumentationScope { name, version, attributes: list, .. } = scope.unwrap_or_default();
        Self { name, version, attributes: attributes(list) }
    }
}

pub(super) fn resource(resource: Option<Resource>) -> Attributes {
    attributes(resource.unwrap_or_default().attributes)
}

pub(super) fn attributes(list: Vec<KeyValue>) -> Attributes {
    list.into_iter().map(|pair| (pair.key, value(pair.value))).collect()
}

pub(super) fn value(any: Option<AnyValue>) -> Value {
    match any.and_then(|any| any.value) {
        Some(Any::StringValue(text)) => text.into(),
        Some(Any::BoolValue(truth)) => truth.into(),
        Some(Any::IntValue(number)) => number.into(),
        Some(Any::DoubleValue(number)) => number.into(),
        Some(Any::ArrayValue(array)) => array.values.into_iter().map(|any| value(Some(any))).collect(),
        Some(Any::KvlistValue(list)) => attributes(list.values).into_iter().collect(),
        Some(Any::BytesValue(bytes)) => hex(&bytes).into(),
        // Indices into a table belong to profiles alone.
        Some(Any::StringValueStrindex(_)) | None => Value::Null,
    }
}

/// As ids are written everywhere.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An id that may be missing.
pub(super) fn id(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| hex(bytes))
}

pub(super) fn time(nanoseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanoseconds)
}

/// A time that may be missing.
pub(super) fn known_time(nanoseconds: u64) -> Option<SystemTime> {
    (nanoseconds != 0).then(|| time(nanoseconds))
}

/// For lists of what was received.
pub(super) fn shown(attributes: &Attributes) -> String {
    let pairs: Vec<_> = attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(" ")
}
