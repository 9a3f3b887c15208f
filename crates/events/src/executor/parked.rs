//! What a consumer could not do, and what waits behind it. All of it within a transaction that holds the consumer's position.

use std::collections::HashSet;
use std::time::Duration;

use shared_core::Failure;
use shared_db::{TenantTx, statements};
use uuid::Uuid;

use super::keep;
use crate::{Envelope, Error};

statements! {
    const KEYS: Statement<(String, String, Vec<String>), String> = "
        select distinct key from shared_events.parked
         where tenant_id = $tenant and subscription = $1 and consumer = $2 and key = any ($3)";
    // Without a wait it is dead.
    const PARK: Statement<(String, String, i16, String, i64, Option<i64>, Uuid, String, String, Option<f64>, Option<String>), ()> = "
        insert into shared_events.parked
               (tenant_id, subscription, consumer, lane, key, pos, xid, event_id, name, reason, attempts, state, next_at, envelope)
        values ($tenant, $1, $2, $3, $4, $5, $6::int8::text::xid8, $7, $8, $9, 1,
                case when $10::float8 is null then 'dead' else 'retrying' end,
                clock_timestamp() + make_interval(secs => $10::float8), $11::text::json)
            on conflict do nothing";
    const PARK_BEHIND: Statement<(String, String, Vec<i16>, Vec<String>, Vec<i64>, Vec<Option<i64>>, Vec<Uuid>, Vec<String>, Vec<Option<String>>), ()> = "
        insert into shared_events.parked (tenant_id, subscription, consumer, lane, key, pos, xid, event_id, name, state, envelope)
        select $tenant, $1, $2, e.lane, e.key, e.pos, e.xid::text::xid8, e.id, e.name, 'waiting', e.envelope::json
          from unnest($3::int2[], $4::text[], $5::int8[], $6::int8[], $7::uuid[], $8::text[], $9::text[])
               as e (lane, key, pos, xid, id, name, envelope)
            on conflict do nothing";
}

/// As much of a failure as is kept: enough for a chain of causes, and too little for a dump.
const MAX_REASON: usize = 1000;

/// Those of the events' keys of which something is parked.
pub(super) async fn keys(
    tx: &mut TenantTx,
    subscription: &str,
    consumer: &str,
    events: &[&Envelope],
) -> Result<HashSet<String>, Error> {
    let of: HashSet<&str> = events.iter().map(|event| event.key.as_str()).collect();
    let of: Vec<String> = of.into_iter().map(str::to_owned).collect();
    Ok(tx.all(&KEYS, (subscription, consumer, of)).await?.into_iter().collect())
}

/// Parks an event that failed, to be tried again after the wait, or never.
pub(super) async fn park(
    tx: &mut TenantTx,
    subscription: &str,
    consumer: &str,
    event: &Envelope,
    failure: &Failure,
    wait: Option<Duration>,
) -> Result<(), Error> {
    let params = (
        subscription,
        consumer,
        event.lane.column(),
        &event.key,
        event.place.pos,
        event.xid,
        event.id,
        &event.name,
        reason(failure),
        wait.map(|wait| wait.as_secs_f64()),
        keep::write(event),
    );
    tx.execute(&PARK, params).await?;
    Ok(())
}

/// Parks events behind those of their keys.
pub(super) async fn park_behind(
    tx: &mut TenantTx,
    subscription: &str,
    consumer: &str,
    events: &[&Envelope],
) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    let params = (
        subscription,
        consumer,
        events.iter().map(|event| event.lane.column()).collect::<Vec<_>>(),
        events.iter().map(|event| event.key.clone()).collect::<Vec<_>>(),
        events.iter().map(|event| event.place.pos).collect::<Vec<_>>(),
        events.iter().map(|event| event.xid).collect::<Vec<_>>(),
        events.iter().map(|event| event.id).collect::<Vec<_>>(),
        events.iter().map(|event| event.name.clone()).collect::<Vec<_>>(),
        events.iter().map(|event| keep::write(event)).collect::<Vec<_>>(),
    );
    tx.execute(&PARK_BEHIND, params).await?;
    Ok(())
}

/// What is written down of a failure.
pub(crate) fn reason(failure: &Failure) -> String {
    let mut reason = failure.to_string().replace('\0', " ");
    reason.truncate(reason.floor_char_boundary(MAX_REASON));
    reason
}
