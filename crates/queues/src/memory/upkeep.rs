//! What has to be looked after: silent workers, due jobs, and what need not be remembered.

use super::clock::Moment;
use super::job::Place;
use super::state::State;
use crate::JobId;
use crate::backend::Retention;
use crate::dead::Reason;
use uuid::Uuid;

/// Jobs that one call makes ready, or removes, at most: as on the other backends, so that their callers are tested.
const AT_ONCE: usize = 1000;

impl State {
    /// The workers of a queue whose lease has ended.
    pub(super) fn silent(&self, queue: &str, now: Moment) -> Vec<Uuid> {
        let Some(queue) = self.queues.get(queue) else { return Vec::new() };
        queue.workers.iter().filter(|(_, life)| life.ends <= now).map(|(worker, _)| *worker).collect()
    }

    /// Takes a worker out of a queue, and returns what it held.
    pub(super) fn dismiss(&mut self, queue: &str, worker: Uuid) -> Vec<JobId> {
        let Some(life) = self.queues.get_mut(queue).and_then(|queue| queue.workers.remove(&worker)) else {
            return Vec::new();
        };
        life.held.into_keys().collect()
    }

    /// A job whose worker died. Whether it may be tried again.
    pub(super) fn rescue(&mut self, id: JobId, crash_budget: u32, now: Moment) -> bool {
        let Some(job) = self.jobs.get_mut(&id) else { return false };
        job.crashes += 1;
        if job.crashes < crash_budget {
            self.put_back(id, now);
            return true;
        }
        self.leave(id, now);
        let error = format!("{crash_budget} workers died while they held this job");
        self.bury(id, Reason::Crashed, Some(error), now);
        false
    }

    /// Whether more may be due.
    pub(super) fn promote(&mut self, queue: &str) -> bool {
        let now = self.clock.now();
        let Some(found) = self.queues.get(queue) else { return false };
        let due = found.scheduled.range(..=(now, u64::MAX)).map(|(_, id)| *id);
        let due: Vec<JobId> = due.take(AT_ONCE).collect();
        for id in &due {
            self.leave(*id, now);
            self.enter(*id);
        }
        due.len() == AT_ONCE
    }

    /// How many things were removed, and whether there may be more.
    pub(super) fn prune(&mut self, queue: &str, retention: Retention) -> (u64, bool) {
        let now = self.clock.now();
        let mut old = self.old_jobs(queue, retention, now);
        old.truncate(AT_ONCE);
        old.iter().for_each(|id| drop(self.jobs.remove(id)));
        let marks = self.prune_marks(queue, AT_ONCE - old.len(), now);
        let removed = old.len() + marks;
        (removed as u64, removed == AT_ONCE)
    }

    fn old_jobs(&self, queue: &str, retention: Retention, now: Moment) -> Vec<JobId> {
        let (mut finished, mut dead) = (Vec::new(), Vec::new());
        for job in self.jobs.values().filter(|job| job.entry.queue == queue) {
            match job.place {
                Place::Finished { until, .. } => finished.push((until, job.position, job.id())),
                Place::Dead { at, .. } => {
                    dead.push((at.saturating_add(retention.dead_for), job.position, job.id()));
                }
                _ => {}
            }
        }
        let mut old = beyond(finished, retention.kept_most, now);
        old.extend(beyond(dead, retention.dead_most, now));
        old
    }

    /// A mark is needed while its job lives, or while its time lasts.
    fn prune_marks(&mut self, queue: &str, most: usize, now: Moment) -> usize {
        let Some(queue) = self.queues.get_mut(queue) else { return 0 };
        let jobs = &self.jobs;
        let needless = queue.marks.iter().filter(|(_, mark)| {
            mark.until <= now && !jobs.get(&mark.holder).is_some_and(super::job::Job::is_alive)
        });
        let needless: Vec<_> = needless.take(most).map(|(id, _)| id.clone()).collect();
        for id in &needless {
            queue.marks.remove(id);
        }
        needless.len()
    }
}

/// Those whose time is over, and those beyond the so many whose time ends last.
fn beyond(mut kept: Vec<(Moment, u64, JobId)>, most: u64, now: Moment) -> Vec<JobId> {
    kept.sort_unstable_by(|a, b| b.cmp(a));
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let beyond = |(rank, (until, ..)): &(usize, &(Moment, u64, JobId))| *rank >= most || *until <= now;
    kept.iter().enumerate().filter(beyond).map(|(_, (.., id))| *id).collect()
}
