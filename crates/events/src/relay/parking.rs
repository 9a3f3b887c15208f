//! Putting events aside: one that a consumer can't consume, and those of its key that come after it.

use shared_core::{Failure, TenantId};
use shared_db::{Db, statements};
use uuid::Uuid;

use crate::Error;
use crate::received::Stored;

statements! {
    // Not if another relay had its effect meanwhile.
    const PARK: Statement<(String, String, i64, Uuid, String, i32), ()> = "
        insert into shared_events.parked (tenant_id, consumer, key, pos, reason, attempts)
        select $tenant, $1, $2, $3, $5, $6
         where not exists (select 1 from shared_events.inbox where tenant_id = $tenant and consumer = $1 and event_id = $4)
            on conflict do nothing";
    // The lock on the first parked event makes it wait for a redrive that has this one in hand. If that leaves the key empty,
    // no row is inserted.
    const PARK_BEHIND: Statement<(String, String, i64), ()> = "
        insert into shared_events.parked (tenant_id, consumer, key, pos, attempts)
        select $tenant, $1, $2, $3, 0
          from (select 1 from shared_events.parked
                 where tenant_id = $tenant and consumer = $1 and key = $2
                 order by pos limit 1 for update) as first (one)
            on conflict do nothing";
    const STILL_PARKED: Statement<(String, String, i64, String), ()> = "
        update shared_events.parked set reason = $4, attempts = attempts + 1
         where tenant_id = $tenant and consumer = $1 and key = $2 and pos = $3";
    pub(super) const KEYS: Statement<(String, i64, i64), (TenantId, String, i64)> = "
        select tenant_id, key, min(pos) from shared_events.parked
         where consumer = $1 group by tenant_id, key having min(pos) > $2
         order by min(pos) limit $3";
    pub(super) const FIRST: Statement<(String, TenantId, String), Stored> = "
        select log.pos, log.id, log.tenant_id, log.name, log.version, log.key, log.payload::text as payload,
               log.context::text as context, log.at, extract(epoch from clock_timestamp() - log.at)::float8 as age
          from shared_events.parked join shared_events.log on log.pos = parked.pos
         where parked.consumer = $1 and parked.tenant_id = $2 and parked.key = $3
         order by parked.pos limit 1";
}

/// As much of a failure as is kept: enough for a chain of causes, and too little for a dump.
const MAX_REASON: usize = 1000;

/// Parks an event that failed.
pub(crate) async fn park(
    db: &Db,
    to: &str,
    event: &Stored,
    failure: &Failure,
    attempts: u32,
) -> Result<(), Error> {
    let attempts = i32::try_from(attempts).unwrap_or(i32::MAX);
    let params = (to, &event.key, event.pos, event.id, reason(failure), attempts);
    db.tenant(&event.proof()).execute(&PARK, params).await?;
    Ok(())
}

/// Parks an event behind those of its key that are parked; `false` if there are none any more.
pub(crate) async fn park_behind(db: &Db, to: &str, event: &Stored) -> Result<bool, Error> {
    Ok(db.tenant(&event.proof()).execute(&PARK_BEHIND, (to, &event.key, event.pos)).await? == 1)
}

/// Writes down why a parked event failed again.
pub(crate) async fn still_parked(db: &Db, to: &str, event: &Stored, failure: &Failure) -> Result<(), Error> {
    db.tenant(&event.proof()).execute(&STILL_PARKED, (to, &event.key, event.pos, reason(failure))).await?;
    Ok(())
}

fn reason(failure: &Failure) -> String {
    let mut reason = failure.to_string().replace('\0', " ");
    reason.truncate(reason.floor_char_boundary(MAX_REASON));
    reason
}
