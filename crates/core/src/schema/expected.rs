//! The words of a report: what is expected, and what was found instead, never the text itself.

use super::{Field, Kind};

/// What should be written: "an integer from 1 to 1000".
pub(super) fn words(kind: Kind, field: &Field, list: bool) -> String {
    let item = match (field.expected, field.url) {
        (Some(words), _) => return words.to_owned(),
        (None, Some(schemes)) => url(schemes),
        (None, None) => value(kind, field, list),
    };
    match (list, length(field, "item")) {
        (true, Some(length)) => format!("{length}, separated by commas, each {item}"),
        (true, None) => format!("items separated by commas, each {item}"),
        (false, _) => item,
    }
}

fn value(kind: Kind, field: &Field, list: bool) -> String {
    match kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Integer { min, max } => format!("an integer{}", range(field.min.or(min), field.max.or(max))),
        Kind::Number => format!("a number{}", range(field.min, field.max)),
        Kind::Duration if field.min.is_none() && field.max.is_none() => {
            "a duration such as 30s, 500ms or 5m".to_owned()
        }
        Kind::Duration => format!("a duration{}", range(field.min, field.max)),
        Kind::Choice(choices) => either(choices.iter().map(|choice| choice.name.to_owned())),
        Kind::Words(words) => words.to_owned(),
        Kind::Secret => with_length("a secret", field, list),
        Kind::Text => with_length("a text", field, list),
    }
}

fn range(min: Option<&str>, max: Option<&str>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!(" from {min} to {max}"),
        (Some(min), None) => format!(" of at least {min}"),
        (None, Some(max)) => format!(" of at most {max}"),
        (None, None) => String::new(),
    }
}

/// A length belongs to a list, if it is one, and to the text otherwise.
fn with_length(what: &str, field: &Field, list: bool) -> String {
    match length(field, "character") {
        Some(length) if !list => format!("{what} of {length}"),
        _ => what.to_owned(),
    }
}

fn length(field: &Field, unit: &str) -> Option<String> {
    Some(match (field.min_length, field.max_length) {
        (Some(min), Some(max)) if min == max => count(min, unit),
        (Some(min), Some(max)) => format!("{min} to {}", count(max, unit)),
        (Some(min), None) => format!("at least {}", count(min, unit)),
        (None, Some(max)) => format!("at most {}", count(max, unit)),
        (None, None) => return None,
    })
}

fn url(schemes: &[&str]) -> String {
    match schemes {
        [] => "a URL".to_owned(),
        // Further schemes are other spellings or rarer transports; the first is the one to teach.
        [first, ..] => {
            format!("{} {first}:// URL", if first.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" })
        }
    }
}

/// "a, b or c".
fn either(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.collect();
    match names.pop() {
        Some(last) if names.is_empty() => last,
        Some(last) => format!("{} or {last}", names.join(", ")),
        None => "nothing".to_owned(),
    }
}

/// What a text looks like from afar: "3 letters".
pub(super) fn found(text: &str) -> String {
    let length = text.chars().count() as u64;
    let seen = text.trim();
    if seen.is_empty() {
        return "only white space".to_owned();
    }
    if seen.len() != text.len() {
        return format!("{} with white space at an end", count(length, "character"));
    }
    if text.chars().all(|c| c.is_ascii_digit()) {
        count(length, "digit")
    } else if text.chars().all(char::is_alphabetic) {
        count(length, "letter")
    } else {
        count(length, "character")
    }
}

pub(super) fn count(n: u64, unit: &str) -> String {
    if n == 1 { format!("1 {unit}") } else { format!("{n} {unit}s") }
}
