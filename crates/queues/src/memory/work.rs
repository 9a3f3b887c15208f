use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::select_all;
use uuid::Uuid;

use super::Memory;
use super::state::Life;
use crate::backend::{Claim, Claimed, Entry, Retention, Settled, Swept, Work};
use crate::{Enqueued, Error, JobId, Progress};

#[async_trait]
impl Work for Memory {
    async fn enqueue(&self, jobs: Vec<Entry>) -> Result<Vec<Enqueued>, Error> {
        let mut state = self.state();
        let now = state.clock.now();
        Ok(jobs.into_iter().map(|entry| state.enqueue(entry, now)).collect())
    }

    async fn enqueue_once(&self, job: Entry, remember: Duration) -> Result<Enqueued, Error> {
        let mut state = self.state();
        let now = state.clock.now();
        Ok(state.enqueue_once(job, remember, now))
    }

    async fn register(&self, worker: Uuid, queues: &[Arc<str>], lease: Duration) -> Result<(), Error> {
        let mut state = self.reach()?;
        let ends = state.clock.now().saturating_add(lease);
        for queue in queues {
            let queue = state.queues.entry(queue.to_string()).or_default();
            queue.workers.entry(worker).or_insert_with(|| Life { ends, held: Default::default() }).ends =
                ends;
        }
        Ok(())
    }

    async fn renew(
        &self,
        worker: Uuid,
        queues: &[Arc<str>],
        lease: Duration,
        progress: &[(JobId, Progress)],
    ) -> Result<bool, Error> {
        let mut state = self.reach()?;
        let ends = state.clock.now().saturating_add(lease);
        let lives = |queue: &Arc<str>| {
            state.queues.get(&**queue).is_some_and(|queue| queue.workers.contains_key(&worker))
        };
        if !queues.iter().all(lives) {
            return Ok(false);
        }
        for queue in queues {
            if let Some(life) =
                state.queues.get_mut(&**queue).and_then(|queue| queue.workers.get_mut(&worker))
            {
                life.ends = ends;
            }
        }
        for (job, progress) in progress {
            if let Some(job) = state.jobs.get_mut(job).filter(|job| job.is_held_by(worker)) {
                job.progress = Some(progress.clone());
            }
        }
        Ok(true)
    }

    async fn retire(&self, worker: Uuid, queues: &[Arc<str>]) -> Result<u64, Error> {
        let mut state = self.reach()?;
        let now = state.clock.now();
        let mut jobs = 0;
        for queue in queues {
            // Nobody holds them any more, but they are counted in their lanes until they are put back.
            for job in state.dismiss(queue, worker) {
                jobs += u64::from(state.hand_back(job, now));
            }
        }
        Ok(jobs)
    }

    async fn give_back(&self, worker: Uuid, queue: &str, claims: &[i64]) -> Result<u64, Error> {
        let mut state = self.reach()?;
        let now = state.clock.now();
        let Some(life) = state.queues.get(queue).and_then(|queue| queue.workers.get(&worker)) else {
            return Ok(0);
        };
        let held: Vec<JobId> =
            life.held.iter().filter(|(_, claim)| claims.contains(claim)).map(|(job, _)| *job).collect();
        Ok(held.into_iter().filter(|job| state.hand_back(*job, now)).count() as u64)
    }

    async fn held(&self, worker: Uuid, queue: &str) -> Result<Vec<(JobId, i64)>, Error> {
        let state = self.reach()?;
        let life = state.queues.get(queue).and_then(|queue| queue.workers.get(&worker));
        Ok(life.into_iter().flat_map(|life| life.held.iter().map(|(job, claim)| (*job, *claim))).collect())
    }

    async fn sweep(&self, queues: &[Arc<str>], crash_budget: u32) -> Result<Swept, Error> {
        let mut state = self.reach()?;
        let now = state.clock.now();
        let (mut swept, mut expired) = (Swept::default(), BTreeSet::new());
        for queue in queues {
            for worker in state.silent(queue, now) {
                expired.insert(worker);
                for job in state.dismiss(queue, worker) {
                    if state.end_if_asked(job, now) {
                        continue;
                    }
                    if state.rescue(job, crash_budget, now) {
                        swept.rescued += 1;
                    } else {
                        swept.dead += 1;
                    }
                }
            }
        }
        swept.expired = expired.len() as u64;
        Ok(swept)
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Vec<Claimed>, Error> {
        Ok(self.reach()?.claim(claim))
    }

    async fn settle(&self, worker: Uuid, queue: &str, all: &[Settled]) -> Result<Vec<JobId>, Error> {
        let mut state = self.reach()?;
        Ok(all
            .iter()
            .filter(|settled| !state.settle(worker, queue, settled))
            .map(|settled| settled.job)
            .collect())
    }

    async fn wait(&self, queues: &[Arc<str>], most: Duration) {
        let signals: Vec<_> = {
            let mut state = self.state();
            queues.iter().map(|queue| state.signal(queue)).collect()
        };
        let sleep = tokio::time::sleep(most);
        if signals.is_empty() {
            return sleep.await;
        }
        tokio::select! {
            () = sleep => {}
            _ = select_all(signals.iter().map(|signal| Box::pin(signal.notified()))) => {}
        }
    }

    async fn promote(&self, queue: &str) -> Result<bool, Error> {
        Ok(self.reach()?.promote(queue))
    }

    async fn to_cancel(&self, worker: Uuid, queues: &[Arc<str>]) -> Result<Vec<JobId>, Error> {
        let state = self.reach()?;
        let lives = queues.iter().filter_map(|queue| state.queues.get(&**queue)?.workers.get(&worker));
        let held = lives.flat_map(|life| life.held.keys());
        Ok(held.filter(|id| state.jobs.get(id).is_some_and(|job| job.cancel)).copied().collect())
    }

    async fn prune(&self, queues: &[Arc<str>], retention: Retention) -> Result<(u64, bool), Error> {
        let mut state = self.reach()?;
        let (mut removed, mut more) = (0, false);
        for queue in queues {
            let (these, there_is_more) = state.prune(queue, retention);
            removed += these;
            more |= there_is_more;
        }
        Ok((removed, more))
    }
}
