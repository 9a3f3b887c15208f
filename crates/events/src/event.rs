use serde::Serialize;
use serde::de::DeserializeOwned;

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
    /// The version of the fields. It counts up when a consumer could not read the old form as the new one.
    const VERSION: u16;

    /// What the event is about. Events of one tenant with the same key are consumed in the order in which they happened;
    /// those with different keys at the same time.
    fn key(&self) -> String;
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
