//! Search within the caller's tenant. The collection was opened with the embedder that needs no model and compares
//! spelling; `Collection::open_with` takes a model.

use shared_service::prelude::*;

use crate::{Note, ReadNotes};

#[derive(Debug, Deserialize, Validate)]
pub(crate) struct Search {
    #[validate(length(min = 1, max = 1000))]
    text: String,
}

/// The hits say which way they were found, whether they are complete, and how long it took.
pub(crate) async fn search(
    may: May<ReadNotes>,
    State(notes): State<Collection<Note>>,
    Valid(Query(q)): Valid<Query<Search>>,
) -> Result<Json<Hits<Note>>, Problem> {
    let hits = notes.tenant(&may).search(&q.text).k(10).recall(AtLeast(0.95)).deadline(ms(500)).await?;
    Ok(Json(hits))
}
