use async_trait::async_trait;
use time::OffsetDateTime;

use super::Memory;
use crate::backend::{Entry, Schedules, StoredSchedule};
use crate::{Enqueued, Error};

/// Due schedules that are returned at once, at most.
const AT_ONCE: usize = 100;

#[async_trait]
impl Schedules for Memory {
    async fn put_schedule(&self, schedule: &StoredSchedule) -> Result<(), Error> {
        let mut state = self.state();
        let schedules = &mut state.queues.entry(schedule.entry.queue.to_string()).or_default().schedules;
        let mut new = schedule.clone();
        if let Some(old) = schedules.get(&new.name) {
            new.paused |= old.paused;
            if (&old.cron, &old.zone) == (&new.cron, &new.zone) {
                new.next = old.next;
            }
        }
        schedules.insert(new.name.clone(), new);
        Ok(())
    }

    async fn remove_schedule(&self, queue: &str, name: &str) -> Result<bool, Error> {
        let mut state = self.state();
        Ok(state.queues.get_mut(queue).is_some_and(|queue| queue.schedules.remove(name).is_some()))
    }

    async fn set_schedule_paused(&self, queue: &str, name: &str, paused: bool) -> Result<bool, Error> {
        let mut state = self.state();
        let found = state.queues.get_mut(queue).and_then(|queue| queue.schedules.get_mut(name));
        Ok(found.map(|schedule| schedule.paused = paused).is_some())
    }

    async fn schedules(&self, queue: Option<&str>) -> Result<Vec<StoredSchedule>, Error> {
        let state = self.state();
        let queues = state.queues.iter().filter(|(name, _)| queue.is_none_or(|queue| queue == **name));
        Ok(queues.flat_map(|(_, queue)| queue.schedules.values().cloned()).collect())
    }

    async fn due_schedules(&self, queue: &str) -> Result<(OffsetDateTime, Vec<StoredSchedule>), Error> {
        let state = self.state();
        let now = state.clock.date(state.clock.now());
        let Some(queue) = state.queues.get(queue) else { return Ok((now, Vec::new())) };
        let due = queue.schedules.values().filter(|schedule| !schedule.paused && schedule.next <= now);
        Ok((now, due.take(AT_ONCE).cloned().collect()))
    }

    async fn fire(
        &self,
        schedule: &StoredSchedule,
        slot: OffsetDateTime,
        next: OffsetDateTime,
        jobs: Vec<Entry>,
    ) -> Result<Option<Vec<Enqueued>>, Error> {
        let mut state = self.state();
        let queue = state.queues.get_mut(&*schedule.entry.queue);
        let Some(stored) = queue.and_then(|queue| queue.schedules.get_mut(&schedule.name)) else {
            return Ok(None);
        };
        if stored.next != slot {
            return Ok(None);
        }
        stored.next = next;
        let now = state.clock.now();
        Ok(Some(jobs.into_iter().map(|entry| state.enqueue(entry, now)).collect()))
    }
}
