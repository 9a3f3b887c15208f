//! The job that makes a note findable.

use shared_service::prelude::*;

use crate::note::{BODY, Note};

/// Embeds a note's text. The type is all that a producer needs.
#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "notes:index", retry = "exponential", timeout = "30s")]
pub struct IndexNote {
    /// Which one.
    pub note: Id<Note>,
}

pub(crate) async fn index_note(
    job: IndexNote,
    cx: JobContext,
    State(notes): State<Collection<Note>>,
) -> Result<(), Failure> {
    let text = cx.tenant()?.one(&BODY, (job.note,)).await?;
    notes.tenant(&cx).upsert([(job.note, text)]).await?;
    Ok(())
}
