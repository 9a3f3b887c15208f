//! The queues seen and steered from outside, by those who run them: over all tenants.

mod queue;
mod redrive;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use queue::Queue;
pub use redrive::Redrive;

use crate::limit::LimitPlace;
use crate::name::{NAME_RULE, is_sound};
use crate::new_job::unkeyed;
use crate::{
    Cancelled, DeadFilter, DeadLetter, Error, JobFilter, JobId, JobView, Limit, LimitStatus, QueueStatus,
    Queues,
};

/// Things in one list at most: 1,000. It is what a person may still look through, and some hundred kilobytes.
pub const MAX_LISTED: u32 = 1000;

/// Dead letters that are thrown away in one step: some milliseconds of work.
const DISCARDED_AT_ONCE: u32 = 1000;

/// The longest hold on a limit: a day. A server that asks for more is better taken out of the program.
const LONGEST_HOLD: Duration = Duration::from_secs(24 * 60 * 60);

/// Looking on. None of it is bound to a tenant, so it belongs into the hands of operators. Payloads are shown nowhere.
impl Queues {
    /// All queues that ever had a job or a setting, by name. Counting takes longer the more jobs there are: fine for a person, or a
    /// probe every some seconds.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn status(&self) -> Result<Vec<QueueStatus>, Error> {
        let mut all = self.backend.queues().await?;
        all.sort_unstable_by(|a, b| a.queue.cmp(&b.queue));
        Ok(all)
    }

    /// One job, as long as it waits, runs, is remembered or dead.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn job(&self, job: JobId) -> Result<Option<JobView>, Error> {
        self.backend.job(job).await
    }

    /// Jobs that match, the latest first; at most this many, and at most [`MAX_LISTED`]. The next ones come with
    /// [`JobFilter::after`]. Where the backend has no index for it, it
    /// looks through the latest 10,000 jobs of a state alone.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn search(&self, filter: &JobFilter, most: u32) -> Result<Vec<JobView>, Error> {
        if filter.is_vain() {
            return Ok(Vec::new());
        }
        self.backend.search(filter, most.min(MAX_LISTED)).await
    }

    /// Dead letters that match, the latest first; at most this many, and at most [`MAX_LISTED`]. The next ones come with
    /// [`DeadFilter::after`].
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn dead_letters(&self, filter: &DeadFilter, most: u32) -> Result<Vec<DeadLetter>, Error> {
        if filter.is_vain() {
            return Ok(Vec::new());
        }
        self.backend.dead(filter, most.min(MAX_LISTED)).await
    }

    /// Limits that are set, and the use of those with jobs at this moment: those of queues, then the others by name and key. Those
    /// behind `after`, the last one of the page before; at most this many, and at most [`MAX_LISTED`].
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn limits(&self, after: Option<&LimitStatus>, most: u32) -> Result<Vec<LimitStatus>, Error> {
        self.limits_behind(after.map(LimitStatus::place).as_ref(), most).await
    }

    pub(crate) async fn limits_behind(
        &self,
        after: Option<&LimitPlace>,
        most: u32,
    ) -> Result<Vec<LimitStatus>, Error> {
        self.backend.limits(after, most.min(MAX_LISTED)).await
    }
}

/// Steering. Everything works at once, on all workers, and may be repeated.
impl Queues {
    /// Cancels a job. One that waits is gone; one that runs is asked to end, and if it does not, dropped after a while. However this attempt
    /// ends, there is no other: the job is complete, or cancelled.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn cancel(&self, job: JobId) -> Result<Cancelled, Error> {
        self.backend.cancel(job).await
    }

    /// Lets a job that is not due yet become due so long from now: a delayed one, or one that waits for its next attempt; with no time,
    /// it is due at once. Workers see it within [`Config::poll`](crate::Config::poll). Returns whether there was one: a job that is due,
    /// runs, or has ended is left alone.
    ///
    /// # Errors
    /// [`Error::Database`]. If the future is dropped it may have been done.
    pub async fn reschedule(&self, job: JobId, wait: Duration) -> Result<bool, Error> {
        self.backend.reschedule(job, wait).await
    }

    /// Makes dead jobs ready again, with all their attempts before them and no crash on their account. It does nothing before it is
    /// awaited; see [`Redrive`].
    ///
    /// ```
    /// # use shared_queues::{DeadFilter, Error, JobId, Queues};
    /// # async fn redrive(queues: &Queues, job: JobId) -> Result<(), Error> {
    /// queues.redrive(job).await?;
    /// queues.redrive(DeadFilter::new().name("mail:welcome")).into("bulk").at_rate(50).await?;
    /// # Ok(()) }
    /// ```
    pub fn redrive(&self, which: impl Into<DeadFilter>) -> Redrive {
        Redrive::new(self.clone(), which.into())
    }

    /// Throws dead letters away for ever, the oldest first, at most this many, and returns how many. Those that come while it works
    /// stay. It finds what a [`Redrive`] finds.
    ///
    /// # Errors
    /// [`Error::Refused`] for a filter with an empty name or an age below 1 ms. [`Error::Database`]; what was thrown away before is gone. So it
    /// is if the future is dropped.
    pub async fn discard(&self, which: impl Into<DeadFilter>, most: u64) -> Result<u64, Error> {
        let which = which.into();
        refuse("discarding", which.slip())?;
        if which.is_vain() {
            return Ok(0);
        }
        let mut dead = redrive::Dead::now(which);
        let mut gone = 0;
        loop {
            let step =
                u32::try_from(most - gone).map_or(DISCARDED_AT_ONCE, |left| left.min(DISCARDED_AT_ONCE));
            let discarded = self.backend.discard(dead.then(), step).await?;
            gone += discarded;
            if discarded == 0 || gone >= most {
                return Ok(gone);
            }
        }
    }

    /// Sets a limit, or with `None` removes it: that of a name, or that of one key of the name, for which the name's own does not
    /// count then. Jobs that run are not touched.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use shared_queues::{Error, Limit, Queues};
    /// # async fn limit(queues: &Queues) -> Result<(), Error> {
    /// queues.set_limit("host", None, Some(Limit::rate(10, Duration::from_secs(1)))).await?;
    /// queues.set_limit("host", Some("slow.example.com"), Some(Limit::concurrency(1))).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Refused`] for a name, a key or a limit out of bounds, and [`Error::Database`].
    pub async fn set_limit(&self, name: &str, key: Option<&str>, limit: Option<Limit>) -> Result<(), Error> {
        const ATTEMPTED: &str = "setting a limit";
        check_limit(ATTEMPTED, name, key)?;
        refuse(ATTEMPTED, limit.and_then(|limit| limit.misfit()))?;
        self.backend.set_limit(name, key, limit).await
    }

    /// Admits no job through this limit, or this key of it, for so long: what a server asks for that answers 429. Jobs that run
    /// are not touched. A later hold takes the place of the one before, and one of no time ends it.
    ///
    /// # Errors
    /// [`Error::Refused`] for a name or key out of bounds and for more than a day, and [`Error::Database`].
    pub async fn hold(&self, name: &str, key: Option<&str>, wait: Duration) -> Result<(), Error> {
        const ATTEMPTED: &str = "holding a limit";
        check_limit(ATTEMPTED, name, key)?;
        refuse(ATTEMPTED, (wait > LONGEST_HOLD).then_some("a day is the longest hold"))?;
        self.backend.hold(name, key, wait).await
    }
}

fn check_limit(attempted: &'static str, name: &str, key: Option<&str>) -> Result<(), Error> {
    check_name(attempted, name)?;
    refuse(attempted, key.and_then(unkeyed))
}

pub(crate) fn check_name(attempted: &'static str, name: &str) -> Result<(), Error> {
    refuse(attempted, (!is_sound(name)).then_some(NAME_RULE))
}

pub(crate) fn refuse(attempted: &'static str, problem: Option<&'static str>) -> Result<(), Error> {
    problem.map_or(Ok(()), |problem| Err(Error::Refused { attempted, problem }))
}
