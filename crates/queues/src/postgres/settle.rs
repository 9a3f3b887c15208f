//! How attempts end: completed, to be tried again, put back, or dead; only under the fence that still holds.

use std::collections::HashSet;
use std::time::Duration;

use shared_core::Context;
use shared_db::{AtCommit, Bound, Db, statements};
use uuid::Uuid;

use super::Store;
use super::columns::{milliseconds, without_nul};
use crate::backend::{Fate, Fence, Settled};
use crate::{Error, JobId};

statements! {
    /// Completes what leaves nothing behind: the jobs `$1` which the claims `$3` of the worker `$2` still hold, and returns those. A lease
    /// that is empty goes. Arrays are intersected, since the planner would join them by hash or by chance. A body that is gone already
    /// was completed by its handler's transaction. Only leases with admitted jobs have places to free.
    pub(super) const ACKNOWLEDGE: Statement<(Vec<JobId>, Uuid, Vec<i64>), (Vec<JobId>, Option<String>)> = "
        with lease as materialized (
                 select claim, ids, gated from shared_queues.lease
                  where worker = $2 and claim in (select distinct unnest($3::bigint[])) order by claim for update),
             ok as materialized (
                 select lease.claim, x.id from lease, unnest(lease.ids) as x (id)
                 intersect select given.claim, given.id from unnest($3::bigint[], $1::uuid[]) as given (claim, id)),
             rest as materialized (
                 select claim, array(select unnest(lease.ids) except select id from ok where ok.claim = lease.claim) as ids
                   from lease),
             gone as (
                 delete from shared_queues.lease l using rest
                  where l.worker = $2 and l.claim = rest.claim and rest.ids = '{}'),
             kept as (
                 update shared_queues.lease l set ids = rest.ids from rest
                  where l.worker = $2 and l.claim = rest.claim and rest.ids <> '{}'),
             done as (
                 delete from shared_queues.body where job_id = any (array(select id from ok))
                 returning lane, order_key is not null as ordered, limits),
             unasked as (
                 delete from shared_queues.cancelling
                  where (select exists (select from shared_queues.cancelling)) and job_id = any (array(select id from ok)))
        select array(select id from ok),
               case when (select bool_or(gated) from lease)
                    then shared_queues.free_of(array(select id from ok), array(select lane from done where ordered),
                                               array(select k.limit_key from done cross join unnest(limits) as k (limit_key)))::text end";
    /// The others: `$4` fates, `$5` milliseconds, `$6` reasons, `$7` texts, `$8` milliseconds for which what is cancelled is remembered.
    const SETTLE: Statement<(Uuid, Vec<JobId>, Vec<i64>, Vec<String>, Vec<i64>, Vec<String>, Vec<String>, Vec<i64>), JobId> = "
        select s.job_id from shared_queues.settle($1, $2, $3, $4, $5, $6, $7, $8) as s (job_id)";
    const COMPLETE: Statement<(Uuid, i64, JobId, i64), ()> = "select shared_queues.complete($1, $2, $3, $4)";
}

impl Store {
    /// Settles what the worker's fence still holds, and returns the jobs that were refused since it doesn't.
    pub(super) async fn settle_all(&self, worker: Uuid, all: &[Settled]) -> Result<Vec<JobId>, Error> {
        let (quick, others): (Vec<&Settled>, Vec<&Settled>) =
            all.iter().partition(|one| matches!(one.fate, Fate::Completed { keep: Duration::ZERO, .. }));
        // One after the other: both lock leases, perhaps the same ones.
        let mut accepted = HashSet::new();
        if !quick.is_empty() {
            let (jobs, claims) = fences(&quick);
            let (done, _) = self.db.system().one(&ACKNOWLEDGE, (jobs, worker, claims)).await?;
            accepted.extend(done);
        }
        if !others.is_empty() {
            let (jobs, claims) = fences(&others);
            let fates = Fates::of(&others);
            let given =
                (worker, jobs, claims, fates.words, fates.waits, fates.reasons, fates.texts, fates.keeps);
            accepted.extend(self.db.system().all(&SETTLE, given).await?);
        }
        // The first that names a job settles it.
        Ok(all.iter().map(|one| one.job).filter(|job| !accepted.remove(job)).collect())
    }
}

fn fences(all: &[&Settled]) -> (Vec<JobId>, Vec<i64>) {
    all.iter().map(|one| (one.job, one.claim)).unzip()
}

/// An array for each part of a fate.
#[derive(Default)]
struct Fates {
    words: Vec<String>,
    waits: Vec<i64>,
    reasons: Vec<String>,
    texts: Vec<String>,
    keeps: Vec<i64>,
}

impl Fates {
    fn of(all: &[&Settled]) -> Self {
        let mut fates = Self::default();
        for one in all {
            let (word, wait, reason, text) = match &one.fate {
                Fate::Completed { result, keep } => ("completed", *keep, "", result.as_deref().unwrap_or("")),
                Fate::Cancelled { keep } => ("cancelled", *keep, "", ""),
                Fate::Retry { after, error } => ("retry", *after, "", error.as_str()),
                Fate::Later(after) => ("later", *after, "", ""),
                Fate::Dead(reason, error) => ("dead", Duration::ZERO, reason.as_str(), error.as_str()),
            };
            fates.words.push(word.to_owned());
            fates.waits.push(milliseconds(wait));
            fates.reasons.push(reason.to_owned());
            fates.texts.push(without_nul(text));
            fates.keeps.push(milliseconds(one.keep_cancelled));
        }
        fates
    }
}

/// A completion that goes out with the COMMIT of the handler's own transaction.
#[derive(Default)]
pub(crate) struct Completion(Option<(Fence, Duration)>);

impl Completion {
    /// Completes this job, and remembers it for so long.
    pub(crate) fn set(&mut self, fence: Fence, keep: Duration) {
        self.0 = Some((fence, keep));
    }
}

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
        let bind = |(fence, keep): &(Fence, Duration)| {
            COMPLETE.bind((fence.worker, fence.claim, fence.job, milliseconds(*keep)))
        };
        self.0.iter().map(bind).collect()
    }

    fn committed(&self, _: &Db) {}
}
