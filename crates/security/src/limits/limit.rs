use std::time::Duration;

/// How often something may happen, and by which measure.
///
/// ```
/// use std::time::Duration;
/// use shared_security::Limit;
///
/// let steady = Limit::per_second(10).burst(20);
/// let slow = Limit::per(5, Duration::from_secs(15 * 60));
/// let window = Limit::sliding(100, Duration::from_secs(60));
/// ```
///
/// # Which one
/// - **A token bucket** ([`per_second`](Self::per_second), [`per`](Self::per)) refills steadily, and lets as much
///   through at once as its [`burst`](Self::burst). It is kept as one point in time, the generic cell rate algorithm
///   (GCRA), and is exact: over any time `t` it admits at most `burst + t × rate`.
/// - **A sliding window** ([`sliding`](Self::sliding)) admits so many per window, counting the window before by how much
///   of it still lies within one length from now, as if its requests had been spread evenly. So nobody gets twice the
///   count around the edge of a window. Uneven traffic can get more in one length than the count, never twice as much.
///
/// Take the bucket unless a contract says "so many per hour": it forgives a burst, and forgets soonest.
///
/// # Limits of limits
/// [`Limiter::new`](crate::Limiter::new) refuses a bucket that takes longer than 100 days to refill, and a window that is
/// not of whole seconds, or longer than 30 days. The pause between two tokens is rounded up to whole nanoseconds, so a
/// bucket is never faster than it says, and up to a million a second slower by less than a thousandth. A limit of 0 admits
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    algorithm: Algorithm,
    count: u64,
    per: Duration,
    burst: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Bucket,
    Window,
}

impl Limit {
    /// A token bucket with so many a second.
    pub const fn per_second(count: u64) -> Self {
        Self::per(count, Duration::from_secs(1))
    }

    /// A token bucket with so many a minute.
    pub const fn per_minute(count: u64) -> Self {
        Self::per(count, Duration::from_secs(60))
    }

    /// A token bucket with so many in this time; as many at once, unless a [`burst`](Self::burst) is said.
    pub const fn per(count: u64, time: Duration) -> Self {
        Self { algorithm: Algorithm::Bucket, count, per: time, burst: count }
    }

    /// So many in any window of this length, give or take what the measure costs; see above.
    pub const fn sliding(count: u32, window: Duration) -> Self {
        let count = count as u64;
        Self { algorithm: Algorithm::Window, count, per: window, burst: count }
    }

    /// How much a full bucket admits at once. A sliding window has none: its count is what it admits at once.
    pub const fn burst(mut self, burst: u64) -> Self {
        self.burst = burst;
        self
    }

    /// What stores work with, or why there is no such limit.
    pub(super) fn quota(&self) -> Result<Quota, &'static str> {
        match self.algorithm {
            Algorithm::Bucket => self.bucket(),
            Algorithm::Window => self.window(),
        }
    }

    fn bucket(&self) -> Result<Quota, &'static str> {
        let per = self.per.as_nanos();
        if per == 0 || per > u128::from(LONGEST_REFILL) {
            return Err("the time of a bucket is more than none and at most 100 days");
        }
        let interval = per.div_ceil(u128::from(self.count.max(1)));
        let burst = if self.count == 0 { 0 } else { self.burst };
        if interval * u128::from(burst) > u128::from(LONGEST_REFILL) {
            return Err("a bucket refills in at most 100 days; lower its burst");
        }
        let interval = u64::try_from(interval).map_err(|_| "the time of a bucket is at most 100 days")?;
        Ok(Quota::Bucket { interval, burst })
    }

    fn window(&self) -> Result<Quota, &'static str> {
        let seconds = u32::try_from(self.per.as_secs()).unwrap_or(u32::MAX);
        if self.per.subsec_nanos() != 0 || !(1..=LONGEST_WINDOW).contains(&seconds) {
            return Err("a sliding window has whole seconds, from 1 to those of 30 days");
        }
        if self.burst != self.count {
            return Err("a sliding window has no burst beside its count");
        }
        let count = u32::try_from(self.count).ok().filter(|count| *count <= MOST_COUNTED);
        let count = count.ok_or("a sliding window counts to 2^31")?;
        Ok(Quota::Window { seconds, count })
    }
}

/// In nanoseconds. Below 2^53, so that Lua's numbers hold every sum exactly.
const LONGEST_REFILL: u64 = 100 * 86_400 * 1_000_000_000;
/// In seconds. Below 2^24, which is the room that it has in a slot of the table.
const LONGEST_WINDOW: u32 = 30 * 86_400;
/// Times the longest window in milliseconds it is below 2^63, which is what a database counts to.
const MOST_COUNTED: u32 = i32::MAX as u32;

/// A limit that was checked, in the units of the stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quota {
    /// Nanoseconds between two tokens, and tokens in a full bucket: their product is at most [`LONGEST_REFILL`].
    Bucket {
        /// Nanoseconds.
        interval: u64,
        /// Tokens.
        burst: u64,
    },
    /// The length of the window, and what it admits.
    Window {
        /// Its length.
        seconds: u32,
        /// What it admits.
        count: u32,
    },
}

impl Quota {
    /// The most that can be admitted at once.
    pub(super) fn most(&self) -> u64 {
        match *self {
            Self::Bucket { burst, .. } => burst,
            Self::Window { count, .. } => u64::from(count),
        }
    }

    /// In how many seconds as much is admitted again.
    pub(super) fn seconds(&self) -> u64 {
        match *self {
            Self::Bucket { interval, burst } => (interval * burst).div_ceil(1_000_000_000).max(1),
            Self::Window { seconds, .. } => u64::from(seconds),
        }
    }

    /// That of so many keys together.
    pub(super) fn times(self, keys: u64) -> Self {
        match self {
            Self::Bucket { interval, burst } => {
                let interval = interval.div_ceil(keys.max(1));
                Self::Bucket {
                    interval,
                    burst: burst.saturating_mul(keys).min(LONGEST_REFILL / interval.max(1)),
                }
            }
            Self::Window { seconds, count } => {
                let count = u64::from(count).saturating_mul(keys);
                Self::Window { seconds, count: u32::try_from(count).unwrap_or(u32::MAX).min(MOST_COUNTED) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_store_could_count_is_refused() {
        let day = Duration::from_secs(86_400);
        for refused in [
            Limit::per(1, Duration::ZERO),
            Limit::per(1, day * 101),
            Limit::per_second(1).burst(u64::MAX),
            Limit::sliding(1, Duration::from_millis(1500)),
            Limit::sliding(1, Duration::ZERO),
            Limit::sliding(1, day * 31),
            Limit::sliding(1, day).burst(2),
        ] {
            assert!(refused.quota().is_err(), "{refused:?}");
        }
    }

    #[test]
    fn rates_below_and_above_one_a_second_are_exact_to_the_nanosecond() {
        let spacing = |limit: Limit| match limit.quota() {
            Ok(Quota::Bucket { interval, .. }) => interval,
            other => panic!("{other:?}"),
        };
        assert_eq!(spacing(Limit::per_second(3)), 333_333_334);
        assert_eq!(spacing(Limit::per(1, Duration::from_secs(10))), 10_000_000_000);
        assert_eq!(spacing(Limit::per(5, Duration::from_millis(20))), 4_000_000);
        assert_eq!(spacing(Limit::per_second(u64::MAX).burst(1)), 1);
    }

    #[test]
    fn the_quota_of_many_keys_is_that_of_one_so_many_times() {
        let one = Limit::per_second(10).burst(20).quota().unwrap();
        assert_eq!(one.times(10), Limit::per_second(100).burst(200).quota().unwrap());
        let window = Limit::sliding(5, Duration::from_secs(60)).quota().unwrap();
        assert_eq!(window.times(u64::MAX).most(), u64::from(MOST_COUNTED));
    }
}
