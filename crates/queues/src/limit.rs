use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How many jobs may run at once, and how many may begin in a time. Both hold over all workers.
///
/// ```
/// use std::time::Duration;
/// use shared_queues::Limit;
///
/// let ten_at_once = Limit::concurrency(10);
/// let hundred_a_second = Limit::rate(100, Duration::from_secs(1)).and_concurrency(20);
/// # let _ = (ten_at_once, hundred_a_second);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub(crate) concurrency: Option<u32>,
    pub(crate) rate: Option<Rate>,
}

/// A token bucket: it holds `burst` tokens at most, gets `count` of them per `period`, and each job that begins takes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// From 1 to a million.
    pub count: u32,
    /// From 1 ms to a day.
    pub period: Duration,
    /// From 1 to a million.
    pub burst: u32,
}

impl Limit {
    /// So many jobs at once.
    pub const fn concurrency(most: u32) -> Self {
        Self { concurrency: Some(most), rate: None }
    }

    /// So many jobs per period, and at most that many in a burst.
    pub const fn rate(count: u32, period: Duration) -> Self {
        Self { concurrency: None, rate: Some(Rate { count, period, burst: count }) }
    }

    /// The same with another size of the bucket.
    pub const fn burst(mut self, burst: u32) -> Self {
        if let Some(rate) = &mut self.rate {
            rate.burst = burst;
        }
        self
    }

    /// The same, and only so many at once.
    pub const fn and_concurrency(mut self, most: u32) -> Self {
        self.concurrency = Some(most);
        self
    }

    /// What is out of bounds, if anything is.
    pub(crate) fn misfit(&self) -> Option<&'static str> {
        let most = 1..=1_000_000;
        if self.concurrency.is_some_and(|jobs| !most.contains(&jobs)) {
            return Some("expected 1 to a million jobs at once");
        }
        let Rate { count, period, burst } = self.rate?;
        if !most.contains(&count) || !most.contains(&burst) {
            return Some("expected a rate and a burst of 1 to a million jobs");
        }
        let periods = Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60);
        (!periods.contains(&period)).then_some("expected a period of 1 ms to a day")
    }

    /// Jobs at once.
    pub const fn at_once(&self) -> Option<u32> {
        self.concurrency
    }

    /// Jobs in a time.
    pub const fn in_time(&self) -> Option<Rate> {
        self.rate
    }
}

/// Which limit a job counts against: one by its name, or one for each key of a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LimitKey {
    pub(crate) name: Cow<'static, str>,
    pub(crate) key: Option<String>,
}

impl LimitKey {
    /// The limit of this name, shared by all jobs and queues that name it.
    pub const fn named(name: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), key: None }
    }

    /// A limit for each key: `LimitKey::by("host", "example.com")`.
    pub fn by(name: &'static str, key: impl Into<String>) -> Self {
        Self { name: Cow::Borrowed(name), key: Some(key.into()) }
    }
}

/// A limit, and its use.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LimitStatus {
    /// Its name; or the queue's, for the limit of a queue.
    pub name: String,
    /// The key, where it is one key's.
    pub key: Option<String>,
    /// Whether it is a queue's own limit.
    pub of_queue: bool,
    /// What is set. A name that jobs use and nobody has set limits nothing.
    pub limit: Option<Limit>,
    /// Jobs that have passed it and are not settled.
    pub running: u64,
    /// Tokens in the bucket, where there is one.
    pub tokens: Option<f64>,
    /// For how long nothing is admitted, where it is held.
    pub held_for: Option<Duration>,
}

/// Where a limit stands in a list: those of queues first, then by name, and by key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct LimitPlace {
    pub(crate) is_named: bool,
    pub(crate) name: String,
    pub(crate) key: Option<String>,
}

impl LimitStatus {
    pub(crate) fn place(&self) -> LimitPlace {
        LimitPlace { is_named: !self.of_queue, name: self.name.clone(), key: self.key.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_bounds() {
        let second = Duration::from_secs(1);
        for good in
            [Limit::concurrency(1), Limit::rate(1_000_000, second).burst(1), Limit::rate(1, second * 86_400)]
        {
            assert_eq!(good.misfit(), None, "{good:?}");
        }
        for bad in [
            Limit::concurrency(0),
            Limit::rate(0, second),
            Limit::rate(1, Duration::ZERO),
            Limit::rate(1, second * 86_401),
            Limit::rate(1, second).burst(0),
            Limit::rate(1, second).and_concurrency(1_000_001),
        ] {
            assert!(bad.misfit().is_some(), "{bad:?}");
        }
    }
}
