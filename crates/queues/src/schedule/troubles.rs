//! What is said of schedules that can't be fired: of each once an hour, unless it is another one, or for another reason.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::backend::StoredSchedule;

/// Schedules that are remembered. A process that meets more of them begins anew, and says some things twice.
const MOST: usize = 1000;

/// For so long nothing is said again. A problem may have been over meanwhile, which only the process hears that fired the schedule then.
pub(super) const SAID_FOR: Duration = Duration::from_secs(60 * 60);

/// What was said last of each, by queue and name, and when.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Mutex<Said>);

type Said = HashMap<(String, String), (u64, Instant)>;

impl Troubles {
    /// Whether nothing has been said in the last hour of this schedule as it is, and this problem.
    pub(super) fn are_new(&self, schedule: &StoredSchedule, problem: &str) -> bool {
        let mut said = self.lock();
        let (key, trouble, now) = (key(schedule), fingerprint(schedule, problem), Instant::now());
        if said.get(&key).is_some_and(|&(last, at)| last == trouble && now - at < SAID_FOR) {
            return false;
        }
        if said.len() >= MOST && !said.contains_key(&key) {
            said.clear();
        }
        said.insert(key, (trouble, now));
        true
    }

    /// It was fired, or removed: one that is made anew is another one. Only this process hears of a removal.
    pub(super) fn are_over(&self, queue: &str, name: &str) {
        let mut said = self.lock();
        if !said.is_empty() {
            said.remove(&(queue.to_owned(), name.to_owned()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(schedule: &StoredSchedule) -> (String, String) {
    (schedule.entry.queue.to_string(), schedule.name.clone())
}

/// Of all but its slot, which moves on where another program can read it.
fn fingerprint(schedule: &StoredSchedule, problem: &str) -> u64 {
    let (entry, mut hasher) = (&schedule.entry, DefaultHasher::new());
    (problem, &schedule.cron, &schedule.zone, schedule.missed.as_str()).hash(&mut hasher);
    (&entry.name, entry.version, &entry.payload, &entry.context, &entry.order).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared_core::InTenant;
    use time::OffsetDateTime;
    use tokio::time::advance;

    use super::*;
    use crate::fixture::{Mail, tenant};
    use crate::schedule::MissedRuns;
    use crate::{JobId, NewJob};

    fn schedule(name: &str, cron: &str) -> StoredSchedule {
        StoredSchedule {
            name: name.to_owned(),
            cron: cron.to_owned(),
            zone: "UTC".to_owned(),
            missed: MissedRuns::Once,
            paused: false,
            entry: NewJob::of(Mail { n: 1 }).written(JobId::new(), tenant().context()).unwrap(),
            next: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn of_each_schedule_and_problem_something_is_said_once() {
        let troubles = Troubles::default();
        let (full, new) = (schedule("a", "every full moon"), schedule("a", "every new moon"));
        assert!(troubles.are_new(&full, "it can't be read"));
        assert!(!troubles.are_new(&full, "it can't be read"));
        let later = StoredSchedule { next: OffsetDateTime::now_utc(), ..full.clone() };
        assert!(!troubles.are_new(&later, "it can't be read"), "another slot of the same");
        assert!(troubles.are_new(&full, "the server is away"));
        assert!(troubles.are_new(&new, "the server is away"), "it was changed");
        assert!(troubles.are_new(&schedule("b", "every full moon"), "it can't be read"));
        troubles.are_over(&new.entry.queue, &new.name);
        assert!(troubles.are_new(&new, "the server is away"), "it had been fired meanwhile");
    }

    /// Which may have been over meanwhile: another process fired it, and this one did not hear of that.
    #[tokio::test(start_paused = true)]
    async fn a_problem_that_is_still_there_an_hour_later_is_said_again() {
        let (troubles, full) = (Troubles::default(), schedule("a", "every full moon"));
        assert!(troubles.are_new(&full, "it can't be read"));
        for _ in 0..5 {
            advance(Duration::from_secs(10 * 60)).await;
            assert!(!troubles.are_new(&full, "it can't be read"), "it was said within the hour");
        }
        advance(Duration::from_secs(10 * 60)).await;
        assert!(troubles.are_new(&full, "it can't be read"));
        assert!(!troubles.are_new(&full, "it can't be read"));
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let troubles = Troubles::default();
        for name in 0..2 * MOST {
            assert!(troubles.are_new(&schedule(&name.to_string(), "@never"), "no"));
        }
        assert!(troubles.lock().len() <= MOST);
    }
}
