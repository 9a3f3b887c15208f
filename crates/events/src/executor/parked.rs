//! What a consumer could not do, and what waits behind it. All of it within a transaction that holds the consumer's position.

use shared_core::Failure;
use shared_db::{TenantTx, statements};
use uuid::Uuid;

use super::{Executor, Named, Origin, keep, turn};
use crate::{Envelope, Error};

statements! {
    // Without a wait it is dead. Without a position it is given the next one of this log, which nothing else has, and which is later than
    // what was parked before.
    const PARK: Statement<(String, String, i16, String, Option<i64>, Option<i64>, Uuid, String, String, Option<f64>, Option<String>), ()> = "
        insert into shared_events.parked
               (tenant_id, subscription, consumer, lane, key, pos, xid, event_id, name, reason, attempts, state, next_at, envelope)
        values ($tenant, $1, $2, $3, $4, coalesce($5, nextval('shared_events.log_pos_seq')), $6::int8::text::xid8, $7, $8, $9, 1,
                case when $10::float8 is null then 'dead' else 'retrying' end,
                clock_timestamp() + make_interval(secs => $10::float8), $11::text::json)";
    const PARK_BEHIND: Statement<(String, String, Vec<i16>, Vec<String>, Vec<Option<i64>>, Vec<Option<i64>>, Vec<Uuid>, Vec<String>, Vec<Option<String>>), ()> = "
        insert into shared_events.parked (tenant_id, subscription, consumer, lane, key, pos, xid, event_id, name, state, envelope)
        select $tenant, $1, $2, e.lane, e.key, coalesce(e.pos, nextval('shared_events.log_pos_seq')), e.xid::text::xid8, e.id, e.name, 'waiting', e.envelope::json
          from unnest($3::int2[], $4::text[], $5::int8[], $6::int8[], $7::uuid[], $8::text[], $9::text[])
               with ordinality as e (lane, key, pos, xid, id, name, envelope, place)
         order by e.place";
}

/// As much of a failure as is kept: enough for a chain of causes, and too little for a dump.
const MAX_REASON: usize = 1000;

/// The events' keys, each once.
pub(super) fn keys(events: &[&Envelope]) -> Vec<String> {
    let mut keys: Vec<&str> = events.iter().map(|event| event.key.as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().map(str::to_owned).collect()
}

impl Executor {
    /// Parks an event that failed for the first time, to be tried again after a wait, or never.
    pub(super) async fn park(
        &self,
        tx: &mut TenantTx,
        to: &Named,
        event: &Envelope,
        failure: &Failure,
    ) -> Result<(), Error> {
        let wait = self.wait(failure, 1);
        turn::said(to.name, &event.name, event.id, failure, 1, wait);
        let params = (
            &self.subscription,
            to.name,
            event.lane.column(),
            &event.key,
            self.position(event),
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
        &self,
        tx: &mut TenantTx,
        to: &Named,
        events: &[&Envelope],
    ) -> Result<(), Error> {
        if events.is_empty() {
            return Ok(());
        }
        let params = (
            &self.subscription,
            to.name,
            events.iter().map(|event| event.lane.column()).collect::<Vec<_>>(),
            events.iter().map(|event| event.key.clone()).collect::<Vec<_>>(),
            events.iter().map(|event| self.position(event)).collect::<Vec<_>>(),
            events.iter().map(|event| event.xid).collect::<Vec<_>>(),
            events.iter().map(|event| event.id).collect::<Vec<_>>(),
            events.iter().map(|event| event.name.clone()).collect::<Vec<_>>(),
            events.iter().map(|event| keep::write(event)).collect::<Vec<_>>(),
        );
        tx.execute(&PARK_BEHIND, params).await?;
        Ok(())
    }

    /// Where the event is in this log, if it is: in other logs another event may have the same position.
    fn position(&self, event: &Envelope) -> Option<i64> {
        (self.origin != Origin::Others).then_some(event.place.pos)
    }
}

/// What is written down of a failure.
pub(crate) fn reason(failure: &Failure) -> String {
    let mut reason = failure.to_string().replace('\0', " ");
    reason.truncate(reason.floor_char_boundary(MAX_REASON));
    reason
}
