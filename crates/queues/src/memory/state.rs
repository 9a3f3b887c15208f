use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use shared_core::TenantId;
use time::OffsetDateTime;
use tokio::sync::Notify;
use uuid::Uuid;

use super::clock::{Clock, Moment};
use super::job::{Job, Place};
use super::lanes::{Lane, LaneId};
use super::limits::{Bucket, Limits};
use super::turns::Band;
use crate::backend::StoredSchedule;
use crate::limit::Limit;
use crate::{JobId, Priority};

/// Everything.
pub(super) struct State {
    pub(super) clock: Clock,
    pub(super) jobs: BTreeMap<JobId, Job>,
    pub(super) queues: BTreeMap<String, Queue>,
    pub(super) limits: Limits,
    /// Wakes who waits for jobs of a queue.
    signals: HashMap<String, Arc<Notify>>,
    counted: u64,
}

/// A queue: where its jobs are, and how it is set.
#[derive(Default)]
pub(super) struct Queue {
    /// By priority.
    pub(super) ready: [Band; Priority::ALL.len()],
    pub(super) lanes: BTreeMap<LaneId, Lane>,
    /// By due time, then by position.
    pub(super) scheduled: BTreeMap<(Moment, u64), JobId>,
    pub(super) workers: BTreeMap<Uuid, Life>,
    pub(super) marks: BTreeMap<MarkId, Mark>,
    pub(super) paused: bool,
    pub(super) paused_tenants: BTreeSet<TenantId>,
    pub(super) weights: BTreeMap<TenantId, u32>,
    pub(super) limit: Option<Limit>,
    pub(super) bucket: Bucket,
    pub(super) schedules: BTreeMap<String, StoredSchedule>,
    /// Schedules that could not be fired, and until when they are left alone.
    pub(super) put_off: BTreeMap<String, OffsetDateTime>,
}

/// A worker that may claim from the queue.
pub(super) struct Life {
    pub(super) ends: Moment,
    /// What it holds, by which claim.
    pub(super) held: BTreeMap<JobId, i64>,
}

/// Tenant, name of the job, and key: jobs that agree in them are the same.
pub(super) type MarkId = (TenantId, String, String);

/// The latest of jobs that are the same.
pub(super) struct Mark {
    pub(super) holder: JobId,
    /// Until when no other is enqueued, whatever becomes of it.
    pub(super) until: Moment,
}

impl Queue {
    pub(super) fn running(&self) -> usize {
        self.workers.values().map(|life| life.held.len()).sum()
    }
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            clock: Clock::start(),
            jobs: BTreeMap::new(),
            queues: BTreeMap::new(),
            limits: Limits::default(),
            signals: HashMap::new(),
            counted: 0,
        }
    }

    /// A number higher than all before it.
    pub(super) fn count(&mut self) -> u64 {
        self.counted += 1;
        self.counted
    }

    /// Takes a job out of where it is, before it goes somewhere else. If it had passed limits, it gives its places back.
    pub(super) fn leave(&mut self, id: JobId, now: Moment) {
        let Some(job) = self.jobs.get(&id) else { return };
        let (position, place, lane, name) =
            (job.position, job.place.clone(), job.lane(), job.entry.queue.to_string());
        let Some(queue) = self.queues.get_mut(&name) else { return };
        match &place {
            Place::Ready => queue.ready[job.entry.priority as usize].remove(job.entry.tenant, position),
            Place::Scheduled => drop(queue.scheduled.remove(&(job.due, position))),
            Place::Held { worker, .. } => {
                queue.workers.get_mut(worker).map(|life| life.held.remove(&id));
            }
            Place::Waiting => {
                let Some(lane) = lane else { return };
                queue.lanes.get_mut(&lane).map(|lane| lane.waiting.remove(&position));
                return self.drop_idle_lane(&name, &lane);
            }
            Place::Finished { .. } | Place::Dead { .. } => {}
        }
        if matches!(place, Place::Ready | Place::Held { .. }) {
            self.release(id, now);
        }
    }

    /// Puts a job where it can be claimed: into its lane, or among the ready ones.
    pub(super) fn enter(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let name = job.entry.queue.to_string();
        match job.lane() {
            Some(lane) => self.enter_lane(lane, id),
            None => {
                job.place = Place::Ready;
                let queue = self.queues.entry(name.clone()).or_default();
                queue.ready[job.entry.priority as usize].push(job.entry.tenant, job.position, id);
            }
        }
        self.wake(&name);
    }

    /// Puts a job among those that wait for their time.
    pub(super) fn enter_later(&mut self, id: JobId, due: Moment) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        (job.place, job.due) = (Place::Scheduled, due);
        let queue = self.queues.entry(job.entry.queue.to_string()).or_default();
        queue.scheduled.insert((due, job.position), id);
    }

    pub(super) fn signal(&mut self, queue: &str) -> Arc<Notify> {
        self.signals.entry(queue.to_owned()).or_default().clone()
    }

    pub(super) fn wake(&self, queue: &str) {
        if let Some(signal) = self.signals.get(queue) {
            signal.notify_one();
        }
    }

    /// A limit has room again, perhaps for jobs of other queues.
    pub(super) fn wake_lanes(&self) {
        for (name, queue) in &self.queues {
            if !queue.lanes.is_empty() {
                self.wake(name);
            }
        }
    }
}
