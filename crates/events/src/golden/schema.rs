//! The JSON Schema that samples show.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// The schema of these values: their types, the fields of objects, and the elements of lists.
pub(super) fn of(values: &[&Value]) -> Value {
    let types: BTreeSet<&str> = values.iter().map(|value| kind(value)).collect();
    let mut schema = Map::new();
    schema.insert(
        "type".to_owned(),
        if types.len() == 1 { types.first().copied().into() } else { json!(types) },
    );
    let objects: Vec<&Map<String, Value>> = values.iter().filter_map(|value| value.as_object()).collect();
    if !objects.is_empty() {
        let names: BTreeSet<&String> = objects.iter().flat_map(|object| object.keys()).collect();
        let properties: BTreeMap<&String, Value> =
            names.iter().map(|name| (*name, property(&objects, name))).collect();
        let required: Vec<&&String> =
            names.iter().filter(|name| objects.iter().all(|o| o.contains_key(**name))).collect();
        schema.insert("properties".to_owned(), json!(properties));
        schema.insert("required".to_owned(), json!(required));
    }
    let items: Vec<&Value> = values.iter().filter_map(|value| value.as_array()).flatten().collect();
    if !items.is_empty() {
        schema.insert("items".to_owned(), of(&items));
    }
    Value::Object(schema)
}

fn property(objects: &[&Map<String, Value>], name: &str) -> Value {
    of(&objects.iter().filter_map(|object| object.get(name)).collect::<Vec<_>>())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// What is different, a line for each field.
pub(super) fn difference(was: &Value, is: &Value) -> String {
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    fields(was, "", true, &mut before);
    fields(is, "", true, &mut after);
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let lines = names.into_iter().filter_map(|name| match (before.get(name), after.get(name)) {
        (Some(was), Some(is)) if was == is => None,
        (Some(was), Some(is)) => Some(format!("  `{name}` was {was} and is {is}")),
        (Some(was), None) => Some(format!("  `{name}` was {was} and is gone")),
        (None, Some(is)) => Some(format!("  `{name}` is new: {is}")),
        (None, None) => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// All fields by their paths, each with its types.
fn fields(schema: &Value, path: &str, is_required: bool, found: &mut BTreeMap<String, String>) {
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let optional = if is_required { "" } else { ", not always there" };
    found.insert(path.to_owned(), format!("{}{optional}", types.join(" or ")));
    let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let is_required = required.iter().any(|required| required.as_str() == Some(name));
        let dot = if path.is_empty() { "" } else { "." };
        fields(property, &format!("{path}{dot}{name}"), is_required, found);
    }
    if !schema["items"].is_null() {
        fields(&schema["items"], &format!("{path}[]"), true, found);
    }
}
