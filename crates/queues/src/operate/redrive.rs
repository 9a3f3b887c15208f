use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use super::{check_name, refuse};
use crate::filter::FINEST;
use crate::{DeadFilter, Error, JobId, Queues};

/// Jobs that are redriven in one step: one transaction or script, of some milliseconds.
const AT_ONCE: u32 = 100;

/// The highest rate, in jobs per second; without a rate it goes as fast as the backend does.
const HIGHEST_RATE: u32 = 1_000_000;

/// Brings dead jobs back, the oldest letters first. Made by [`Queues::redrive`]; awaiting it does it, and returns the jobs.
///
/// Those that die while it works stay dead, so that it comes to an end. Where the backend has no index for it (Redis), each step
/// looks through the oldest 10,000 letters of a queue: what lies behind as many that do not match is not found. Dropping the future ends it after the step that is under way;
/// what was brought back stays back.
///
/// Awaiting fails with [`Error::Refused`] for a queue or rate out of bounds and for a filter with an empty name or an age below 1 ms, and with
/// [`Error::Database`].
#[derive(Clone, Debug)]
#[must_use = "nothing is brought back before it is awaited"]
pub struct Redrive {
    queues: Queues,
    which: DeadFilter,
    into: Option<String>,
    rate: Option<u32>,
    most: u64,
}

impl Redrive {
    pub(super) fn new(queues: Queues, which: DeadFilter) -> Self {
        Self { queues, which, into: None, rate: None, most: u64::MAX }
    }

    /// Into another queue than that in which they died: one whose workers are the right ones for what is left over.
    pub fn into(mut self, queue: impl Into<String>) -> Self {
        self.into = Some(queue.into());
        self
    }

    /// So many jobs per second, from 1 to a million: for a service behind them that has just come back.
    pub fn at_rate(mut self, per_second: u32) -> Self {
        self.rate = Some(per_second);
        self
    }

    /// At most this many.
    pub fn most(mut self, jobs: u64) -> Self {
        self.most = jobs;
        self
    }

    async fn run(self) -> Result<Vec<JobId>, Error> {
        const ATTEMPTED: &str = "redriving";
        self.into.as_deref().map_or(Ok(()), |queue| check_name(ATTEMPTED, queue))?;
        let sound = self.rate.is_none_or(|rate| (1..=HIGHEST_RATE).contains(&rate));
        refuse(ATTEMPTED, (!sound).then_some("expected a rate from 1 to a million jobs per second"))?;
        refuse(ATTEMPTED, self.which.slip())?;
        if self.which.is_vain() {
            return Ok(Vec::new());
        }
        let (start, mut dead) = (Instant::now(), Dead::now(self.which));
        let mut back = Vec::new();
        loop {
            let left = u32::try_from(self.most - back.len() as u64).unwrap_or(u32::MAX);
            let step = left.min(AT_ONCE).min(self.rate.unwrap_or(AT_ONCE));
            let jobs = self.queues.backend.redrive(dead.then(), self.into.as_deref(), step).await?;
            // A step that brings back fewer is not the last: somebody else may do the same.
            let over = jobs.is_empty();
            back.extend(jobs);
            if over || back.len() as u64 >= self.most {
                return Ok(back);
            }
            if let Some(rate) = self.rate {
                sleep_until(start + Duration::from_secs_f64(back.len() as f64 / f64::from(rate))).await;
            }
        }
    }
}

impl IntoFuture for Redrive {
    type Output = Result<Vec<JobId>, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.run().boxed()
    }
}

/// The letters that matched at one moment, for a work of several steps: it never meets what has died since, so it ends.
pub(super) struct Dead {
    filter: DeadFilter,
    at: Instant,
}

impl Dead {
    pub(super) fn now(filter: DeadFilter) -> Self {
        Self { filter, at: Instant::now() }
    }

    /// As a filter of this moment. It takes ages and no times, so the clock of this process does not count.
    pub(super) fn then(&mut self) -> &DeadFilter {
        // A letter may be as young as the work on it.
        if let Some(since) = self.at.elapsed().checked_sub(FINEST).filter(|since| !since.is_zero()) {
            self.filter.older_than = self.filter.older_than.max(Some(since));
        }
        &self.filter
    }
}
