//! Workers' lives: a row that is renewed, and what becomes of the jobs of one that isn't.

use std::sync::Arc;
use std::time::Duration;

use shared_db::statements;
use uuid::Uuid;

use super::Store;
use super::columns::{milliseconds, without_nul};
use crate::backend::Swept;
use crate::{Error, JobId, Progress};

statements! {
    /// `$1` incarnation, `$2` milliseconds to live, `$3` its queues, which exist from now on.
    const REGISTER: Statement<(Uuid, i64, Vec<String>), ()> = "
        with known as (
                 insert into shared_queues.queue (name) select n.name from unnest($3::text[]) as n (name)
                  where not exists (select from shared_queues.queue q where q.name = n.name) order by 1
                     on conflict do nothing)
        insert into shared_queues.worker (incarnation, expires_at)
        values ($1, clock_timestamp() + $2::bigint * interval '1 millisecond')
            on conflict (incarnation) do update set expires_at = excluded.expires_at";
    const RENEW: Statement<(Uuid, i64), ()> = "
        update shared_queues.worker set expires_at = clock_timestamp() + $2::bigint * interval '1 millisecond'
         where incarnation = $1";
    /// The same with how far jobs are: `$3` jobs, `$4` parts, `$5` notes.
    const RENEW_WITH_PROGRESS: Statement<(Uuid, i64, Vec<JobId>, Vec<f64>, Vec<String>), bool> = "
        select shared_queues.renew($1, $2, $3, $4, $5)";
    const RETIRE: Statement<(Uuid,), i64> = "select shared_queues.retire($1)";
    const HELD: Statement<(Uuid, String), (JobId, i64)> = "
        select x.id, l.claim from shared_queues.lease l, unnest(l.ids) as x (id) where l.worker = $1 and l.queue = $2";
    const GIVE_BACK: Statement<(Uuid, Vec<i64>), i64> = "select shared_queues.give_back($1, $2)";
    /// Takes out workers whose time is over: from here on they claim nothing.
    const EXPIRE: Statement<(), i64> = "
        with gone as (
                 delete from shared_queues.worker
                  where incarnation = any (array(
                            select incarnation from shared_queues.worker
                             where expires_at < clock_timestamp() for update skip locked))
                 returning incarnation),
             told as (delete from shared_queues.progress where worker = any (array(select incarnation from gone)))
        select count(*) from gone";
    /// Takes leases without a worker apart, in a statement after EXPIRE, so that it sees every claim they made. `$1` leases at most, `$2`
    /// crashes that are one too many, `$3` the text for the dead letters, `$4` whether of one queue alone.
    const RESCUE: Statement<(i32, i32, String, Option<String>), (i64, i64, i64)> = "
        select r.leases, r.rescued, r.doomed from shared_queues.rescue($1, $2, $3, $4) r";
    const TO_CANCEL: Statement<(Uuid, i64), JobId> = "
        select c.job_id from shared_queues.cancelling c
         where exists (select from shared_queues.lease l where l.worker = $1 and l.ids @> array[c.job_id]) limit $2";
}

/// Leases that are taken apart in one statement at most: their jobs are locked for some milliseconds.
const RESCUED_AT_ONCE: i32 = 10;

/// Jobs to cancel that a worker is told at once; the others at its next question.
const TOLD_AT_ONCE: i64 = 1000;

impl Store {
    pub(super) async fn open(&self, worker: Uuid, queues: &[Arc<str>], lease: Duration) -> Result<(), Error> {
        let queues: Vec<String> = queues.iter().map(ToString::to_string).collect();
        self.db.system().execute(&REGISTER, (worker, milliseconds(lease), queues)).await?;
        Ok(())
    }

    pub(super) async fn keep_open(
        &self,
        worker: Uuid,
        lease: Duration,
        progress: &[(JobId, Progress)],
    ) -> Result<bool, Error> {
        let (door, lease) = (self.db.system(), milliseconds(lease));
        if progress.is_empty() {
            return Ok(door.execute(&RENEW, (worker, lease)).await? > 0);
        }
        let jobs: Vec<JobId> = progress.iter().map(|(job, _)| *job).collect();
        let parts: Vec<f64> = progress.iter().map(|(_, progress)| progress.part).collect();
        let notes: Vec<String> = progress.iter().map(|(_, progress)| without_nul(&progress.note)).collect();
        Ok(door.one(&RENEW_WITH_PROGRESS, (worker, lease, jobs, parts, notes)).await?)
    }

    pub(super) async fn hand_back_all(&self, worker: Uuid) -> Result<u64, Error> {
        let back = self.db.system().one(&RETIRE, (worker,)).await?.unsigned_abs();
        self.turns.some_came_back();
        Ok(back)
    }

    pub(super) async fn hand_back(&self, worker: Uuid, claims: &[i64]) -> Result<u64, Error> {
        let back = self.db.system().one(&GIVE_BACK, (worker, claims)).await?.unsigned_abs();
        self.turns.some_came_back();
        Ok(back)
    }

    pub(super) async fn held_by(&self, worker: Uuid, queue: &str) -> Result<Vec<(JobId, i64)>, Error> {
        Ok(self.db.system().all(&HELD, (worker, queue)).await?)
    }

    /// Whoever began with it: leases without a worker are taken apart by all who sweep, whatever their queues. If that fails, then perhaps
    /// for the jobs of one queue: so each of these is tried by itself.
    pub(super) async fn rescue_all(&self, queues: &[Arc<str>], crash_budget: u32) -> Result<Swept, Error> {
        let expired = self.db.system().one(&EXPIRE, ()).await?.unsigned_abs();
        let mut swept = Swept { expired, ..Swept::default() };
        let Err(mut failed) = self.rescue(None, crash_budget, &mut swept).await else { return Ok(swept) };
        for queue in queues {
            if let Err(error) = self.rescue(Some(queue), crash_budget, &mut swept).await {
                failed = error;
            }
        }
        swept.despite(Some(failed))
    }

    async fn rescue(&self, queue: Option<&str>, crash_budget: u32, swept: &mut Swept) -> Result<(), Error> {
        let budget = i32::try_from(crash_budget).unwrap_or(i32::MAX);
        let error = format!("{crash_budget} workers died while they held this job");
        loop {
            let given = (RESCUED_AT_ONCE, budget, error.as_str(), queue);
            let (leases, rescued, dead) = self.db.system().one(&RESCUE, given).await?;
            swept.rescued += rescued.unsigned_abs();
            swept.dead += dead.unsigned_abs();
            if rescued > 0 {
                self.turns.some_came_back();
            }
            if leases < i64::from(RESCUED_AT_ONCE) {
                return Ok(());
            }
        }
    }

    pub(super) async fn asked_to_cancel(&self, worker: Uuid) -> Result<Vec<JobId>, Error> {
        Ok(self.db.system().all(&TO_CANCEL, (worker, TOLD_AT_ONCE)).await?)
    }
}
