//! The event keeps its form, or gets another version: its schema lies in `schemas`.

use notes::NoteCreated;
use shared_service::core::Id;
use shared_service::events::golden;

#[test]
fn the_event_is_as_its_schema_says() {
    golden::check("schemas", &[NoteCreated { note: Id::new() }]).unwrap();
}
