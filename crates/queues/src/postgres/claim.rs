//! Taking jobs: a batch at a time, under one lease.

use shared_core::TenantId;
use shared_db::{Error, Row, statements};
use uuid::Uuid;

use super::Store;

statements! {
    /// `$1` queue, `$2` how many at most, `$3` incarnation, `$4` claim number. A worker that was taken out gets nothing.
    ///
    /// Losing a claim only delivers its jobs again, under another fence: so its commit need not be flushed. The rows to
    /// delete are found by their place, and bodies by an array of ids: a join would be planned while the tables are empty,
    /// and might then walk over all bodies that wait for their time.
    pub(super) const CLAIM: Statement<(String, i64, Uuid, i64), Claimed> = "
        with unflushed as materialized (select set_config('synchronous_commit', 'off', true)),
             picked as materialized (
                 select ctid from shared_queues.ready
                  where queue = $1 and exists (select from shared_queues.worker where incarnation = $3)
                  order by id limit $2 for update skip locked),
             taken as (delete from shared_queues.ready where ctid = any (array(select ctid from picked)) returning id),
             lease as (
                 insert into shared_queues.lease (worker, claim, ids)
                 select $3, $4, array_agg(id) from taken having count(*) > 0)
        select b.id, b.tenant_id, b.job_id, b.queue, b.name, b.version, b.payload, b.context, b.attempts,
               extract(epoch from clock_timestamp() - b.due_at)::float8 as waited
          from shared_queues.body b cross join unflushed where b.id = any (array(select id from taken))";
    /// Moves what is due to the ready ones. `$1` queue, `$2` how many at most.
    const PROMOTE: Statement<(String, i64), i64> = "
        with due as materialized (
                 select ctid from shared_queues.scheduled
                  where queue = $1 and due_at <= clock_timestamp()
                  order by due_at limit $2 for update skip locked),
             taken as (
                 delete from shared_queues.scheduled where ctid = any (array(select ctid from due))
                 returning queue, id, tenant_id),
             moved as (
                 insert into shared_queues.ready (queue, id, tenant_id) select queue, id, tenant_id from taken returning 1)
        select count(*) from moved";
}

/// A claimed job, not yet looked into.
#[derive(Row)]
pub(crate) struct Claimed {
    pub(crate) id: i64,
    pub(crate) tenant_id: TenantId,
    pub(crate) job_id: Uuid,
    pub(crate) queue: String,
    pub(crate) name: String,
    pub(crate) version: i32,
    pub(crate) payload: String,
    pub(crate) context: String,
    /// Failed attempts before this one.
    pub(crate) attempts: i32,
    /// Seconds since the job was due for the first time.
    pub(crate) waited: f64,
}

/// Due jobs that are moved in one statement at most: some milliseconds of work, and the rest in the next one.
const PROMOTED_AT_ONCE: i64 = 1000;

impl Store {
    /// Takes up to `most` jobs of a queue, oldest first.
    pub(crate) async fn claim(
        &self,
        queue: &str,
        most: usize,
        worker: Uuid,
        claim: i64,
    ) -> Result<Vec<Claimed>, Error> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut jobs = self.db.system().all(&CLAIM, (queue, most, worker, claim)).await?;
        jobs.sort_unstable_by_key(|job| job.id);
        Ok(jobs)
    }

    /// Makes due jobs of a queue ready, and returns whether more may be due.
    pub(crate) async fn promote(&self, queue: &str) -> Result<bool, Error> {
        let moved = self.db.system().one(&PROMOTE, (queue, PROMOTED_AT_ONCE)).await?;
        Ok(moved == PROMOTED_AT_ONCE)
    }
}
