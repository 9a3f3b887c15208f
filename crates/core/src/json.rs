//! What callers send, read strictly: what is wrong is named by its place, and never quoted.

use crate::{FieldError, Problem};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::Segment;

/// Deeper than any form, and far from what fills a stack.
const MAX_DEPTH: usize = 32;

/// As many unknown fields are named; the rest is as unknown as these.
const MAX_NAMED: usize = 16;

/// As much is said of a field's name, which the caller chose.
const MAX_NAME: usize = 64;

/// Reads a JSON body.
///
/// # Errors
/// 400 for what is no JSON, or is nested more than 32 levels deep; 422, with the place of what is wrong, for what does not fit the type,
/// and for fields that the type does not have (ASVS 15.3.3).
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if depth(body) > MAX_DEPTH {
        return Err(Problem::bad_request()
            .with_detail(format!("the body is nested more than {MAX_DEPTH} levels deep")));
    }
    let mut unknown = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = {
        let mut found = |path: serde_ignored::Path<'_>| {
            if unknown.len() < MAX_NAMED {
                unknown.push(FieldError { pointer: pointer_to(&path), detail: "unknown".to_owned() });
            }
        };
        serde_path_to_error::deserialize::<_, T>(serde_ignored::Deserializer::new(&mut json, &mut found))
    };
    let value = read.map_err(|error| refused(&error))?;
    json.end().map_err(|error| not_json(&error))?;
    if unknown.is_empty() { Ok(value) } else { Err(wrong_fields(unknown)) }
}

/// 422, with the fields that are wrong.
pub fn wrong_fields(errors: Vec<FieldError>) -> Problem {
    Problem::unprocessable_content().with_detail("some fields are not as they should be").with_errors(errors)
}

/// How deep arrays and objects are nested, without reading what they hold.
fn depth(body: &[u8]) -> usize {
    let (mut depth, mut deepest, mut text, mut escaped) = (0usize, 0, false, false);
    for byte in body {
        match (text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => text = !text,
            (false, b'[' | b'{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn refused(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    if error.inner().classify() != Category::Data {
        return not_json(error.inner());
    }
    let mut pointer = String::new();
    for segment in error.path() {
        match segment {
            Segment::Map { key } | Segment::Enum { variant: key } => push(&mut pointer, key),
            Segment::Seq { index } => push(&mut pointer, &index.to_string()),
            Segment::Unknown => {}
        }
    }
    let message = error.inner().to_string();
    let (field, detail) = words(&message);
    // The path ends with an unknown field already; of a missing one it can't know.
    if let Some(field) = field.filter(|field| !pointer.ends_with(&format!("/{}", token(field)))) {
        push(&mut pointer, field);
    }
    wrong_fields(vec![FieldError { pointer, detail }])
}

fn not_json(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    Problem::bad_request().with_detail(format!("the body is not JSON from line {line}, column {column} on"))
}

/// What is wrong with a query, from what axum says of it: the parameter and what it should be, without what it is.
pub fn of_query(said: &str) -> String {
    let said = said.split_once(": ").map_or(said, |(_, said)| said);
    let (at, said) = match said.split_once(": ") {
        Some((name, said)) if !name.contains(' ') => (Some(name), said),
        _ => (None, said),
    };
    match (at, words(said)) {
        (_, (Some(name), detail)) | (Some(name), (None, detail)) => {
            let name: String = name.chars().take(MAX_NAME).collect();
            format!("the parameter {name}: {detail}")
        }
        (None, (None, detail)) => format!("the query: {detail}"),
    }
}

/// The field that an error of serde names, and what it says without the value that was sent. Words of others, such as those of a
/// deserializer by hand, are left out: they may quote it.
fn words(message: &str) -> (Option<&str>, String) {
    let quoted = |start: &str| {
        let rest = message.strip_prefix(start)?.strip_prefix('`')?;
        Some(
            &rest
                [..rest.find("`, expected").or_else(|| rest.find("`, there")).or_else(|| rest.rfind('`'))?],
        )
    };
    if let Some(field) = quoted("missing field ") {
        return (Some(field), "missing".to_owned());
    }
    if let Some(field) = quoted("unknown field ") {
        return (Some(field), "unknown".to_owned());
    }
    if let Some(field) = quoted("duplicate field ") {
        return (Some(field), "comes more than once".to_owned());
    }
    let ours = ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant "];
    let expected =
        ours.iter().any(|start| message.starts_with(start)).then(|| message.rsplit_once(", expected "));
    match expected.flatten() {
        Some((_, expected)) => {
            let end = expected.rfind(" at line ").unwrap_or(expected.len());
            (None, format!("expected {}", &expected[..end]))
        }
        None => (None, "not as expected".to_owned()),
    }
}

fn pointer_to(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => with(parent, &index.to_string()),
        Path::Map { parent, key } => with(parent, key),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            pointer_to(parent)
        }
    }
}

fn with(parent: &serde_ignored::Path<'_>, key: &str) -> String {
    let mut pointer = pointer_to(parent);
    push(&mut pointer, key);
    pointer
}

fn push(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&token(key));
}

/// A reference token of a JSON pointer (RFC 6901, section 3), cut to a length.
fn token(key: &str) -> String {
    let key: String = key.chars().take(MAX_NAME).collect();
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Order {
        #[serde(rename = "card")]
        _card: u64,
        #[serde(rename = "lines", default)]
        _lines: Vec<Line>,
        #[serde(rename = "speed", default)]
        _speed: Speed,
    }

    #[derive(Debug, Deserialize)]
    struct Line {
        #[serde(rename = "amount")]
        _amount: u8,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Speed {
        #[default]
        Slow,
        Fast,
    }

    fn said(body: &str) -> String {
        let problem = read::<Order>(body.as_bytes()).unwrap_err();
        String::from_utf8(problem.to_json()).unwrap()
    }

    #[test]
    fn what_is_wrong_is_named_by_its_place() {
        for (body, pointer, detail) in [
            (r#"{}"#, "/card", "missing"),
            (r#"{"card":"hunter2"}"#, "/card", "expected u64"),
            (r#"{"card":1,"lines":[{"amount":1},{"amount":-7777}]}"#, "/lines/1/amount", "expected u8"),
            (r#"{"card":1,"lines":[{}]}"#, "/lines/0/amount", "missing"),
            (r#"{"card":1,"card":2}"#, "/card", "comes more than once"),
            (r#"{"card":1,"speed":"hunter2"}"#, "/speed", "expected `slow` or `fast`"),
            (r#"{"card":1,"speed":"hunter2, expected hunter2"}"#, "/speed", "expected `slow` or `fast`"),
        ] {
            let said = said(body);
            assert!(
                said.contains(&format!(r#"{{"pointer":"{pointer}","detail":"{detail}"}}"#)),
                "{body}: {said}"
            );
            assert!(!said.contains("hunter2") && !said.contains("7777"), "{said}");
        }
    }

    /// ASVS 15.3.3: every field that was not asked for is named, and none is taken.
    #[test]
    fn unknown_fields_are_refused_and_all_named() {
        let said = said(r#"{"card":1,"admin":true,"lines":[{"amount":1,"price/~":0}]}"#);
        for pointer in ["/admin", "/lines/0/price~1~0"] {
            assert!(said.contains(&format!(r#"{{"pointer":"{pointer}","detail":"unknown"}}"#)), "{said}");
        }
    }

    #[test]
    fn a_flood_of_fields_is_answered_shortly() {
        let fields: Vec<String> = (0..1000).map(|n| format!(r#""{}{n}":1"#, "x".repeat(200))).collect();
        assert!(said(&format!(r#"{{"card":1,{}}}"#, fields.join(","))).len() < 4096);
    }

    #[test]
    fn what_is_no_json_is_told_by_line() {
        for body in ["", "{", "nonsense", r#"{"card":1} trailing"#, "{\"card\":1,\n}"] {
            assert_eq!(read::<Order>(body.as_bytes()).unwrap_err().status(), 400, "{body}");
        }
    }

    /// A bomb is refused before it is parsed; brackets in texts are none.
    #[test]
    fn a_bomb_of_brackets_is_refused() {
        let bomb = format!(r#"{{"card":1,"lines":{}"#, "[".repeat(100_000));
        assert!(said(&bomb).contains("more than 32 levels"));
        assert!(
            read::<Order>(format!(r#"{{"card":1,"x":"{}"}}"#, r#"[{\"["#.repeat(100)).as_bytes()).is_err()
        );
        assert_eq!(depth(br#"{"a":"[[[[\"[[[[","b":[{}]}"#), 3);
    }
}
