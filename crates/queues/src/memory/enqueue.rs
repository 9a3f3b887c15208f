//! Jobs on their way in, and which of them are the same.

use std::time::Duration;

use super::clock::Moment;
use super::job::{Job, Place};
use super::state::{Mark, MarkId, State};
use crate::backend::Entry;
use crate::unique::OnDuplicate;
use crate::{Enqueued, JobId};

impl State {
    pub(super) fn enqueue(&mut self, entry: Entry, now: Moment) -> Enqueued {
        if self.jobs.contains_key(&entry.job) {
            return Enqueued::Existing(entry.job);
        }
        let Some(unique) = entry.unique.clone() else { return self.insert(entry, now) };
        let mark: MarkId = (entry.tenant, entry.name.to_string(), unique.key);
        if let Some(same) = self.same(&entry, &mark, unique.on_duplicate, now) {
            return same;
        }
        let until = match unique.on_duplicate {
            OnDuplicate::Throttle(period) => now.saturating_add(period),
            _ => Moment::ZERO,
        };
        let (name, holder) = (entry.queue.to_string(), entry.job);
        self.queues.entry(name).or_default().marks.insert(mark, Mark { holder, until });
        self.insert(entry, now)
    }

    /// The same for a job that may come again: a mark without a name, which no job has, remembers that it came.
    pub(super) fn enqueue_once(&mut self, entry: Entry, remember: Duration, now: Moment) -> Enqueued {
        let (job, queue) = (entry.job, entry.queue.to_string());
        let mark: MarkId = (entry.tenant, String::new(), job.to_string());
        if self.queues.entry(queue.clone()).or_default().marks.get(&mark).is_some_and(|mark| now < mark.until)
        {
            return Enqueued::Existing(job);
        }
        let answer = self.enqueue(entry, now);
        let until = now.saturating_add(remember);
        self.queues.entry(queue).or_default().marks.insert(mark, Mark { holder: job, until });
        answer
    }

    fn insert(&mut self, mut entry: Entry, now: Moment) -> Enqueued {
        entry.limits.sort();
        entry.limits.dedup();
        let (id, delayed, position) = (entry.job, !entry.delay.is_zero(), self.count());
        let job = Job::new(entry, position, now);
        let due = job.due;
        self.jobs.insert(id, job);
        if delayed {
            self.enter_later(id, due);
        } else {
            self.enter(id);
        }
        Enqueued::Inserted(id)
    }

    /// What becomes of a job if there is the same already; `None` if there is none that counts.
    fn same(&mut self, entry: &Entry, mark: &MarkId, rule: OnDuplicate, now: Moment) -> Option<Enqueued> {
        let Mark { holder, until } = self.queues.get(entry.queue.as_ref())?.marks.get(mark)?;
        let (holder, until) = (*holder, *until);
        let (alive, pending) =
            self.jobs.get(&holder).map_or((false, false), |job| (job.is_alive(), job.is_pending()));
        match rule {
            OnDuplicate::Throttle(_) => (now < until).then_some(Enqueued::Existing(holder)),
            OnDuplicate::Reject | OnDuplicate::Existing => alive.then_some(Enqueued::Existing(holder)),
            OnDuplicate::Debounce if pending => {
                self.replace(holder, entry);
                self.put_off(holder, now.saturating_add(entry.delay), now);
                Some(Enqueued::Replaced(holder))
            }
            OnDuplicate::KeepLatest if pending => {
                self.replace(holder, entry);
                Some(Enqueued::Replaced(holder))
            }
            OnDuplicate::Debounce | OnDuplicate::KeepLatest => None,
        }
    }

    fn replace(&mut self, holder: JobId, entry: &Entry) {
        if let Some(job) = self.jobs.get_mut(&holder) {
            job.entry.payload.clone_from(&entry.payload);
            job.entry.context.clone_from(&entry.context);
            job.entry.version = entry.version;
        }
    }

    /// Makes a pending job due at another time.
    fn put_off(&mut self, id: JobId, due: Moment, now: Moment) {
        let Some(job) = self.jobs.get(&id) else { return };
        let stays = due <= now && job.place != Place::Scheduled;
        if !stays {
            self.leave(id, now);
        }
        if let Some(job) = self.jobs.get_mut(&id) {
            job.due = due;
        }
        if due > now {
            self.enter_later(id, due);
        } else if !stays {
            self.enter(id);
        }
    }
}
