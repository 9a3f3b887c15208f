use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use shared_db::redis::Call;
use uuid::Uuid;

use super::codec::{self, Body, milliseconds};
use super::enqueue::{read_answer, unanswered, with_entry};
use super::limits::Question;
use super::scripts::{BACK, CANCELS, CLAIM, HOLDINGS, ONCE, PROMOTE, PRUNE, RENEW, SETTLE};
use super::{RedisBackend, STEP};
use crate::backend::{Claim, Claimed, Entry, Fate, Retention, Settled, Swept, Work};
use crate::dead::Reason;
use crate::{Enqueued, Error, JobId, Progress};

/// What a claim returns: the time, jobs, bodies, questions about limits.
type ClaimedRows = (u64, Vec<Vec<u8>>, Vec<Vec<u8>>, Vec<Question>);

/// What a step backwards returns: jobs that wait again, dead ones, whether there is more, workers that expired.
type Back = (u64, u64, bool, Vec<Vec<u8>>);

#[async_trait]
impl Work for RedisBackend {
    async fn enqueue(&self, mut jobs: Vec<Entry>) -> Result<Vec<Enqueued>, Error> {
        match jobs.pop() {
            Some(job) if jobs.is_empty() => {
                self.introduce(&job.queue, false).await?;
                Ok(vec![self.joined(&job.queue).enqueue(job).await?])
            }
            last => {
                jobs.extend(last);
                self.enqueue_all(&jobs).await
            }
        }
    }

    async fn enqueue_once(&self, job: Entry, remember: Duration) -> Result<Enqueued, Error> {
        self.introduce(&job.queue, false).await?;
        let call = with_entry(self.on(&ONCE, &job.queue), &job).arg(milliseconds(remember));
        let said: Vec<u8> = self.run(call).await?;
        Ok(read_answer(&said).ok_or_else(unanswered)?)
    }

    async fn register(&self, worker: Uuid, queues: &[Arc<str>], lease: Duration) -> Result<(), Error> {
        for queue in queues {
            self.introduce(queue, true).await?;
            let _: bool = self.run(self.renewal(queue, worker, lease, true)).await?;
        }
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).insert(worker, milliseconds(lease));
        Ok(())
    }

    async fn renew(
        &self,
        worker: Uuid,
        queues: &[Arc<str>],
        lease: Duration,
        progress: &[(JobId, Progress)],
    ) -> Result<bool, Error> {
        let renewals = queues.iter().map(|queue| {
            let call = self.renewal(queue, worker, lease, false);
            // Each queue takes what it knows of.
            let call = progress.iter().fold(call, |call, (job, progress)| {
                call.arg(job.as_uuid().as_bytes().as_slice()).arg(codec::progress(progress))
            });
            self.run::<bool>(call)
        });
        let held = try_join_all(renewals).await?;
        if held.iter().all(|held| *held) {
            return Ok(true);
        }
        // Lost in one queue is lost in all: its jobs there are taken by the next sweep.
        let lost = Duration::ZERO;
        for (queue, _) in queues.iter().zip(&held).filter(|(_, held)| **held) {
            let _: bool = self.run(self.renewal(queue, worker, lost, false)).await?;
        }
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).remove(&worker);
        Ok(false)
    }

    /// A queue that can't be reached keeps no other from being given back.
    async fn retire(&self, worker: Uuid, queues: &[Arc<str>]) -> Result<u64, Error> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).remove(&worker);
        let all = join_all(queues.iter().map(|queue| self.retire_from(worker, queue))).await;
        all.into_iter().sum()
    }

    async fn give_back(&self, worker: Uuid, queue: &str, claims: &[i64]) -> Result<u64, Error> {
        let mut all = 0;
        for claims in claims.chunks(STEP) {
            let call = self.on(&BACK, queue).arg("give").arg(worker.as_bytes().as_slice());
            let call = claims.iter().fold(call, |call, claim| call.arg(claim.to_be_bytes().as_slice()));
            loop {
                let (back, _, more, _): Back = self.run(call.clone()).await?;
                all += back;
                if !more {
                    break;
                }
            }
        }
        Ok(all)
    }

    async fn held(&self, worker: Uuid, queue: &str) -> Result<Vec<(JobId, i64)>, Error> {
        let call = self.on(&HOLDINGS, queue).arg(worker.as_bytes().as_slice());
        let held: Vec<(Vec<u8>, Vec<u8>)> = self.run(call).await?;
        let read = |(job, claim): &(Vec<u8>, Vec<u8>)| Some((codec::job(job)?, codec::claim(claim)?));
        Ok(held.iter().filter_map(read).collect())
    }

    async fn sweep(&self, queues: &[Arc<str>], crash_budget: u32) -> Result<Swept, Error> {
        let (mut swept, mut workers, mut failed) = (Swept::default(), HashSet::new(), None);
        for queue in queues {
            // One that can't be reached keeps no other from being swept.
            if let Err(error) = self.sweep_queue(queue, crash_budget, &mut swept, &mut workers).await {
                failed = Some(error);
            }
        }
        swept.expired = workers.len() as u64;
        swept.despite(failed)
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Vec<Claimed>, Error> {
        let mut all = Vec::new();
        while all.len() < claim.most {
            let most = (claim.most - all.len()).min(STEP);
            let (mut some, questions) = self.claim_step(&claim, most, false).await?;
            if !questions.is_empty() {
                self.ask(claim.queue, questions).await?;
                if some.len() < most {
                    let (more, questions) = self.claim_step(&claim, most - some.len(), true).await?;
                    some.extend(more);
                    // For the next claim: these are limits that let some pass, and could let more.
                    self.ask(claim.queue, questions).await?;
                }
            }
            let is_short = some.len() < most;
            all.extend(some);
            if is_short {
                break;
            }
        }
        Ok(all)
    }

    async fn settle(&self, worker: Uuid, queue: &str, all: &[Settled]) -> Result<Vec<JobId>, Error> {
        let mut refused = Vec::new();
        for some in all.chunks(STEP) {
            let said: Vec<Vec<u8>> = self.run(self.settlement(worker, queue, some)).await?;
            refused.extend(said.iter().filter_map(|job| codec::job(job)));
        }
        Ok(refused)
    }

    async fn wait(&self, queues: &[Arc<str>], most: Duration) {
        self.wait_for_wake(queues, most).await;
    }

    async fn promote(&self, queue: &str) -> Result<bool, Error> {
        self.introduce(queue, false).await?;
        let (more, questions): (bool, Vec<Question>) = self.run(self.on(&PROMOTE, queue)).await?;
        self.ask(queue, questions).await?;
        Ok(more)
    }

    async fn to_cancel(&self, worker: Uuid, queues: &[Arc<str>]) -> Result<Vec<JobId>, Error> {
        let calls = queues.iter().map(|queue| {
            self.run::<Vec<Vec<u8>>>(self.on(&CANCELS, queue).arg(worker.as_bytes().as_slice()))
        });
        let jobs = try_join_all(calls).await?;
        Ok(jobs.iter().flatten().filter_map(|job| codec::job(job)).collect())
    }

    async fn prune(&self, queues: &[Arc<str>], retention: Retention) -> Result<(u64, bool), Error> {
        let Retention { kept_most, dead_for, dead_most } = retention;
        let (mut removed, mut more) = (0, false);
        for queue in queues {
            let call = self.on(&PRUNE, queue).arg(milliseconds(dead_for)).arg(dead_most).arg(kept_most);
            let (some, is_more): (u64, bool) = self.run(call).await?;
            removed += some;
            more |= is_more;
        }
        Ok((removed, more))
    }
}

impl RedisBackend {
    async fn sweep_queue(
        &self,
        queue: &str,
        crash_budget: u32,
        swept: &mut Swept,
        workers: &mut HashSet<Vec<u8>>,
    ) -> Result<(), Error> {
        loop {
            let call = self.on(&BACK, queue).arg("sweep").arg(crash_budget);
            let (back, dead, more, late): Back = self.run(call).await?;
            swept.rescued += back;
            swept.dead += dead;
            workers.extend(late);
            if !more {
                return Ok(());
            }
        }
    }

    async fn retire_from(&self, worker: Uuid, queue: &str) -> Result<u64, Error> {
        let call = self.on(&BACK, queue).arg("retire").arg(worker.as_bytes().as_slice());
        let mut all = 0;
        loop {
            let (back, _, more, _): Back = self.run(call.clone()).await?;
            all += back;
            if !more {
                return Ok(all);
            }
        }
    }

    fn renewal(&self, queue: &str, worker: Uuid, lease: Duration, begins: bool) -> Call {
        let call = self.on(&RENEW, queue).arg(worker.as_bytes().as_slice()).arg(milliseconds(lease));
        call.arg(u8::from(begins))
    }

    pub(super) async fn claim_step(
        &self,
        claim: &Claim<'_>,
        most: usize,
        answered: bool,
    ) -> Result<(Vec<Claimed>, Vec<Question>), Error> {
        let call = self
            .on(&CLAIM, claim.queue)
            .arg(claim.worker.as_bytes().as_slice())
            .arg(self.lease_of(claim.worker))
            .arg(claim.number.to_be_bytes().as_slice())
            .arg(most)
            .arg(u8::from(claim.lowest_first()))
            .arg(u8::from(answered));
        let (now, jobs, bodies, questions): ClaimedRows = self.run(call).await?;
        let read = |(job, body): (&Vec<u8>, &Vec<u8>)| {
            let claimed = Body::read(body)?.claimed(codec::job(job)?, now);
            if claimed.is_none() {
                tracing::error!(queue = claim.queue, "a job in Redis is not in the format of this version");
            }
            claimed
        };
        Ok((jobs.iter().zip(&bodies).filter_map(read).collect(), questions))
    }

    fn settlement(&self, worker: Uuid, queue: &str, all: &[Settled]) -> Call {
        let is_done = |one: &&Settled| matches!(one.fate, Fate::Completed { keep, .. } if keep.is_zero());
        let (done, others): (Vec<&Settled>, Vec<&Settled>) = all.iter().partition(is_done);
        let call = self.on(&SETTLE, queue).arg(worker.as_bytes().as_slice()).arg(self.lease_of(worker));
        let fenced = |call: Call, one: &Settled| {
            call.arg(one.claim.to_be_bytes().as_slice()).arg(one.job.as_uuid().as_bytes().as_slice())
        };
        let mut claims: Vec<(i64, Vec<JobId>)> = Vec::new();
        for one in done {
            match claims.iter_mut().find(|(claim, _)| *claim == one.claim) {
                Some((_, jobs)) => jobs.push(one.job),
                None => claims.push((one.claim, vec![one.job])),
            }
        }
        let call = claims.iter().fold(call.arg(claims.len()), |call, (claim, jobs)| {
            let call = call.arg(claim.to_be_bytes().as_slice()).arg(jobs.len());
            jobs.iter().fold(call, |call, job| call.arg(job.as_uuid().as_bytes().as_slice()))
        });
        others.iter().fold(call, |call, one| {
            let (word, time, text, reason) = match &one.fate {
                Fate::Completed { result, keep } => ("c", *keep, result.as_deref().unwrap_or(""), 0),
                Fate::Cancelled { keep } => ("x", *keep, "", 0),
                Fate::Retry { after, error } => ("r", *after, error.as_str(), 0),
                Fate::Later(after) => ("l", *after, "", 0),
                Fate::Dead(reason, error) => ("d", Duration::ZERO, error.as_str(), number(*reason)),
            };
            fenced(call, one)
                .arg(word)
                .arg(milliseconds(time))
                .arg(text)
                .arg(reason)
                .arg(milliseconds(one.keep_cancelled))
        })
    }
}

/// As it is stored.
pub(super) const fn number(reason: Reason) -> u8 {
    match reason {
        Reason::Failed => 1,
        Reason::Exhausted => 2,
        Reason::Crashed => 3,
        Reason::Unreadable => 4,
    }
}
