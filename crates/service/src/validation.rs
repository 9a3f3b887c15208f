//! The rules of `validator`, in words that never quote what was sent.

use shared_core::FieldError;
use validator::{ValidationError, ValidationErrors, ValidationErrorsKind};

/// Every field that is wrong, by its JSON pointer, in the order of the pointers.
pub(crate) fn field_errors(errors: &ValidationErrors) -> Vec<FieldError> {
    let mut found = Vec::new();
    collect("", errors, &mut found);
    found.sort_by(|a, b| a.pointer.cmp(&b.pointer));
    found
}

fn collect(at: &str, errors: &ValidationErrors, found: &mut Vec<FieldError>) {
    for (field, kind) in errors.errors() {
        let pointer = format!("{at}/{field}");
        match kind {
            ValidationErrorsKind::Struct(inner) => collect(&pointer, inner, found),
            ValidationErrorsKind::List(items) => {
                items.iter().for_each(|(index, inner)| collect(&format!("{pointer}/{index}"), inner, found));
            }
            ValidationErrorsKind::Field(rules) => {
                found.extend(
                    rules.iter().map(|rule| FieldError { pointer: pointer.clone(), detail: words(rule) }),
                );
            }
        }
    }
}

fn words(rule: &ValidationError) -> String {
    if let Some(message) = &rule.message {
        return message.to_string();
    }
    let bound = |name: &str| rule.params.get(name).map(ToString::to_string);
    let unit = if rule.code == "length" { " in length" } else { "" };
    match (bound("equal"), bound("min"), bound("max")) {
        (Some(equal), ..) => format!("expected exactly {equal}{unit}"),
        (_, Some(min), Some(max)) => format!("expected {min} to {max}{unit}"),
        (_, Some(min), None) => format!("expected at least {min}{unit}"),
        (_, None, Some(max)) => format!("expected at most {max}{unit}"),
        _ => format!("breaks the rule `{}`", rule.code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use validator::Validate;

    #[derive(Validate)]
    struct New {
        #[validate(length(min = 1, max = 5))]
        title: String,
        #[validate(email)]
        author: String,
        #[validate(nested)]
        tags: Vec<Tag>,
    }

    #[derive(Validate)]
    struct Tag {
        #[validate(range(max = 3))]
        weight: u8,
    }

    #[test]
    fn names_every_field_and_no_value() {
        let new =
            New { title: "much too long".into(), author: "nobody".into(), tags: vec![Tag { weight: 9 }] };
        let errors: Vec<String> = field_errors(&new.validate().unwrap_err())
            .into_iter()
            .map(|error| format!("{} {}", error.pointer, error.detail))
            .collect();
        assert_eq!(
            errors,
            [
                "/author breaks the rule `email`",
                "/tags/0/weight expected at most 3",
                "/title expected 1 to 5 in length"
            ]
        );
    }
}
