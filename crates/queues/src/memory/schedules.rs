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
        let queue = state.queues.entry(schedule.entry.queue.to_string()).or_default();
        queue.put_off.remove(&schedule.name);
        let schedules = &mut queue.schedules;
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
        let Some(queue) = state.queues.get_mut(queue) else { return Ok(false) };
        queue.put_off.remove(name);
        Ok(queue.schedules.remove(name).is_some())
    }

    async fn set_schedule_paused(&self, queue: &str, name: &str, paused: bool) -> Result<bool, Error> {
        let mut state = self.state();
        let Some(queue) = state.queues.get_mut(queue) else { return Ok(false) };
        queue.put_off.remove(name);
        Ok(queue.schedules.get_mut(name).map(|schedule| schedule.paused = paused).is_some())
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
        let looked_at = |one: &StoredSchedule| queue.put_off.get(&one.name).copied().unwrap_or(one.next);
        let due = queue.schedules.values().filter(|schedule| !schedule.paused && looked_at(schedule) <= now);
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
        let Some(queue) = state.queues.get_mut(&*schedule.entry.queue) else { return Ok(None) };
        let Some(stored) = queue.schedules.get_mut(&schedule.name) else { return Ok(None) };
        if stored.next != slot || stored.paused {
            return Ok(None);
        }
        stored.next = next;
        queue.put_off.remove(&schedule.name);
        let now = state.clock.now();
        Ok(Some(jobs.into_iter().map(|entry| state.enqueue(entry, now)).collect()))
    }

    async fn put_off_schedule(&self, schedule: &StoredSchedule, until: OffsetDateTime) -> Result<(), Error> {
        let mut state = self.state();
        let Some(queue) = state.queues.get_mut(&*schedule.entry.queue) else { return Ok(()) };
        if queue.schedules.get(&schedule.name).is_some_and(|stored| stored.next == schedule.next) {
            queue.put_off.insert(schedule.name.clone(), until);
        }
        Ok(())
    }
}
