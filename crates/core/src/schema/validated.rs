//! The rules of `#[validate(..)]` that the schema does not hold: they run on the finished struct.

use std::borrow::Cow;

use validator::{Validate, ValidationError, ValidationErrorsKind};

use super::{Code, Field, Mistake, Reader};

/// Parameters of a rule that are numbers from its attribute. Every other one may be, or quote, the value.
const BOUNDS: [(&str, &str); 5] = [
    ("min", "at least"),
    ("max", "at most"),
    ("exclusive_min", "more than"),
    ("exclusive_max", "less than"),
    ("equal", "exactly"),
];

impl Reader<'_> {
    /// Lets the struct's own rules judge it. Groups below have judged themselves.
    pub fn validated<T: Validate>(&mut self, settings: T, fields: &'static [Field]) -> Option<T> {
        let Err(errors) = settings.validate() else { return Some(settings) };
        for (key, kind) in errors.errors() {
            let ValidationErrorsKind::Field(errors) = kind else { continue };
            let field = fields.iter().find(|field| field.name == key);
            for error in errors {
                self.note(mistake(self, field, error));
            }
        }
        None
    }
}

fn mistake(reader: &Reader<'_>, field: Option<&Field>, error: &ValidationError) -> Mistake {
    match field {
        Some(field) => {
            Mistake::new(reader.name_of(field), Code::Invalid, words(error)).from(reader.origin_of(field))
        }
        // A rule of the whole struct: `#[validate(schema(..))]`.
        None => Mistake::new(reader.name_of_group(), Code::Invalid, words(error)),
    }
}

/// The author's message or the rule's name, each only as a literal of the program: a text made at run time could
/// quote the value.
fn words(error: &ValidationError) -> String {
    if let Some(Cow::Borrowed(message)) = &error.message {
        return (*message).to_owned();
    }
    let bounds: Vec<String> = BOUNDS
        .iter()
        .filter_map(|(param, words)| Some(format!("{words} {}", error.params.get(*param)?.as_number()?)))
        .collect();
    let rule = if let Cow::Borrowed(code) = error.code { code } else { "custom" };
    if bounds.is_empty() {
        format!("does not fulfil the rule `{rule}`")
    } else {
        format!("does not fulfil the rule `{rule}`: {}", bounds.join(" and "))
    }
}
