use uuid::Uuid;

use super::clock::{Clock, Moment};
use super::lanes::LaneId;
use crate::backend::Entry;
use crate::dead::{DeadLetter, Reason};
use crate::view::{JobView, State};
use crate::{JobId, Progress};

/// A job, wherever it is.
pub(super) struct Job {
    pub(super) entry: Entry,
    /// Its place among all jobs: it keeps it when it is tried again.
    pub(super) position: u64,
    pub(super) enqueued: Moment,
    /// When its next attempt is due.
    pub(super) due: Moment,
    pub(super) attempts: u32,
    pub(super) crashes: u32,
    pub(super) error: Option<String>,
    /// Somebody wants it cancelled while it runs.
    pub(super) cancel: bool,
    pub(super) progress: Option<Progress>,
    pub(super) place: Place,
}

/// Where a job is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    Ready,
    /// In its lane.
    Waiting,
    Scheduled,
    Held {
        worker: Uuid,
        claim: i64,
    },
    /// Completed or cancelled, and remembered.
    Finished {
        state: State,
        result: Option<String>,
        at: Moment,
        until: Moment,
    },
    Dead {
        reason: Reason,
        at: Moment,
    },
}

impl Job {
    pub(super) fn new(entry: Entry, position: u64, now: Moment) -> Self {
        let due = now.saturating_add(entry.delay);
        Self {
            entry,
            position,
            enqueued: now,
            due,
            attempts: 0,
            crashes: 0,
            error: None,
            cancel: false,
            progress: None,
            place: Place::Scheduled,
        }
    }

    pub(super) fn id(&self) -> JobId {
        self.entry.job
    }

    /// The lane in which it has to wait, if it has one.
    pub(super) fn lane(&self) -> Option<LaneId> {
        LaneId::of(&self.entry)
    }

    /// Nobody has it, and somebody will.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.place, Place::Ready | Place::Waiting | Place::Scheduled)
    }

    /// It will come to an end, or is about to.
    pub(super) fn is_alive(&self) -> bool {
        self.is_pending() || matches!(self.place, Place::Held { .. })
    }

    /// It is not one whose time to be remembered is over.
    pub(super) fn is_in_sight(&self, now: Moment) -> bool {
        !matches!(self.place, Place::Finished { until, .. } if until <= now)
    }

    pub(super) fn is_held_by(&self, worker: Uuid) -> bool {
        matches!(self.place, Place::Held { worker: holder, .. } if holder == worker)
    }

    pub(super) fn state(&self) -> State {
        match &self.place {
            Place::Ready => State::Ready,
            Place::Waiting => State::Waiting,
            Place::Scheduled => State::Scheduled,
            Place::Held { .. } => State::Running,
            Place::Finished { state, .. } => *state,
            Place::Dead { .. } => State::Dead,
        }
    }

    pub(super) fn view(&self, clock: &Clock) -> JobView {
        let (worker, result, ended) = match &self.place {
            Place::Held { worker, .. } => (Some(worker.to_string()), None, None),
            Place::Finished { result, at, .. } => (None, result.clone(), Some(*at)),
            Place::Dead { at, .. } => (None, None, Some(*at)),
            Place::Ready | Place::Waiting | Place::Scheduled => (None, None, None),
        };
        JobView {
            job_id: self.id(),
            tenant: self.entry.tenant,
            queue: self.entry.queue.to_string(),
            name: self.entry.name.to_string(),
            version: self.entry.version,
            state: self.state(),
            priority: self.entry.priority,
            attempts: self.attempts,
            crashes: self.crashes,
            enqueued_at: clock.date(self.enqueued),
            due_at: clock.date(self.due),
            worker,
            progress: self.progress.clone(),
            error: self.error.clone(),
            result,
            ended_at: ended.map(|at| clock.date(at)),
        }
    }

    pub(super) fn letter(&self, clock: &Clock) -> Option<DeadLetter> {
        let Place::Dead { reason, at } = self.place else { return None };
        Some(DeadLetter {
            job_id: self.id(),
            name: self.entry.name.to_string(),
            queue: self.entry.queue.to_string(),
            tenant: self.entry.tenant,
            attempts: self.attempts,
            crashes: self.crashes,
            reason,
            error: self.error.clone().unwrap_or_default(),
            died_at: clock.date(at),
        })
    }
}
