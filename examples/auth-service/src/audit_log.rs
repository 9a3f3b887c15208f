//! The tenant's own audit log.

use shared_service::prelude::*;
use shared_service::security::audit::{Recorded, recent};

use crate::app::App;
use crate::permissions::ReadAudit;

/// Which entries.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// Those before this position: the last one of the page before.
    before: Option<i64>,
    #[validate(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

/// The latest first.
#[derive(Debug, Serialize)]
pub(crate) struct Entries {
    items: Vec<Recorded>,
    /// What to ask for next, if there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<i64>,
}

pub(crate) async fn read(
    may: May<ReadAudit>,
    State(app): State<App>,
    Valid(Query(page)): Valid<Query<Page>>,
) -> Result<Json<Entries>, Problem> {
    let limit = page.limit.unwrap_or(100);
    let items = recent(&app.db, &may, page.before, limit).await?;
    let next = items.last().filter(|_| items.len() == limit as usize).map(|last| last.pos);
    Ok(Json(Entries { items, next }))
}
