//! The schedules that are there.

use shared_core::{CorrelationId, TenantId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::timetable::Timetable;
use super::{MissedRuns, Schedule, ScheduledJob};
use crate::backend::StoredSchedule;
use crate::name::{NAME_RULE, is_sound};
use crate::{Error, Job, JobId, Queues};

/// Schedules of one queue at most: 1,000. They are programs' own, or tenants' few; a date in each row of a table is a job that looks
/// for due rows.
const MOST: usize = 1000;

/// The schedules of all queues. Made by [`Queues::schedules`].
///
/// They live beside the jobs of their queue, and any worker of the queue fires them: each slot once, by a comparison in the same
/// transaction or script that enqueues the job, however many workers look at the same moment.
#[derive(Clone, Debug)]
pub struct Schedules {
    queues: Queues,
}

/// A schedule as operators see it. What its job holds is not shown.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ScheduleView {
    /// Its name, unique in the queue.
    pub name: String,
    /// The queue of its jobs.
    pub queue: String,
    /// The name of its jobs, `domain:action`.
    pub job: String,
    /// Whose jobs they are.
    pub tenant: TenantId,
    /// The cron pattern.
    pub cron: String,
    /// By the clocks of which zone.
    pub zone: String,
    /// What happens to slots at which no worker was there.
    pub missed: MissedRuns,
    /// Whether it is stopped.
    pub paused: bool,
    /// The slot that comes next; one in the past is about to be fired, paused, or could not be fired and is tried again.
    pub next: OffsetDateTime,
}

impl From<StoredSchedule> for ScheduleView {
    fn from(stored: StoredSchedule) -> Self {
        Self {
            name: stored.name,
            queue: stored.entry.queue.into_owned(),
            job: stored.entry.name.into_owned(),
            tenant: stored.entry.tenant,
            cron: stored.cron,
            zone: stored.zone,
            missed: stored.missed,
            paused: stored.paused,
            next: stored.next,
        }
    }
}

/// What to change of a schedule. What is not said stays.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "an edit does nothing before it is made"]
pub struct ScheduleEdit {
    pub(crate) cron: Option<String>,
    pub(crate) zone: Option<String>,
    pub(crate) missed: Option<MissedRuns>,
}

impl ScheduleEdit {
    /// No change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another pattern.
    pub fn cron(mut self, cron: impl Into<String>) -> Self {
        self.cron = Some(cron.into());
        self
    }

    /// Another zone.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Another policy for missed runs.
    pub fn missed(mut self, missed: MissedRuns) -> Self {
        self.missed = Some(missed);
        self
    }
}

impl Queues {
    /// Jobs by the calendar.
    pub fn schedules(&self) -> Schedules {
        Schedules { queues: self.clone() }
    }
}

impl Schedules {
    /// Writes a schedule, over one of the same name in the queue of its job: a program may do so at every start. With the same
    /// pattern and zone it keeps its next slot, so what was missed while nobody ran is judged by [`MissedRuns`]; otherwise the
    /// next slot is the first from now on. One that is paused stays so.
    ///
    /// A job type that moves to another queue leaves its schedules in the old one behind; [remove](Self::remove) them.
    ///
    /// # Errors
    /// [`Error::Schedule`] for a pattern or zone that can't be read or a pattern that never comes, the same errors as
    /// [`Producer::enqueue`](crate::Producer::enqueue) for the job, and [`Error::Database`].
    pub async fn put<J: Job>(&self, scheduled: ScheduledJob<J>) -> Result<(), Error> {
        let ScheduledJob { schedule: Schedule { name, cron, zone, missed }, context, job } = scheduled;
        if !is_sound(&name) {
            return Err(unfit(&name, NAME_RULE));
        }
        // Nothing of this moment goes along: no trace, no conversation, no id. The same schedule is stored the same way.
        let conversation =
            CorrelationId::try_from(format!("schedule:{name}")).map_err(|_| unfit(&name, NAME_RULE))?;
        let context = context.with_traceparent(None).with_correlation(conversation);
        let entry = job.written(JobId::from_uuid(Uuid::nil()), &context)?;
        self.write(StoredSchedule {
            name,
            cron,
            zone,
            missed,
            paused: false,
            entry,
            next: OffsetDateTime::UNIX_EPOCH,
        })
        .await
    }

    /// All schedules, or those of a queue, by queue and name.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn list(&self, queue: Option<&str>) -> Result<Vec<ScheduleView>, Error> {
        if queue.is_some_and(|queue| !is_sound(queue)) {
            return Ok(Vec::new());
        }
        let mut all: Vec<ScheduleView> =
            self.queues.backend.schedules(queue).await?.into_iter().map(ScheduleView::from).collect();
        all.sort_unstable_by(|a, b| (&a.queue, &a.name).cmp(&(&b.queue, &b.name)));
        Ok(all)
    }

    /// Changes when a schedule comes, and returns how it is now; `None` if there is none of this name. Of two edits at once the later
    /// one counts. A program that puts its schedule at every start undoes the edit then.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn edit(
        &self,
        queue: &str,
        name: &str,
        edit: ScheduleEdit,
    ) -> Result<Option<ScheduleView>, Error> {
        let Some(mut stored) = self.find(queue, name).await? else { return Ok(None) };
        stored.cron = edit.cron.unwrap_or(stored.cron);
        stored.zone = edit.zone.unwrap_or(stored.zone);
        stored.missed = edit.missed.unwrap_or(stored.missed);
        self.write(stored).await?;
        Ok(self.find(queue, name).await?.map(ScheduleView::from))
    }

    /// Stops a schedule; whether there was one. When this has returned no slot is fired, and those that pass meanwhile are missed ones.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn pause(&self, queue: &str, name: &str) -> Result<bool, Error> {
        Ok(are_sound(queue, name) && self.queues.backend.set_schedule_paused(queue, name, true).await?)
    }

    /// Lets a schedule go on; whether there was one.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn resume(&self, queue: &str, name: &str) -> Result<bool, Error> {
        Ok(are_sound(queue, name) && self.queues.backend.set_schedule_paused(queue, name, false).await?)
    }

    /// Removes a schedule; whether there was one. Jobs that it has enqueued stay.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn remove(&self, queue: &str, name: &str) -> Result<bool, Error> {
        if !are_sound(queue, name) {
            return Ok(false);
        }
        let was_there = self.queues.backend.remove_schedule(queue, name).await?;
        self.queues.troubles.are_over(queue, name);
        Ok(was_there)
    }

    async fn find(&self, queue: &str, name: &str) -> Result<Option<StoredSchedule>, Error> {
        if !are_sound(queue, name) {
            return Ok(None);
        }
        Ok(self.queues.backend.schedules(Some(queue)).await?.into_iter().find(|stored| stored.name == name))
    }

    /// Writes it with the first slot from now on, by the clock of the backend; which keeps the slot of one that is there already.
    async fn write(&self, mut new: StoredSchedule) -> Result<(), Error> {
        let timetable = Timetable::read(&new.cron, &new.zone).map_err(|problem| unfit(&new.name, problem))?;
        let (now, _) = self.queues.backend.due_schedules(&new.entry.queue).await?;
        new.next = timetable.after(now).ok_or_else(|| unfit(&new.name, "the pattern never comes"))?;
        let there = self.queues.backend.schedules(Some(&new.entry.queue)).await?;
        if there.len() >= MOST && there.iter().all(|stored| stored.name != new.name) {
            return Err(unfit(&new.name, format!("the queue has {MOST} schedules, which are the most")));
        }
        self.queues.backend.put_schedule(&new).await
    }
}

/// Of other names there is none, and a backend may not be able to read them.
fn are_sound(queue: &str, name: &str) -> bool {
    is_sound(queue) && is_sound(name)
}

fn unfit(schedule: &str, problem: impl Into<String>) -> Error {
    Error::Schedule { schedule: schedule.to_owned(), problem: problem.into() }
}
