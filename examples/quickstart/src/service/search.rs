//! Search by meaning, inside the tenant of the token.

use std::collections::HashMap;

use shared_service::db::vector::Route;
use shared_service::prelude::*;

use super::{Document, ReadDocuments};

/// A question waits for the processor while documents are embedded; beyond this its answer comes too late to be of use.
const DEADLINE: Duration = Duration::from_secs(10);

statements! {
    const TITLES: Statement<(Vec<Id<Document>>,), (Id<Document>, String, String)> = "
        select id, path, title from quickstart.document where tenant_id = $tenant and id = any ($1)";
}

/// A question.
#[derive(Debug, Deserialize, Validate)]
pub(super) struct Question {
    #[validate(length(min = 1, max = 1000))]
    text: String,
    /// Hits at most.
    #[serde(default = "ten")]
    #[validate(range(min = 1, max = 50))]
    k: u16,
}

fn ten() -> u16 {
    10
}

/// What was found, the nearest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Found {
    /// How long the search took on the server, embedding the question included.
    pub took_ms: f64,
    /// Which way it went: `exact`, or through the index.
    pub route: String,
    /// Whether these are the exact nearest.
    pub complete: bool,
    /// The hits.
    pub items: Vec<FoundPart>,
}

/// A chunk that was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FoundPart {
    /// Its document.
    pub document: Id<Document>,
    /// The document's path.
    pub path: String,
    /// The document's title.
    pub title: String,
    /// Which of its parts, from 0.
    pub part: i32,
    /// The cosine similarity to the question.
    pub score: f64,
    /// The words.
    pub text: String,
}

pub(super) async fn search(
    may: May<ReadDocuments>,
    State(db): State<Db>,
    State(content): State<Collection<Document>>,
    Valid(Query(question)): Valid<Query<Question>>,
) -> Result<Json<Found>, Problem> {
    let hits = content.tenant(&may).search(question.text).k(question.k).deadline(DEADLINE).await?;
    let ids: Vec<Id<Document>> = hits.items.iter().map(|hit| hit.id).collect();
    let titles = db.tenant(&may).all(&TITLES, (ids,)).await?;
    let titles: HashMap<_, _> = titles.into_iter().map(|(id, path, title)| (id, (path, title))).collect();
    let items = hits.items.into_iter().map(|hit| {
        let (path, title) = titles.get(&hit.id).cloned().unwrap_or_default();
        FoundPart { document: hit.id, path, title, part: hit.part, score: hit.score, text: hit.text }
    });
    Ok(Json(Found {
        took_ms: hits.took.as_secs_f64() * 1000.0,
        route: name(hits.route).to_owned(),
        complete: hits.complete,
        items: items.collect(),
    }))
}

fn name(route: Route) -> &'static str {
    match route {
        Route::Exact => "exact",
        Route::Approximate => "approximate",
        Route::ExactAfterApproximate => "exact after approximate",
        _ => "other",
    }
}
