//! `openapi.json` says what the service does: each route is in it and the other way round, and so is each answer that any of these
//! tests gets.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use auth_service::{OPENAPI, ROUTES};
use serde_json::Value;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(OPENAPI).unwrap());

#[test]
fn every_route_is_documented_and_nothing_else() {
    let routes: BTreeSet<(&str, &str)> = ROUTES.iter().map(|route| (route.method, route.path)).collect();
    assert_eq!(routes.len(), ROUTES.len(), "a route comes twice");
    let paths = DOCUMENT["paths"].as_object().unwrap().iter();
    let documented = paths.flat_map(|(path, operations)| {
        operations.as_object().unwrap().keys().map(move |method| (method.as_str(), path.as_str()))
    });
    assert_eq!(routes, documented.collect());
}

#[test]
fn the_document_has_the_version_of_the_service() {
    assert_eq!(DOCUMENT["openapi"], "3.1.0");
    assert_eq!(DOCUMENT["info"]["version"], env!("CARGO_PKG_VERSION"));
}

/// An answer that differs from what is documented shows here.
#[test]
fn a_wrong_answer_is_noticed() {
    let fits = |body: Value| violation(&schema("Ended"), &body, "").is_none();
    assert!(fits(serde_json::json!({ "ended": 1 })));
    for wrong in [
        serde_json::json!({}),
        serde_json::json!({ "ended": "1" }),
        serde_json::json!({ "ended": 1, "secret": 2 }),
        serde_json::json!([]),
    ] {
        assert!(!fits(wrong.clone()), "{wrong}");
    }
}

/// Holds an answer against the document.
#[track_caller]
pub(crate) fn check(method: &str, path: &str, status: u16, body: &Value) {
    let path = path.split('?').next().unwrap_or_default();
    let path = if path.starts_with("/auth/") { format!("/api{path}") } else { path.to_owned() };
    let operation = operation(method, &path);
    if operation.is_none() && matches!(status, 404 | 405) {
        return;
    }
    let answers = &operation.unwrap_or_else(|| panic!("{method} {path} is not documented"))["responses"];
    let answer = resolve(&answers[status.to_string()]);
    assert!(!answer.is_null(), "{method} {path} answers {status}, which is not documented: {body}");
    match answer["content"].as_object().and_then(|kinds| kinds.values().next()) {
        None => assert!(body.is_null(), "{method} {path} answers {body}, which is not documented"),
        Some(content) => {
            if let Some(violation) = violation(&content["schema"], body, "") {
                panic!("{method} {path}: {violation}: {body}");
            }
        }
    }
}

fn operation(method: &str, path: &str) -> Option<Value> {
    let fits = |template: &str| {
        let (template, path) = (template.split('/'), path.split('/'));
        template.clone().count() == path.clone().count()
            && template.zip(path).all(|(is, said)| is.starts_with('{') || is == said)
    };
    let paths = DOCUMENT["paths"].as_object()?;
    let (_, operations) = paths.iter().find(|(template, _)| fits(template))?;
    operations.get(method).cloned()
}

fn schema(name: &str) -> Value {
    DOCUMENT["components"]["schemas"][name].clone()
}

fn resolve(value: &Value) -> Value {
    match value["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        Some(pointer) => {
            resolve(DOCUMENT.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not there")))
        }
        None => value.clone(),
    }
}

/// The first thing that is not as the schema has it: as much of JSON Schema as the document uses for answers.
fn violation(schema: &Value, value: &Value, at: &str) -> Option<String> {
    let schema = resolve(schema);
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        kind => vec![kind.clone()],
    };
    if !kinds.iter().any(|kind| is(kind, value)) {
        return Some(format!("{at} is not {}", schema["type"]));
    }
    let one_of = schema["enum"].as_array();
    if one_of.is_some_and(|values| !values.contains(value))
        || schema.get("const").is_some_and(|one| one != value)
    {
        return Some(format!("{at} has another value"));
    }
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(n, item)| violation(&schema["items"], item, &format!("{at}/{n}"))),
        Value::Object(members) => {
            let missing = schema["required"].as_array().into_iter().flatten();
            let missing = missing.filter_map(Value::as_str).find(|name| !members.contains_key(*name));
            missing.map(|name| format!("{at}/{name} is missing")).or_else(|| {
                members.iter().find_map(|(name, member)| match schema["properties"].get(name) {
                    Some(known) => violation(known, member, &format!("{at}/{name}")),
                    None => {
                        (schema["additionalProperties"] == false).then(|| format!("{at}/{name} is unknown"))
                    }
                })
            })
        }
        _ => None,
    }
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        _ => panic!("the type {kind} is not looked at"),
    }
}
