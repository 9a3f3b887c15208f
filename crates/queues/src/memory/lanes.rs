//! Lanes: where jobs with an ordering key or with limits wait to be admitted.

use std::collections::BTreeMap;

use shared_core::TenantId;

use super::clock::Moment;
use super::job::Place;
use super::state::State;
use crate::JobId;
use crate::backend::Entry;
use crate::limit::LimitKey;

/// A lane of a queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LaneId {
    /// All jobs of a tenant with this ordering key, one after the other.
    Ordered(TenantId, String),
    /// All jobs of a tenant that have no ordering key, and these limits.
    Limited(TenantId, Vec<LimitKey>),
}

impl LaneId {
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        match &entry.order {
            Some(key) => Some(Self::Ordered(entry.tenant, key.clone())),
            None if entry.limits.is_empty() => None,
            None => Some(Self::Limited(entry.tenant, entry.limits.clone())),
        }
    }

    pub(super) fn tenant(&self) -> TenantId {
        match self {
            Self::Ordered(tenant, _) | Self::Limited(tenant, _) => *tenant,
        }
    }

    pub(super) fn is_ordered(&self) -> bool {
        matches!(self, Self::Ordered(..))
    }
}

#[derive(Default)]
pub(super) struct Lane {
    /// By position: the oldest first.
    pub(super) waiting: BTreeMap<u64, JobId>,
    /// Admitted, and ready or held.
    pub(super) admitted: u64,
    /// When it was served last, counted in jobs; or made.
    pub(super) turn: u64,
}

impl State {
    /// Admits up to `most` jobs of a queue, one of each lane in turn.
    pub(super) fn admit(&mut self, queue: &str, most: usize, now: Moment) {
        let mut left = most;
        loop {
            let before = left;
            for lane in self.lanes_in_turn(queue) {
                if left == 0 {
                    return;
                }
                if let Some(job) = self.admissible(queue, &lane, now) {
                    self.admit_one(queue, lane, job, now);
                    left -= 1;
                }
            }
            if left == before {
                return;
            }
        }
    }

    /// The one served longest ago first.
    fn lanes_in_turn(&self, queue: &str) -> Vec<LaneId> {
        let Some(queue) = self.queues.get(queue) else { return Vec::new() };
        let open = |lane: &LaneId| !queue.paused_tenants.contains(&lane.tenant());
        let mut lanes: Vec<(u64, &LaneId)> =
            queue.lanes.iter().filter(|(id, _)| open(id)).map(|(id, lane)| (lane.turn, id)).collect();
        lanes.sort_unstable();
        lanes.into_iter().map(|(_, id)| id.clone()).collect()
    }

    /// The job that may leave the lane now.
    pub(super) fn admissible(&self, queue: &str, id: &LaneId, now: Moment) -> Option<JobId> {
        let lane = self.queues.get(queue)?.lanes.get(id)?;
        let (_, head) = lane.waiting.first_key_value()?;
        let job = self.jobs.get(head)?;
        let its_turn = !id.is_ordered() || (lane.admitted == 0 && job.due <= now);
        (its_turn && self.limits.have_room(&job.entry.limits, now)).then_some(*head)
    }

    pub(super) fn admit_one(&mut self, queue: &str, id: LaneId, job: JobId, now: Moment) {
        let turn = self.count();
        let (Some(queue), Some(job)) = (self.queues.get_mut(queue), self.jobs.get_mut(&job)) else { return };
        let lane = queue.lanes.entry(id).or_default();
        lane.waiting.remove(&job.position);
        lane.admitted += 1;
        lane.turn = turn;
        self.limits.take(&job.entry.limits, now);
        job.place = Place::Ready;
        queue.ready[job.entry.priority as usize].push(job.entry.tenant, job.position, job.id());
    }

    /// Puts a job into its lane, to its place by age.
    pub(super) fn enter_lane(&mut self, id: LaneId, job: JobId) {
        let turn = self.count();
        let Some(job) = self.jobs.get_mut(&job) else { return };
        job.place = Place::Waiting;
        let queue = self.queues.entry(job.entry.queue.to_string()).or_default();
        let lane = queue.lanes.entry(id).or_insert_with(|| Lane { turn, ..Lane::default() });
        lane.waiting.insert(job.position, job.id());
    }

    /// A job that was admitted is so no longer: its places in the limits are free.
    pub(super) fn release(&mut self, job: JobId, now: Moment) {
        let Some(job) = self.jobs.get(&job) else { return };
        let Some(id) = job.lane() else { return };
        self.limits.give_back(&job.entry.limits, now);
        let queue = job.entry.queue.to_string();
        if let Some(lane) = self.queues.get_mut(&queue).and_then(|queue| queue.lanes.get_mut(&id)) {
            lane.admitted = lane.admitted.saturating_sub(1);
        }
        self.drop_idle_lane(&queue, &id);
        self.wake_lanes();
    }

    pub(super) fn drop_idle_lane(&mut self, queue: &str, id: &LaneId) {
        if let Some(queue) = self.queues.get_mut(queue)
            && queue.lanes.get(id).is_some_and(|lane| lane.waiting.is_empty() && lane.admitted == 0)
        {
            queue.lanes.remove(id);
        }
    }
}
