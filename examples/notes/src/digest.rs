//! The event of a new note, and the consumer that counts them by day.

use shared_service::prelude::*;

use crate::Note;

/// A note was made.
#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "note.created", version = 1, key = "note")]
pub struct NoteCreated {
    /// Which one.
    pub note: Id<Note>,
}

statements! {
    const COUNT_ONE: Statement<(Date,), ()> = "
        insert into notes.day as d (tenant_id, day, created) values ($tenant, $1, 1)
        on conflict (tenant_id, day) do update set created = d.created + 1";
}

/// The effect and the consumer's position commit together: it happens once, however often it is delivered.
pub(crate) async fn digest(tx: &mut TenantTx, created: Received<NoteCreated>) -> Result<(), Failure> {
    tx.execute(&COUNT_ONE, (created.at.date(),)).await?;
    Ok(())
}
