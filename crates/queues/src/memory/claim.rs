use super::clock::Moment;
use super::job::Place;
use super::state::{Queue, State};
use super::turns::Shares;
use crate::JobId;
use crate::backend::{Claim, Claimed};

impl State {
    pub(super) fn claim(&mut self, claim: Claim<'_>) -> Vec<Claimed> {
        let now = self.clock.now();
        let Some(most) = self.queues.get(claim.queue).map(|queue| allowance(queue, claim, now)) else {
            return Vec::new();
        };
        self.admit(claim.queue, most, now);
        let jobs = self.take_ready(claim, most, now);
        if most > 0 && jobs.len() == most {
            // There may be more, for somebody else.
            self.wake(claim.queue);
        }
        jobs.into_iter().filter_map(|job| self.hold(job, claim, now)).collect()
    }

    /// Takes jobs out of the ready ones, and their tokens out of the queue's bucket.
    fn take_ready(&mut self, claim: Claim<'_>, most: usize, now: Moment) -> Vec<JobId> {
        let Some(queue) = self.queues.get_mut(claim.queue) else { return Vec::new() };
        let quantum = (claim.most / 10).max(1);
        let shares = Shares { quantum, weights: &queue.weights, paused: &queue.paused_tenants };
        let mut bands: Vec<_> = queue.ready.iter_mut().collect();
        if claim.lowest_first() {
            bands.reverse();
        }
        let mut jobs = Vec::new();
        for band in bands {
            jobs.extend(band.take(most - jobs.len(), &shares));
        }
        if let Some(rate) = queue.limit.and_then(|limit| limit.rate) {
            queue.bucket.take(rate, u32::try_from(jobs.len()).unwrap_or(u32::MAX), now);
        }
        jobs
    }

    /// From here on the worker has it.
    pub(super) fn hold(&mut self, id: JobId, claim: Claim<'_>, now: Moment) -> Option<Claimed> {
        let job = self.jobs.get_mut(&id)?;
        job.place = Place::Held { worker: claim.worker, claim: claim.number };
        let life = self.queues.get_mut(claim.queue)?.workers.get_mut(&claim.worker)?;
        life.held.insert(id, claim.number);
        Some(Claimed {
            job: id,
            tenant: job.entry.tenant,
            name: job.entry.name.to_string(),
            version: job.entry.version,
            payload: job.entry.payload.clone(),
            context: job.entry.context.clone(),
            attempts: job.attempts,
            waited: now.saturating_sub(job.due),
            age: now.saturating_sub(job.enqueued),
            is_laned: job.lane().is_some(),
        })
    }
}

/// How many jobs the claim may take, by the queue's own settings.
pub(super) fn allowance(queue: &Queue, claim: Claim<'_>, now: Moment) -> usize {
    if queue.paused || !queue.workers.contains_key(&claim.worker) {
        return 0;
    }
    let Some(limit) = queue.limit else { return claim.most };
    let places = limit.concurrency.map_or(usize::MAX, |most| (most as usize).saturating_sub(queue.running()));
    let tokens = limit.rate.map_or(u64::MAX, |rate| queue.bucket.tokens(rate, now));
    claim.most.min(places).min(usize::try_from(tokens).unwrap_or(usize::MAX))
}
