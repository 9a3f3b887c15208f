use std::cmp::Reverse;
use std::time::Duration;

use async_trait::async_trait;
use shared_core::TenantId;

use super::Memory;
use super::clock::{Clock, Moment};
use super::job::{Job, Place};
use super::state::{Queue, State};
use crate::backend::{Cancelled, Control, DeadFilter, JobFilter};
use crate::dead::DeadLetter;
use crate::limit::{Limit, LimitPlace, LimitStatus};
use crate::view::{JobView, QueueStatus};
use crate::{Error, JobId};

#[async_trait]
impl Control for Memory {
    async fn queues(&self) -> Result<Vec<QueueStatus>, Error> {
        let state = self.state();
        Ok(state.queues.iter().map(|(name, queue)| state.status(name, queue)).collect())
    }

    async fn job(&self, job: JobId) -> Result<Option<JobView>, Error> {
        let state = self.state();
        let now = state.clock.now();
        let found = state.jobs.get(&job).filter(|job| job.is_in_sight(now));
        Ok(found.map(|job| job.view(&state.clock)))
    }

    async fn search(&self, filter: &JobFilter, most: u32) -> Result<Vec<JobView>, Error> {
        let state = self.state();
        let now = state.clock.now();
        let is_found = |job: &&Job| job.is_in_sight(now) && is_meant(job, filter);
        let mut found: Vec<&Job> = state.jobs.values().filter(is_found).collect();
        found.sort_unstable_by_key(|job| Reverse(job.id()));
        Ok(found.into_iter().take(most as usize).map(|job| job.view(&state.clock)).collect())
    }

    async fn cancel(&self, job: JobId) -> Result<Cancelled, Error> {
        let mut state = self.state();
        let now = state.clock.now();
        match state.jobs.get_mut(&job) {
            Some(found) if found.is_pending() => {
                state.leave(job, now);
                state.jobs.remove(&job);
                Ok(Cancelled::Removed)
            }
            Some(found) if found.is_alive() => {
                found.cancel = true;
                Ok(Cancelled::Asked)
            }
            _ => Ok(Cancelled::NotFound),
        }
    }

    async fn reschedule(&self, job: JobId, wait: Duration) -> Result<bool, Error> {
        Ok(self.state().reschedule(job, wait))
    }

    async fn dead(&self, filter: &DeadFilter, most: u32) -> Result<Vec<DeadLetter>, Error> {
        let state = self.state();
        let dead = state.dead(filter).into_iter().rev().take(most as usize);
        Ok(dead.filter_map(|job| job.letter(&state.clock)).collect())
    }

    async fn redrive(&self, filter: &DeadFilter, into: Option<&str>, most: u32) -> Result<Vec<JobId>, Error> {
        let mut state = self.state();
        let jobs: Vec<JobId> = state.dead(filter).into_iter().take(most as usize).map(Job::id).collect();
        for id in &jobs {
            state.revive(*id, into);
        }
        Ok(jobs)
    }

    async fn discard(&self, filter: &DeadFilter, most: u32) -> Result<u64, Error> {
        let mut state = self.state();
        let jobs: Vec<JobId> = state.dead(filter).into_iter().take(most as usize).map(Job::id).collect();
        jobs.iter().for_each(|id| drop(state.jobs.remove(id)));
        Ok(jobs.len() as u64)
    }

    async fn set_paused(&self, queue: &str, tenant: Option<TenantId>, paused: bool) -> Result<(), Error> {
        let mut state = self.state();
        let found = state.queues.entry(queue.to_owned()).or_default();
        match tenant {
            None => found.paused = paused,
            Some(tenant) if paused => drop(found.paused_tenants.insert(tenant)),
            Some(tenant) => drop(found.paused_tenants.remove(&tenant)),
        }
        state.wake(queue);
        Ok(())
    }

    async fn set_weight(&self, queue: &str, tenant: TenantId, weight: u32) -> Result<(), Error> {
        let mut state = self.state();
        let weights = &mut state.queues.entry(queue.to_owned()).or_default().weights;
        match weight.clamp(1, 100) {
            1 => weights.remove(&tenant),
            weight => weights.insert(tenant, weight),
        };
        Ok(())
    }

    async fn set_limit(&self, name: &str, key: Option<&str>, limit: Option<Limit>) -> Result<(), Error> {
        let mut state = self.state();
        state.limits.set(name, key, limit);
        state.wake_lanes();
        Ok(())
    }

    async fn set_queue_limit(&self, queue: &str, limit: Option<Limit>) -> Result<(), Error> {
        let mut state = self.state();
        state.queues.entry(queue.to_owned()).or_default().limit = limit;
        state.wake(queue);
        Ok(())
    }

    async fn limits(&self, after: Option<&LimitPlace>, most: u32) -> Result<Vec<LimitStatus>, Error> {
        let state = self.state();
        let now = state.clock.now();
        let of_queues = state.queues.iter().filter_map(|(name, queue)| queue_limit(name, queue, now));
        let all = of_queues.chain(state.limits.all(now));
        Ok(all
            .filter(|status| after.is_none_or(|after| status.place() > *after))
            .take(most as usize)
            .collect())
    }

    async fn hold(&self, name: &str, key: Option<&str>, wait: Duration) -> Result<(), Error> {
        let mut state = self.state();
        let until = state.clock.now().saturating_add(wait);
        state.limits.hold(name, key, until);
        Ok(())
    }
}

impl State {
    fn status(&self, name: &str, queue: &Queue) -> QueueStatus {
        let mut status = QueueStatus {
            queue: name.to_owned(),
            paused: queue.paused,
            ready: 0,
            waiting: 0,
            scheduled: 0,
            running: 0,
            dead: 0,
            oldest: None,
        };
        let now = self.clock.now();
        for job in self.jobs.values().filter(|job| job.entry.queue == name) {
            match job.place {
                Place::Ready => {
                    status.ready += 1;
                    status.oldest = status.oldest.max(Some(now.saturating_sub(job.due)));
                }
                Place::Waiting => status.waiting += 1,
                Place::Scheduled => status.scheduled += 1,
                Place::Held { .. } => status.running += 1,
                Place::Dead { .. } => status.dead += 1,
                Place::Finished { .. } => {}
            }
        }
        status
    }

    fn reschedule(&mut self, id: JobId, wait: Duration) -> bool {
        let now = self.clock.now();
        let due = now.saturating_add(wait);
        match self.jobs.get(&id) {
            Some(job) if job.place == Place::Scheduled => {
                self.leave(id, now);
                self.enter_later(id, due);
            }
            Some(job) if job.place == Place::Waiting && job.due > now => {}
            _ => return false,
        }
        let Some(job) = self.jobs.get_mut(&id) else { return false };
        job.due = due;
        let queue = job.entry.queue.to_string();
        self.wake(&queue);
        true
    }

    /// The oldest letters first.
    fn dead(&self, filter: &DeadFilter) -> Vec<&Job> {
        let now = self.clock.now();
        let died = |job: &Job| match job.place {
            Place::Dead { at, .. } => at,
            _ => Moment::MAX,
        };
        let mut dead: Vec<&Job> =
            self.jobs.values().filter(|job| is_dead_and_meant(job, filter, now, &self.clock)).collect();
        dead.sort_unstable_by_key(|job| (died(job), job.id()));
        dead
    }

    /// A dead job begins anew: as if it had been enqueued now, but under its old name.
    fn revive(&mut self, id: JobId, into: Option<&str>) {
        let (now, position) = (self.clock.now(), self.count());
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.entry.delay = Duration::ZERO;
        if let Some(queue) = into {
            job.entry.queue = queue.to_owned().into();
        }
        *job = Job::new(job.entry.clone(), position, now);
        self.enter(id);
    }
}

fn queue_limit(name: &str, queue: &Queue, now: Moment) -> Option<LimitStatus> {
    let limit = queue.limit?;
    Some(LimitStatus {
        name: name.to_owned(),
        key: None,
        of_queue: true,
        limit: Some(limit),
        running: queue.running() as u64,
        tokens: limit.rate.map(|rate| queue.bucket.tokens(rate, now) as f64),
        held_for: None,
    })
}

/// Whether a field of a filter lets this pass.
fn lets<T: ?Sized + PartialEq>(wanted: Option<&T>, is: &T) -> bool {
    wanted.is_none_or(|wanted| wanted == is)
}

fn is_meant(job: &Job, filter: &JobFilter) -> bool {
    lets(filter.queue.as_deref(), &*job.entry.queue)
        && lets(filter.name.as_deref(), &*job.entry.name)
        && lets(filter.tenant.as_ref(), &job.entry.tenant)
        && lets(filter.state.as_ref(), &job.state())
        && filter.after.is_none_or(|after| job.id() < after)
}

fn is_dead_and_meant(job: &Job, filter: &DeadFilter, now: Moment, clock: &Clock) -> bool {
    let Place::Dead { reason, at } = job.place else { return false };
    lets(filter.job.as_ref(), &job.id())
        && lets(filter.queue.as_deref(), &*job.entry.queue)
        && lets(filter.name.as_deref(), &*job.entry.name)
        && lets(filter.tenant.as_ref(), &job.entry.tenant)
        && lets(filter.reason.as_ref(), &reason)
        && filter.older_than.is_none_or(|age| now.saturating_sub(at) > age)
        && filter.after.is_none_or(|after| (clock.date(at), job.id()) < after)
}
