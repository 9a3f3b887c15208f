//! How attempts end, and how jobs come back from workers.

use std::time::Duration;

use uuid::Uuid;

use super::clock::Moment;
use super::job::Place;
use super::state::State;
use crate::JobId;
use crate::backend::{Fate, Settled};
use crate::dead::Reason;

impl State {
    /// Whether the fence held.
    pub(super) fn settle(&mut self, worker: Uuid, queue: &str, settled: &Settled) -> bool {
        let held =
            self.queues.get(queue).and_then(|queue| queue.workers.get(&worker)?.held.get(&settled.job));
        if held != Some(&settled.claim) {
            return false;
        }
        let (id, now) = (settled.job, self.clock.now());
        self.leave(id, now);
        let mut is_asked = false;
        if let Some(job) = self.jobs.get_mut(&id) {
            is_asked = std::mem::take(&mut job.cancel);
            job.progress = None;
        }
        match settled.fate.clone() {
            Fate::Retry { .. } | Fate::Later(_) | Fate::Dead(..) if is_asked => {
                self.finish(id, crate::State::Cancelled, None, settled.keep_cancelled, now);
            }
            Fate::Completed { result, keep } => self.finish(id, crate::State::Completed, result, keep, now),
            Fate::Cancelled { keep } => self.finish(id, crate::State::Cancelled, None, keep, now),
            Fate::Retry { after, error } => {
                self.failed(id, error);
                self.come_back(id, now.saturating_add(after));
            }
            Fate::Later(after) => self.come_back(id, now.saturating_add(after)),
            Fate::Dead(Reason::Unreadable, error) => self.bury(id, Reason::Unreadable, Some(error), now),
            Fate::Dead(reason, error) => {
                self.failed(id, error);
                self.bury(id, reason, None, now);
            }
        }
        true
    }

    fn failed(&mut self, id: JobId, error: String) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.attempts += 1;
            job.error = Some(error);
        }
    }

    fn finish(
        &mut self,
        id: JobId,
        state: crate::State,
        result: Option<String>,
        keep: Duration,
        now: Moment,
    ) {
        if keep.is_zero() {
            self.jobs.remove(&id);
        } else if let Some(job) = self.jobs.get_mut(&id) {
            job.place = Place::Finished { state, result, at: now, until: now.saturating_add(keep) };
        }
    }

    /// For another attempt, at this time: a job with an ordering key waits for it in its lane, so that none overtakes it.
    fn come_back(&mut self, id: JobId, due: Moment) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.due = due;
        match job.lane().filter(|lane| lane.is_ordered()) {
            Some(lane) => self.enter_lane(lane, id),
            None => self.enter_later(id, due),
        }
    }

    pub(super) fn bury(&mut self, id: JobId, reason: Reason, error: Option<String>, now: Moment) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.error = error.or(job.error.take());
            job.place = Place::Dead { reason, at: now };
        }
    }

    /// Gives a worker's job up that it did not settle, unless somebody wants it cancelled: then nothing is left of it, as of one that waits.
    /// Whether it is there.
    pub(super) fn hand_back(&mut self, id: JobId, now: Moment) -> bool {
        let is_asked = self.end_if_asked(id, now);
        if !is_asked {
            self.put_back(id, now);
        }
        !is_asked
    }

    pub(super) fn end_if_asked(&mut self, id: JobId, now: Moment) -> bool {
        let is_asked = self.jobs.get(&id).is_some_and(|job| job.cancel);
        if is_asked {
            self.leave(id, now);
            self.jobs.remove(&id);
        }
        is_asked
    }

    /// As if it had not been claimed.
    pub(super) fn put_back(&mut self, id: JobId, now: Moment) {
        self.leave(id, now);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.progress = None;
        }
        self.enter(id);
    }
}
