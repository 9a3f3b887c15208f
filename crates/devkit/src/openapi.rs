//! Answers of a router, held against its OpenAPI document. Feature `openapi`.

use serde_json::Value;

/// What of an answer is not as the document says, as far as `$ref`, `oneOf`, `type`, `enum`, `items`, `properties` and `required` say it; `None` if all is. A
/// field that the document does not name is a mistake, too, and so is an answer that it does not have. One without a body is `null`.
///
/// ```
/// use serde_json::json;
/// use shared_devkit::openapi;
///
/// let schema = json!({ "type": "object", "properties": { "depth": { "type": "integer" } } });
/// let content = json!({ "application/json": { "schema": schema } });
/// let document = json!({ "paths": { "/queue": { "get": { "responses": { "200": { "content": content } } } } } });
/// let mistake = |answer| openapi::mistake(&document, ("/queue", "get", "200"), &answer);
/// assert_eq!(mistake(json!({ "depth": 7 })), None);
/// assert_eq!(mistake(json!({ "deep": 7 })).unwrap(), "deep is not in the document");
/// ```
pub fn mistake(
    document: &Value,
    (path, method, status): (&str, &str, &str),
    answer: &Value,
) -> Option<String> {
    let known = &document["paths"][path][method]["responses"][status];
    match known["content"].as_object().and_then(|content| content.values().next()) {
        Some(content) => of(document, &content["schema"], answer),
        None if known.is_null() => Some(format!("the document has no answer {status} of {method} {path}")),
        None => (!answer.is_null())
            .then(|| format!("the document has no body in the answer {status} of {method} {path}")),
    }
}

fn of(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return match document.pointer(reference.trim_start_matches('#')) {
            Some(schema) => of(document, schema, value),
            None => Some(format!("{reference} is not in the document")),
        };
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = choices.iter().any(|choice| of(document, choice, value).is_none());
        return (!fits).then(|| format!("{value} is none of {choices:?}"));
    }
    let kind = kind(value);
    let is = |expected: &Value| expected == kind || (expected == "number" && kind == "integer");
    let is_right = match &schema["type"] {
        Value::Null => true,
        Value::Array(kinds) => kinds.iter().any(is),
        one => is(one),
    };
    if !is_right {
        return Some(format!("{value} is {kind}, and not {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        return Some(format!("{value} is none of {}", schema["enum"]));
    }
    match value {
        Value::Array(items) => items.iter().find_map(|item| of(document, &schema["items"], item)),
        Value::Object(fields) if schema["properties"].is_object() => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let missing = required.into_iter().find(|name| !fields.contains_key(*name));
            missing.map(|name| format!("{name} is missing")).or_else(|| {
                fields.iter().find_map(|(name, value)| match schema["properties"].get(name) {
                    Some(schema) => of(document, schema, value).map(|why| format!("{name}: {why}")),
                    None => Some(format!("{name} is not in the document")),
                })
            })
        }
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
