use shared_core::TenantId;
use shared_db::{Db, Row, statements};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Error;

statements! {
    // The upper bound changes nothing but the plan: with both, the index is read, and not the whole log.
    pub(crate) const BACKLOG: Statement<(), (i64, i64)> = "
        select (select count(*) from shared_events.subscription
                  join shared_events.tick on tick.tick = subscription.tick
                  join shared_events.log on log.xid >= pg_snapshot_xmax(tick.snap)
                                        and log.xid < pg_snapshot_xmax(pg_current_snapshot()))
             + (select count(*) from shared_events.subscription
                  join shared_events.tick on tick.tick = subscription.tick
                 cross join lateral pg_snapshot_xip(tick.snap) as open (xid)
                  join shared_events.log on log.xid = open.xid) as waiting,
               (select count(*) from shared_events.parked) as parked";
    const PARKED: Statement<(i64,), ParkedRow> = "
        select parked.tenant_id, parked.consumer, parked.key, log.name, log.id, parked.reason, parked.attempts, parked.at
          from shared_events.parked join shared_events.log on log.pos = parked.pos
         order by parked.pos, parked.consumer limit $1";
}

/// How much is still to be done. See [`backlog`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backlog {
    /// Committed events that a subscription has yet to pass, counted once for each subscription; a batch counts whole until
    /// its last event is delivered.
    pub waiting: u64,
    /// Events put aside, counted once for each consumer.
    pub parked: u64,
}

/// Counts what the subscriptions have yet to pass, and what is parked. Both are zero when every event that was committed
/// before the call had its effect. It reads an index entry for all that it counts.
///
/// # Errors
/// [`Error::Database`].
pub async fn backlog(db: &Db) -> Result<Backlog, Error> {
    let (waiting, parked) = db.system().one(&BACKLOG, ()).await?;
    Ok(Backlog { waiting: waiting.unsigned_abs(), parked: parked.unsigned_abs() })
}

/// An event that a consumer could not consume, or that waits behind one of those.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parked {
    /// Whose event it is.
    pub tenant: TenantId,
    /// Who could not consume it.
    pub consumer: String,
    /// The name of the event.
    pub event: String,
    /// The event's identity.
    pub id: Uuid,
    /// What it is about: later events of the tenant with this key wait behind.
    pub key: String,
    /// Why it failed; `None` for one that waits behind another, and was not tried.
    pub reason: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was parked, by the database's clock.
    pub at: OffsetDateTime,
}

/// The parked events of all tenants and consumers, oldest first, at most `limit`.
///
/// # Errors
/// [`Error::Database`].
pub async fn parked(db: &Db, limit: u32) -> Result<Vec<Parked>, Error> {
    let rows: Vec<ParkedRow> = db.system().all(&PARKED, (i64::from(limit),)).await?;
    Ok(rows.into_iter().map(Parked::from).collect())
}

#[derive(Row)]
struct ParkedRow {
    tenant_id: TenantId,
    consumer: String,
    key: String,
    name: String,
    id: Uuid,
    reason: Option<String>,
    attempts: i32,
    at: OffsetDateTime,
}

impl From<ParkedRow> for Parked {
    fn from(row: ParkedRow) -> Self {
        Self {
            tenant: row.tenant_id,
            consumer: row.consumer,
            event: row.name,
            id: row.id,
            key: row.key,
            reason: row.reason,
            attempts: row.attempts.unsigned_abs(),
            at: row.at,
        }
    }
}
