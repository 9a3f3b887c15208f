//! How attempts end: completed, to be tried again, put back, or dead; only under the fence that still holds.

use std::collections::HashSet;
use std::time::Duration;

use shared_core::Context;
use shared_db::{AtCommit, Bound, Db, Error, statements};
use uuid::Uuid;

use super::enqueue::milliseconds;
use super::{Fence, Store};
use crate::dead::Reason;

/// The ids of `$1` that leave their leases: those which the claims of `$3` by the worker `$2` still hold. A lease
/// that is empty goes. Arrays are intersected, since the planner would join them by hash or by chance.
macro_rules! held_by_fence {
    () => {
        "with lease as materialized (
                 select claim, ids from shared_queues.lease
                  where worker = $2 and claim in (select distinct unnest($3::bigint[])) order by claim for update),
             ok as materialized (
                 select lease.claim, x.id from lease, unnest(lease.ids) as x (id)
                 intersect select given.claim, given.id from unnest($3::bigint[], $1::bigint[]) as given (claim, id)),
             rest as materialized (
                 select claim, array(select unnest(lease.ids) except select id from ok where ok.claim = lease.claim) as ids
                   from lease),
             gone as (
                 delete from shared_queues.lease l using rest
                  where l.worker = $2 and l.claim = rest.claim and rest.ids = '{}'),
             kept as (
                 update shared_queues.lease l set ids = rest.ids from rest
                  where l.worker = $2 and l.claim = rest.claim and rest.ids <> '{}'),"
    };
}

statements! {
    /// `$1` ids, `$2` incarnation, `$3` their claims. Returns the ids whose fence held. A body that is gone already was
    /// completed by its handler's transaction.
    pub(super) const ACKNOWLEDGE: Statement<(Vec<i64>, Uuid, Vec<i64>), i64> = concat!(held_by_fence!(), "
             done as (delete from shared_queues.body where id = any (array(select id from ok)))
        select id from ok");
    /// The same, and for each id `$4` what becomes of it (`retry`, `back`, `dead`), `$5` after how many milliseconds,
    /// `$6` for which reason, `$7` with which error.
    pub(super) const SETTLE: Statement<(Vec<i64>, Uuid, Vec<i64>, Vec<String>, Vec<i64>, Vec<String>, Vec<String>), i64> =
        concat!(held_by_fence!(), "
             fate as materialized (
                 select f.id, f.fate, f.delay, f.reason, f.error
                   from unnest($1::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[])
                                 as f (id, fate, delay, reason, error) join ok on ok.id = f.id),
             retried as (
                 update shared_queues.body set attempts = attempts + 1
                  where id = any (array(select id from fate where fate = 'retry')) returning queue, id, tenant_id),
             back as (
                 select queue, id, tenant_id from shared_queues.body
                  where id = any (array(select id from fate where fate = 'back'))),
             later as (
                 insert into shared_queues.scheduled (queue, due_at, id, tenant_id)
                 select w.queue, clock_timestamp() + f.delay * interval '1 millisecond', w.id, w.tenant_id
                   from (select queue, id, tenant_id from retried
                         union all select queue, id, tenant_id from back) w join fate f on f.id = w.id),
             doomed as (
                 delete from shared_queues.body
                  where id = any (array(select id from fate where fate = 'dead'))
                 returning id, job_id, tenant_id, queue, name, version, payload, context, attempts, crashes),
             letter as (
                 insert into shared_queues.dead
                        (job_id, tenant_id, queue, name, version, payload, context, attempts, crashes, reason, error)
                 select d.job_id, d.tenant_id, d.queue, d.name, d.version, d.payload, d.context,
                        d.attempts + (f.reason <> 'unreadable')::integer, d.crashes, f.reason, f.error
                   from doomed d join fate f on f.id = d.id)
        select id from ok");
    const COMPLETE: Statement<(Uuid, i64, i64), ()> = "select shared_queues.complete($1, $2, $3)";
}

/// What becomes of a job after an attempt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fate {
    Completed,
    /// Another attempt.
    Retry(Duration),
    /// It was not attempted: somebody else may, later.
    Back(Duration),
    Dead(Reason, String),
}

/// A job and what becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settled {
    pub(crate) claim: i64,
    pub(crate) id: i64,
    pub(crate) fate: Fate,
}

impl Store {
    /// Settles what the worker's fence still holds, and returns how many were refused since it doesn't.
    pub(crate) async fn settle(&self, worker: Uuid, all: &[Settled]) -> Result<usize, Error> {
        let (completed, others): (Vec<&Settled>, Vec<&Settled>) =
            all.iter().partition(|one| one.fate == Fate::Completed);
        // One after the other: both lock leases, perhaps the same ones.
        let mut accepted = HashSet::new();
        if !completed.is_empty() {
            let ids: Vec<i64> = completed.iter().map(|one| one.id).collect();
            let claims: Vec<i64> = completed.iter().map(|one| one.claim).collect();
            accepted.extend(self.db.system().all(&ACKNOWLEDGE, (ids, worker, claims)).await?);
        }
        if !others.is_empty() {
            accepted.extend(self.settle_others(worker, &others).await?);
        }
        Ok(all.iter().filter(|one| !accepted.contains(&one.id)).count())
    }

    async fn settle_others(&self, worker: Uuid, others: &[&Settled]) -> Result<Vec<i64>, Error> {
        let ids: Vec<i64> = others.iter().map(|one| one.id).collect();
        let claims: Vec<i64> = others.iter().map(|one| one.claim).collect();
        let (mut fates, mut delays, mut reasons, mut errors) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for one in others {
            let (fate, delay, reason, error) = match &one.fate {
                Fate::Completed => continue,
                Fate::Retry(delay) => ("retry", *delay, "", ""),
                Fate::Back(delay) => ("back", *delay, "", ""),
                Fate::Dead(reason, error) => ("dead", Duration::ZERO, reason.as_str(), error.as_str()),
            };
            fates.push(fate.to_owned());
            delays.push(milliseconds(delay));
            reasons.push(reason.to_owned());
            errors.push(error.replace('\0', "\u{fffd}"));
        }
        self.db.system().all(&SETTLE, (ids, worker, claims, fates, delays, reasons, errors)).await
    }
}

/// A completion that goes out with the COMMIT of the handler's own transaction.
#[derive(Default)]
pub(crate) struct Completion(pub(crate) Option<Fence>);

impl AtCommit for Completion {
    fn mark(&self) -> usize {
        usize::from(self.0.is_some())
    }

    fn rewind(&mut self, mark: usize) {
        if mark == 0 {
            self.0 = None;
        }
    }

    fn statements(&self, _: &Context) -> Vec<Bound> {
        self.0.iter().map(|fence| COMPLETE.bind((fence.worker, fence.claim, fence.id))).collect()
    }

    fn committed(&self, _: &Db) {}
}
