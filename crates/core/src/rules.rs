//! What the rules of `validator` found, in words that quote nothing.

use std::fmt::Write;

use validator::{ValidationErrors, ValidationErrorsKind};

/// The fields and the rules that they break, without their values: for errors, logs and dead letters.
pub fn broken_rules(errors: &ValidationErrors) -> String {
    let mut words = Vec::new();
    collect(errors, "", &mut words);
    words.sort();
    words.join(", ")
}

fn collect(errors: &ValidationErrors, path: &str, words: &mut Vec<String>) {
    for (field, kind) in errors.errors() {
        let mut here = path.to_owned();
        let _ = write!(here, "{}{field}", if path.is_empty() { "" } else { "." });
        match kind {
            ValidationErrorsKind::Field(errors) => {
                words.extend(errors.iter().map(|error| format!("`{here}` breaks the rule `{}`", error.code)));
            }
            ValidationErrorsKind::Struct(errors) => collect(errors, &here, words),
            ValidationErrorsKind::List(errors) => {
                errors.iter().for_each(|(at, errors)| collect(errors, &format!("{here}[{at}]"), words));
            }
        }
    }
}
