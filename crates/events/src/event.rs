use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared_core::Failure;
use validator::ValidationErrors;

/// Something that happened, in the past tense. Derive it:
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # use shared_core::Id;
/// # use shared_events::Event;
/// # struct Note;
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(name = "note.created", version = 1, key = "note")]
/// struct NoteCreated {
///     note: Id<Note>,
/// }
/// assert_eq!(NoteCreated::NAME, "note.created");
/// ```
///
/// | attribute | meaning |
/// |---|---|
/// | `name = "note.created"` | two or more words joined by dots; a contract, like the fields |
/// | `version = 2` | of the fields, from 1 |
/// | `key = "note"` | the field whose events stay in order, by its [`Display`](std::fmt::Display) |
/// | `upcast = "to_2"`, `upcast("to_2", "to_3")` | a function for each step from a version to the next: `fn(serde_json::Value) -> Result<serde_json::Value, Failure>`; without them, older payloads are read as they are |
///
/// Rules of the `validator` crate on the struct or its fields are checked before the event is published, and again after it was
/// read.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use serde_json::Value;
/// use shared_core::Failure;
/// use shared_events::Event;
/// use validator::Validate;
///
/// #[derive(Serialize, Deserialize, Validate, Event)]
/// #[event(name = "invoice.paid", version = 3, key = "invoice", upcast("with_currency", "in_cents"))]
/// struct InvoicePaid {
///     invoice: u64,
///     #[validate(length(equal = 3))]
///     currency: String,
///     cents: i64,
/// }
///
/// /// Version 1 knew one currency only.
/// fn with_currency(mut payload: Value) -> Result<Value, Failure> {
///     payload["currency"] = "CHF".into();
///     Ok(payload)
/// }
///
/// /// Version 2 had whole francs.
/// fn in_cents(mut payload: Value) -> Result<Value, Failure> {
///     let francs = payload["amount"].as_i64().ok_or_else(|| Failure::dead("it has no amount"))?;
///     payload["cents"] = (francs * 100).into();
///     Ok(payload)
/// }
///
/// let oldest = serde_json::json!({ "invoice": 7, "amount": 12 });
/// let newest = InvoicePaid::upcast(1, oldest)?;
/// assert_eq!((&newest["currency"], &newest["cents"]), (&"CHF".into(), &1200.into()));
/// # Ok::<(), Failure>(())
/// ```
///
/// A name of one word does not compile, nor does a key that is no field:
/// ```compile_fail
/// # use serde::{Deserialize, Serialize};
/// # use shared_core::Id;
/// # use shared_events::Event;
/// # struct Note;
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(name = "NoteCreated", version = 1, key = "note")]
/// struct NoteCreated {
///     note: Id<Note>,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    note = "put `#[derive(Serialize, Deserialize, Event)]` and `#[event(name = \"note.created\", version = 1, key = \"note\")]` on it"
)]
pub trait Event: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What happened: two or more words of lower-case letters, digits and `_`, joined by dots. It never changes.
    const NAME: &'static str;
    /// The version of the fields. It counts up when a consumer could not read the old form as the new one. Consumers read older
    /// versions by [`upcast`](Self::upcast), and park newer ones: so deploy consumers first.
    const VERSION: u16;

    /// What the event is about. Events of one tenant with the same key are consumed in the order in which they happened;
    /// those with different keys at the same time.
    fn key(&self) -> String;

    /// Whether it fulfils its rules. Written by the derive where there is a `#[validate(..)]`; without, everything is right.
    ///
    /// # Errors
    /// The rules that it breaks. It is not published then; one that was read is parked.
    fn check(&self) -> Result<(), ValidationErrors> {
        Ok(())
    }

    /// Makes the payload of an older `version` one of this version. Written by `upcast`; without it, older payloads are read as
    /// they are.
    ///
    /// # Errors
    /// Whatever keeps it from being one; the event is parked then.
    fn upcast(version: u16, payload: Value) -> Result<Value, Failure> {
        let _ = version;
        Ok(payload)
    }
}

/// Refuses a name that is not words joined by dots; the derive calls it at compile time.
#[doc(hidden)]
pub const fn assert_name(name: &str) {
    let bytes = name.as_bytes();
    let (mut at, mut dots, mut at_start) = (0, 0, true);
    while at < bytes.len() {
        match bytes[at] {
            b'a'..=b'z' => at_start = false,
            b'0'..=b'9' | b'_' if !at_start => {}
            b'.' if !at_start => (dots, at_start) = (dots + 1, true),
            _ => panic!("an event's name is lower-case words joined by dots, such as note.created"),
        }
        at += 1;
    }
    assert!(dots > 0 && !at_start, "an event's name has two or more words, such as note.created");
    assert!(bytes.len() <= 100, "an event's name has at most 100 characters");
}

#[cfg(test)]
mod tests {
    use super::assert_name;

    #[test]
    fn names_are_words_joined_by_dots() {
        for good in ["note.created", "billing.invoice_2.paid"] {
            assert_name(good);
        }
        for bad in ["", "note", "note.", ".note", "note..created", "Note.created", "note.2nd", "note created"]
        {
            assert!(std::panic::catch_unwind(|| assert_name(bad)).is_err(), "{bad}");
        }
    }
}
