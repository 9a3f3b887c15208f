//! Workers' lives: a row that is renewed, and what becomes of the jobs of one that isn't.

use std::time::Duration;

use shared_db::{Error, statements};
use uuid::Uuid;

use super::Store;
use super::enqueue::milliseconds;
use crate::dead::Reason;

statements! {
    /// `$1` incarnation, `$2` milliseconds to live.
    const REGISTER: Statement<(Uuid, i64), ()> = "
        insert into shared_queues.worker (incarnation, expires_at)
        values ($1, clock_timestamp() + $2::bigint * interval '1 millisecond')";
    const RENEW: Statement<(Uuid, i64), ()> = "
        update shared_queues.worker set expires_at = clock_timestamp() + $2::bigint * interval '1 millisecond'
         where incarnation = $1";
    /// The worker goes by itself: whatever it still holds is ready again, and nothing is counted against the jobs.
    /// The lock on the bodies leaves out those that a handler's transaction completed while this waited for its lease.
    const RETIRE: Statement<(Uuid,), i64> = "
        with gone as (delete from shared_queues.worker where incarnation = $1),
             given as (delete from shared_queues.lease where worker = $1 returning ids),
             held as materialized (select unnest(ids) as id from given),
             back as (
                 insert into shared_queues.ready (queue, id, tenant_id)
                 select queue, id, tenant_id from shared_queues.body where id = any (array(select id from held))
                    for key share
                 returning 1)
        select count(*) from back";
    /// The same for single claims of a worker that lives. `$2` claim numbers.
    const GIVE_BACK: Statement<(Uuid, Vec<i64>), i64> = "
        with given as (delete from shared_queues.lease where worker = $1 and claim = any ($2) returning ids),
             held as materialized (select unnest(ids) as id from given),
             back as (
                 insert into shared_queues.ready (queue, id, tenant_id)
                 select queue, id, tenant_id from shared_queues.body where id = any (array(select id from held))
                 returning 1)
        select count(*) from back";
    /// Takes out workers whose time is over: from here on they claim nothing.
    const EXPIRE: Statement<(), i64> = "
        with gone as (
            delete from shared_queues.worker
             where incarnation = any (array(
                       select incarnation from shared_queues.worker
                        where expires_at < clock_timestamp() for update skip locked))
            returning 1)
        select count(*) from gone";
    /// Takes leases without a worker apart, in a statement after EXPIRE, so that it sees every claim they made. `$1`
    /// leases at most, `$2` crashes that are one too many, `$3` and `$4` reason and text for the dead letters.
    const RESCUE: Statement<(i64, i32, String, String), (i64, i64, i64)> = "
        with orphan as materialized (
                 select l.worker, l.claim from shared_queues.lease l
                  where not exists (select from shared_queues.worker w where w.incarnation = l.worker)
                  limit $1 for update skip locked),
             freed as (
                 delete from shared_queues.lease l using orphan o
                  where l.worker = o.worker and l.claim = o.claim returning l.ids),
             held as materialized (select unnest(ids) as id from freed),
             spared as (
                 update shared_queues.body set crashes = crashes + 1
                  where id = any (array(select id from held)) and crashes + 1 < $2
                 returning queue, id, tenant_id),
             back as (
                 insert into shared_queues.ready (queue, id, tenant_id)
                 select queue, id, tenant_id from spared returning 1),
             doomed as (
                 delete from shared_queues.body
                  where id = any (array(select id from held)) and crashes + 1 >= $2
                 returning job_id, tenant_id, queue, name, version, payload, context, attempts, crashes + 1 as crashes),
             letter as (
                 insert into shared_queues.dead
                        (job_id, tenant_id, queue, name, version, payload, context, attempts, crashes, reason, error)
                 select job_id, tenant_id, queue, name, version, payload, context, attempts, crashes, $3, $4 from doomed
                 returning 1)
        select (select count(*) from freed), (select count(*) from back), (select count(*) from letter)";
}

/// Leases that are taken apart in one statement at most: their jobs are locked for some milliseconds.
const RESCUED_AT_ONCE: i64 = 10;

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Workers that had not renewed in time.
    pub(crate) expired: u64,
    /// Jobs that are ready again.
    pub(crate) rescued: u64,
    /// Jobs whose crash budget is spent.
    pub(crate) dead: u64,
}

impl Store {
    pub(crate) async fn register(&self, worker: Uuid, lease: Duration) -> Result<(), Error> {
        self.db.system().execute(&REGISTER, (worker, milliseconds(lease))).await.map(|_| ())
    }

    /// Whether the worker still has its jobs.
    pub(crate) async fn renew(&self, worker: Uuid, lease: Duration) -> Result<bool, Error> {
        Ok(self.db.system().execute(&RENEW, (worker, milliseconds(lease))).await? > 0)
    }

    /// Hands back all that the worker holds, and returns how many jobs that were.
    pub(crate) async fn retire(&self, worker: Uuid) -> Result<u64, Error> {
        Ok(self.db.system().one(&RETIRE, (worker,)).await?.unsigned_abs())
    }

    /// Hands back what these claims took, if they were made at all.
    pub(crate) async fn give_back(&self, worker: Uuid, claims: &[i64]) -> Result<u64, Error> {
        Ok(self.db.system().one(&GIVE_BACK, (worker, claims)).await?.unsigned_abs())
    }

    /// Frees the jobs of workers that died, whoever began with it.
    pub(crate) async fn sweep(&self, crash_budget: u32) -> Result<Swept, Error> {
        let door = self.db.system();
        let mut swept = Swept { expired: door.one(&EXPIRE, ()).await?.unsigned_abs(), ..Swept::default() };
        let budget = i32::try_from(crash_budget).unwrap_or(i32::MAX);
        let error = format!("{crash_budget} workers died while they held this job");
        loop {
            let given = (RESCUED_AT_ONCE, budget, Reason::Crashed.as_str(), error.as_str());
            let (leases, rescued, dead) = door.one(&RESCUE, given).await?;
            swept.rescued += rescued.unsigned_abs();
            swept.dead += dead.unsigned_abs();
            if leases < RESCUED_AT_ONCE {
                return Ok(swept);
            }
        }
    }
}
