use serde::Serialize;
use shared_core::InTenant;
use shared_db::{Db, Row, statements};
use time::OffsetDateTime;

use crate::Error;

statements! {
    const OWN: Statement<(Option<i64>, i64), Recorded> = "
        select pos, at, action, outcome, actor, on_behalf_of, target_kind, target_id, reason, address, user_agent,
               correlation, details::text as details
          from shared_security.audit_log
         where tenant_id = $tenant and pos < coalesce($1, 9223372036854775807) order by pos desc limit $2";
}

/// Entries in one answer at most.
const MOST: u32 = 1000;

/// An entry as its tenant reads it.
#[derive(Clone, Debug, Row, Serialize)]
#[non_exhaustive]
pub struct Recorded {
    /// Its position in the log; what comes later has a greater one.
    pub pos: i64,
    /// When it was written, by the server's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What was done: `domain.verb`.
    pub action: String,
    /// `allowed`, `denied` or `failed`.
    pub outcome: String,
    /// Who did it.
    pub actor: Option<String>,
    /// For whom, where somebody acted for another.
    pub on_behalf_of: Option<String>,
    /// The kind of what it was done to.
    pub target_kind: Option<String>,
    /// What it was done to.
    pub target_id: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// From where.
    pub address: Option<String>,
    /// With which program.
    pub user_agent: Option<String>,
    /// In which conversation.
    pub correlation: Option<String>,
    /// The details, as the text of a JSON object.
    pub details: Option<String>,
}

/// The entries of the proof's tenant, the latest first: of those before a position where one is given, so many, 1,000 at most. It
/// goes through the tenant's own door, which shows it no others.
///
/// # Errors
/// [`Error::Database`].
pub async fn recent(
    db: &Db,
    tenant: &impl InTenant,
    before: Option<i64>,
    count: u32,
) -> Result<Vec<Recorded>, Error> {
    Ok(db.tenant(tenant).read_only().all(&OWN, (before, i64::from(count.min(MOST)))).await?)
}
