//! Jobs by the calendar.

mod due;
mod schedules;
#[cfg(test)]
mod tests;
mod tick;
mod timetable;
mod troubles;

pub use schedules::{ScheduleEdit, ScheduleView, Schedules};
pub(crate) use tick::tick;
pub(crate) use troubles::Troubles;

use shared_core::{Context, InTenant};

use crate::{Job, NewJob};

/// What happens to the slots of a schedule at which no worker was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissedRuns {
    /// Nothing: the next one comes at its time. A slot that is late by less than a minute is not missed.
    Skip,
    /// One job stands for all of them.
    #[default]
    Once,
    /// A job for each, the oldest first, at most a hundred. Those beyond are skipped.
    Each,
}

impl MissedRuns {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Skip, Self::Once, Self::Each];

    /// The word for it: `skip`, `once` or `each`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Once => "once",
            Self::Each => "each",
        }
    }

    /// The policy of this word.
    pub(crate) fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == word)
    }
}

/// When a job comes by the calendar.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use shared_core::InTenant;
/// use shared_queues::{Error, Job, MissedRuns, Queues, Schedule};
/// use validator::Validate;
///
/// #[derive(Serialize, Deserialize, Validate, Job)]
/// #[job(name = "report:daily")]
/// struct DailyReport { kind: String }
///
/// async fn every_night(queues: &Queues, proof: &impl InTenant) -> Result<(), Error> {
///     let report = DailyReport { kind: "sales".into() };
///     let nightly = Schedule::cron("nightly-sales", "0 3 * * *")
///         .zone("Europe/Zurich")
///         .missed(MissedRuns::Once)
///         .job(proof, report);
///     queues.schedules().put(nightly).await
/// }
/// ```
///
/// A run that takes longer than the time to the next slot runs beside the next one, unless its job is
/// [unique](crate::NewJob::unique): with [`Unique::existing`](crate::Unique::existing) the slot passes while one waits or runs.
///
/// # The pattern
/// Five fields: minute, hour, day of the month, month, day of the week; or six, with seconds in front. `*`, lists `1,2`, ranges `1-5`,
/// steps `*/10`, names (`MON`, `JAN`), `L` (the last), `W` (the nearest weekday), `#` (`MON#2`, the second Monday); `@hourly`,
/// `@daily`, `@weekly`, `@monthly`, `@yearly`. If both days are given, either will do; `+` in front of the day of the week asks for
/// both.
///
/// # When clocks change
/// A pattern that comes once a day (one hour, one minute) comes once on these days as well: at the end of the gap if its time is
/// left out, and the first time if its time comes twice. All others follow the clock on the wall: what lies in the gap is left out,
/// and what lies in the hour that comes twice comes twice.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a schedule does nothing before it is put"]
pub struct Schedule {
    name: String,
    cron: String,
    zone: String,
    missed: MissedRuns,
}

impl Schedule {
    /// By a cron pattern, in UTC. The name is unique in the queue of the job.
    pub fn cron(name: impl Into<String>, cron: impl Into<String>) -> Self {
        let (name, cron) = (name.into(), cron.into());
        Self { name, cron, zone: "UTC".to_owned(), missed: MissedRuns::default() }
    }

    /// By the clocks of another zone: a name of the IANA database, such as `Europe/Zurich`. The database is the one that was
    /// built in, the same in every process.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = zone.into();
        self
    }

    /// What happens to slots at which no worker was there. By default [`MissedRuns::Once`].
    pub fn missed(mut self, missed: MissedRuns) -> Self {
        self.missed = missed;
        self
    }

    /// What is to be done then, in the tenant that this proves: there is no request when the time comes, so the proof is taken now,
    /// and its context stored. Each run is a conversation of its own.
    pub fn job<J: Job>(self, proof: &impl InTenant, job: impl Into<NewJob<J>>) -> ScheduledJob<J> {
        ScheduledJob { schedule: self, context: proof.context().clone(), job: job.into() }
    }
}

/// A job by the calendar, to be [put](Schedules::put).
#[derive(Clone, Debug)]
#[must_use = "a schedule does nothing before it is put"]
pub struct ScheduledJob<J> {
    schedule: Schedule,
    context: Context,
    job: NewJob<J>,
}
