//! The model's part: another backend has chosen, and the choice is judged.

use super::clock::Moment;
use super::job::{Job, Place};
use super::state::State;
use super::{Memory, claim::allowance};
use crate::backend::Claim;
use crate::{JobId, Priority};

impl Memory {
    /// Claims these jobs, which another backend has chosen, and admits those that it has admitted besides; or says why it must not
    /// have.
    ///
    /// Which lane or tenant is next is its own affair. That the oldest goes first is checked among jobs of which `is_fresh` is true.
    pub(crate) fn claim_these(
        &self,
        claim: Claim<'_>,
        jobs: &[JobId],
        admitted: &[JobId],
        is_fresh: impl Fn(JobId) -> bool,
    ) -> Result<(), String> {
        let mut state = self.state();
        let now = state.clock.now();
        let most = state.queues.get(claim.queue).map_or(0, |queue| allowance(queue, claim, now));
        if jobs.len() > most {
            return Err(format!("{} jobs were claimed, and {most} are allowed", jobs.len()));
        }
        for id in jobs {
            state.admit_this(*id, claim, now)?;
            state.claim_this(*id, claim, now)?;
        }
        for id in admitted {
            state.admit_this(*id, claim, now)?;
        }
        state.goes_first(claim, jobs, is_fresh)
    }

    /// Whether something could be claimed from this queue now.
    pub(crate) fn has_more(&self, claim: Claim<'_>) -> bool {
        let state = self.state();
        let now = state.clock.now();
        let Some(queue) = state.queues.get(claim.queue) else { return false };
        let ready = |job: &Job| job.place == Place::Ready && job.entry.queue == claim.queue;
        allowance(queue, claim, now) > 0
            && (state.jobs.values().any(ready)
                || queue.lanes.keys().any(|lane| state.admissible(claim.queue, lane, now).is_some()))
    }
}

impl State {
    /// Lets a job out of its lane, if it waits in one.
    fn admit_this(&mut self, id: JobId, claim: Claim<'_>, now: Moment) -> Result<(), String> {
        let Some(job) = self.jobs.get(&id) else { return Err(format!("{id} is no job")) };
        let (Place::Waiting, Some(lane)) = (&job.place, job.lane()) else { return Ok(()) };
        // Jobs that have no order may come from anywhere in their lane.
        let may_pass = match lane.is_ordered() {
            true => self.admissible(claim.queue, &lane, now) == Some(id),
            false => self.limits.have_room(&job.entry.limits, now),
        };
        if !may_pass {
            return Err(format!("{id} was admitted before it may leave its lane"));
        }
        self.admit_one(claim.queue, lane, id, now);
        Ok(())
    }

    fn claim_this(&mut self, id: JobId, claim: Claim<'_>, now: Moment) -> Result<(), String> {
        let Some(job) = self.jobs.get(&id) else { return Err(format!("{id} is gone")) };
        if job.place != Place::Ready {
            return Err(format!("{id} was claimed, but it is {:?}", job.place));
        }
        let (band, tenant, position) = (job.entry.priority as usize, job.entry.tenant, job.position);
        if let Some(queue) = self.queues.get_mut(claim.queue) {
            queue.ready[band].remove(tenant, position);
        }
        self.hold(id, claim, now).map(drop).ok_or_else(|| format!("{id} can't be held"))
    }

    /// Whether all that is left ready, and has no lane, was rightly left.
    fn goes_first(
        &self,
        claim: Claim<'_>,
        claimed: &[JobId],
        is_fresh: impl Fn(JobId) -> bool,
    ) -> Result<(), String> {
        let rank = |priority: Priority| {
            let band = usize::try_from(priority.band()).unwrap_or_default();
            if claim.lowest_first() { Priority::ALL.len() - band } else { band }
        };
        let is_left =
            |job: &&Job| job.place == Place::Ready && job.entry.queue == claim.queue && job.lane().is_none();
        for left in self.jobs.values().filter(is_left) {
            for taken in claimed.iter().filter_map(|id| self.jobs.get(id)) {
                if rank(left.entry.priority) < rank(taken.entry.priority) {
                    return Err(format!(
                        "{} was claimed before {}, which is more urgent",
                        taken.id(),
                        left.id()
                    ));
                }
                let same_line = left.entry.priority == taken.entry.priority
                    && left.entry.tenant == taken.entry.tenant
                    && taken.lane().is_none();
                let fresh = is_fresh(left.id()) && is_fresh(taken.id());
                if same_line && fresh && left.position < taken.position {
                    return Err(format!("{} was claimed before {}, which is older", taken.id(), left.id()));
                }
            }
        }
        Ok(())
    }
}
