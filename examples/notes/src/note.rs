//! A note, and how one is made: the row, the event and the job commit together.

use shared_service::prelude::*;

use crate::{IndexNote, NoteCreated, WriteNotes};

/// What a caller sends.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct NewNote {
    /// The text.
    #[validate(length(min = 1, max = 10_000))]
    pub body: String,
}

/// What is stored.
#[derive(Debug, Serialize, Row)]
pub struct Note {
    /// Its identity.
    pub id: Id<Note>,
    /// The text.
    pub body: String,
    /// When it was made, by the server's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

statements! {
    const INSERT: Statement<(Id<Note>, String), Note> = "
        insert into notes.note (tenant_id, id, body) values ($tenant, $1, $2)
        returning id, body, created_at";
    pub(crate) const BODY: Statement<(Id<Note>,), String> = "
        select body from notes.note where tenant_id = $tenant and id = $1";
}

pub(crate) async fn create(
    may: May<WriteNotes>,
    State(db): State<Db>,
    Valid(Json(new)): Valid<Json<NewNote>>,
) -> Result<Created<Note>, Problem> {
    db.tenant(&may)
        .tx(async |tx| {
            let note = insert(tx, &new).await?;
            tx.publish(NoteCreated { note: note.id }).await?;
            tx.enqueue(IndexNote { note: note.id }).await?;
            Ok(Created(note))
        })
        .await
}

async fn insert(tx: &mut TenantTx, new: &NewNote) -> Result<Note, shared_service::db::Error> {
    tx.one(&INSERT, (Id::new(), &new.body)).await
}
