//! How much of a quota is used at one moment, and what follows from it. Every store fetches levels and puts them back;
//! what is told to the caller is computed here alone.

use std::time::Duration;

use super::limit::Quota;

/// What is kept of a key between two requests; zeroes for nothing.
///
/// Of a bucket: the nanosecond at which it will be full again, and the pause between tokens under which that was
/// computed. Of a window: when it began (milliseconds, 40 bits) with its length (seconds, 24 bits), and the counts of the
/// window before and of this one (32 bits each).
pub(super) type Stored = [u64; 2];

const MS: u64 = 1_000_000;

/// How much of a quota is used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// A bucket that is full again after `debt` nanoseconds.
    Bucket {
        /// Nanoseconds.
        debt: u64,
        /// Nanoseconds between tokens.
        interval: u64,
        /// Tokens in a full bucket.
        burst: u64,
    },
    /// A window that began so many milliseconds ago.
    Window {
        /// Milliseconds since it began, fewer than `length`.
        elapsed: u64,
        /// Its length in milliseconds.
        length: u64,
        /// What the window before has admitted.
        previous: u64,
        /// What this one has admitted.
        current: u64,
        /// What a window admits.
        count: u64,
    },
}

impl Level {
    /// That of a key of which nothing is known.
    pub(super) fn unused(quota: Quota) -> Self {
        Self::stored(quota, [0, 0], 0)
    }

    /// What has drained since it was stored, under the quota of now. A bucket that was used under another quota owes as many
    /// tokens as before, and not more than it holds.
    #[inline]
    pub(super) fn stored(quota: Quota, stored: Stored, now: u64) -> Self {
        match quota {
            Quota::Bucket { interval, burst } => {
                let debt = rebased(stored[0].saturating_sub(now), stored[1], interval);
                Self::Bucket { debt: debt.min(interval * burst), interval, burst }
            }
            Quota::Window { seconds, count } => {
                let (start, previous, current) = (stored[0] >> 24, stored[1] >> 32, stored[1] & 0xffff_ffff);
                Self::window((now / MS).saturating_sub(start), previous, current, seconds, count)
            }
        }
    }

    /// What a server says of a key: the debt of a bucket, or how long ago a window began with its two counts.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "stores elsewhere need it"))]
    pub(super) fn answered(quota: Quota, [first, previous, current]: [u64; 3]) -> Self {
        match quota {
            Quota::Bucket { interval, burst } => Self::Bucket { debt: first, interval, burst },
            Quota::Window { seconds, count } => Self::window(first, previous, current, seconds, count),
        }
    }

    /// A window of which this was stored so many milliseconds after it began.
    fn window(elapsed: u64, previous: u64, current: u64, seconds: u32, count: u32) -> Self {
        let (length, count) = (u64::from(seconds) * 1000, u64::from(count));
        let (elapsed, previous, current) = match elapsed {
            same if same < length => (elapsed, previous, current),
            next if next < 2 * length => (elapsed - length, current, 0),
            _ => (0, 0, 0),
        };
        Self::Window { elapsed, length, previous, current, count }
    }

    /// What to store.
    #[inline]
    pub(super) fn store(&self, now: u64) -> Stored {
        match *self {
            Self::Bucket { debt, interval, .. } => [now.saturating_add(debt), interval],
            Self::Window { elapsed, length, previous, current, .. } => {
                let start = (now / MS).saturating_sub(elapsed);
                [(start << 24) | (length / 1000), (previous.min(u64::from(u32::MAX)) << 32) | current]
            }
        }
    }

    /// Whether this much can be taken. Nothing always can; more than the quota holds never.
    #[inline]
    pub(super) fn fits(&self, cost: u64) -> bool {
        if cost == 0 {
            return true;
        }
        match *self {
            Self::Bucket { debt, interval, burst } => cost <= burst && debt <= (burst - cost) * interval,
            Self::Window { count, .. } => cost <= count && self.used() <= count - cost,
        }
    }

    /// Takes it, where it [fits](Self::fits).
    #[inline]
    pub(super) fn take(&mut self, cost: u64) {
        match self {
            Self::Bucket { debt, interval, .. } => *debt += cost * *interval,
            Self::Window { current, .. } => *current += cost,
        }
    }

    /// What could be taken now.
    pub(super) fn remaining(&self) -> u64 {
        match *self {
            Self::Bucket { debt, interval, burst } => (interval * burst).saturating_sub(debt) / interval,
            Self::Window { count, .. } => count.saturating_sub(self.used()),
        }
    }

    /// How long until all of the quota is there again.
    pub(super) fn reset(&self) -> Duration {
        match *self {
            Self::Bucket { debt, .. } => Duration::from_nanos(debt),
            Self::Window { current: 1.., elapsed, length, .. } => Duration::from_millis(2 * length - elapsed),
            Self::Window { previous: 1.., elapsed, length, .. } => Duration::from_millis(length - elapsed),
            Self::Window { .. } => Duration::ZERO,
        }
    }

    /// In how many seconds as much comes back as could be taken now; of an empty quota, how long until there is anything.
    ///
    /// Who spreads what remains over this time is never faster than the quota itself, however much a burst would admit.
    pub(super) fn effective_window(&self) -> Duration {
        let remaining = self.remaining();
        match *self {
            _ if remaining == 0 => self.wait(1).unwrap_or_default(),
            Self::Bucket { interval, .. } => Duration::from_nanos(remaining * interval),
            Self::Window { length, count, .. } => {
                Duration::from_millis((remaining * length).div_ceil(count.max(1)))
            }
        }
    }

    /// How long until this much fits, if nothing else is taken meanwhile; `None` if it never will.
    pub(super) fn wait(&self, cost: u64) -> Option<Duration> {
        if self.fits(cost) {
            return Some(Duration::ZERO);
        }
        match *self {
            Self::Bucket { debt, interval, burst } => {
                let room = burst.checked_sub(cost)? * interval;
                Some(Duration::from_nanos(debt - room))
            }
            Self::Window { elapsed, length, previous, current, count } => {
                let room = count.checked_sub(cost)?;
                let wait = match room.checked_sub(current) {
                    Some(room) => faded(previous, room, length) - elapsed,
                    // It takes the next window, in which this one has become the one before.
                    None => length - elapsed + faded(current, room, length),
                };
                Some(Duration::from_millis(wait))
            }
        }
    }

    /// What a window counts as admitted, rounded up.
    fn used(&self) -> u64 {
        match *self {
            Self::Window { elapsed, length, previous, current, .. } => {
                (previous * (length - elapsed)).div_ceil(length) + current
            }
            Self::Bucket { .. } => 0,
        }
    }
}

/// How far into a window the one before counts for no more than `room`.
fn faded(previous: u64, room: u64, length: u64) -> u64 {
    (room * length).checked_div(previous).map_or(0, |kept| length.saturating_sub(kept))
}

/// As many tokens under another pause between them.
#[inline]
fn rebased(debt: u64, before: u64, interval: u64) -> u64 {
    if before == interval || before == 0 {
        return debt;
    }
    let debt = u128::from(debt) * u128::from(interval) / u128::from(before);
    u64::try_from(debt).unwrap_or(u64::MAX)
}

/// Whether nothing is lost with it: the bucket is full, or both windows are over.
#[inline]
pub(super) fn is_spent(is_window: bool, stored: Stored, now: u64) -> bool {
    match is_window {
        false => stored[0] <= now,
        true => (stored[0] >> 24) + 2000 * (stored[0] & 0xff_ffff) <= now / MS,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Limit;

    const SECOND: u64 = 1_000_000_000;

    fn quota(limit: Limit) -> Quota {
        limit.quota().unwrap()
    }

    /// Trap 8, and what has to be told truly: at the time that is told it fits, and a moment before it does not.
    fn told_time_is_true(level: Level, quota: Quota, now: u64, cost: u64) {
        let Some(wait) = level.wait(cost) else { return assert!(cost > quota.most()) };
        let wait = wait.as_nanos() as u64;
        let later = |after: u64| Level::stored(quota, level.store(now), now + after);
        assert!(later(wait).fits(cost), "{level:?} {cost} {wait}");
        let moment = if matches!(level, Level::Window { .. }) { MS } else { 1 };
        assert!(wait == 0 || !later(wait - moment).fits(cost), "{level:?} {cost} {wait}");
    }

    proptest! {
        #[test]
        fn a_denial_is_over_when_it_says_and_not_before(
            sliding: bool,
            count in 1_u64..50,
            seconds in 1_u64..10,
            steps in prop::collection::vec((0_u64..4_000, 0_u64..60), 1..40),
        ) {
            let length = Duration::from_secs(seconds);
            let limit = if sliding { Limit::sliding(count as u32, length) } else { Limit::per(count, length) };
            let quota = quota(limit);
            let (mut stored, mut now) = ([0, 0], SECOND);
            for (pause, cost) in steps {
                now += pause * MS;
                let mut level = Level::stored(quota, stored, now);
                told_time_is_true(level, quota, now, cost);
                prop_assert_eq!(level.fits(level.remaining()), true);
                prop_assert_eq!(level.fits(level.remaining() + 1), false);
                let (window, all) = (level.effective_window(), quota.most().max(1));
                let paced = length.as_nanos() * u128::from(level.remaining()) / u128::from(all);
                prop_assert!(window.as_nanos() >= paced && window <= 2 * length, "{:?} {:?}", level, window);
                if level.fits(cost) {
                    level.take(cost);
                    stored = level.store(now);
                    let reset = level.reset().as_nanos() as u64;
                    let then = Level::stored(quota, stored, now + reset);
                    prop_assert_eq!(then.remaining(), quota.most());
                    prop_assert!(cost == 0 || is_spent(sliding, stored, now + reset));
                }
            }
        }

        #[test]
        fn a_bucket_admits_its_burst_and_its_rate_and_no_more(
            per_second in 1_u64..1_000,
            burst in 1_u64..100,
            pauses in prop::collection::vec(0_u64..50, 1..200),
        ) {
            let quota = quota(Limit::per_second(per_second).burst(burst));
            let (mut stored, start, mut now, mut admitted) = ([0, 0], SECOND, SECOND, 0);
            for pause in pauses {
                now += pause * MS;
                let mut level = Level::stored(quota, stored, now);
                if level.fits(1) {
                    level.take(1);
                    stored = level.store(now);
                    admitted += 1;
                }
            }
            prop_assert!(admitted <= burst + (now - start) * per_second / SECOND);
        }
    }

    /// A fixed window would admit twice the count here.
    #[test]
    fn nobody_gets_twice_the_count_around_the_edge_of_a_window() {
        let quota = quota(Limit::sliding(100, Duration::from_secs(60)));
        let mut first = Level::stored(quota, [0, 0], SECOND);
        first.take(1);
        let stored = first.store(SECOND);
        let end = SECOND + 60 * SECOND - MS;
        let mut level = Level::stored(quota, stored, end);
        level.take(99);
        let after = Level::stored(quota, level.store(end), end + 2 * MS);
        assert_eq!(after.remaining(), 0);
    }

    /// Trap 10: a bucket that was empty under a slow quota is empty under a fast one, and full in no time.
    #[test]
    fn a_debt_is_so_many_tokens_under_whatever_quota() {
        let (slow, fast) =
            (quota(Limit::per(1, Duration::from_secs(3600)).burst(100)), quota(Limit::per_second(1000)));
        let mut level = Level::stored(slow, [0, 0], SECOND);
        level.take(100);
        let rebased = Level::stored(fast, level.store(SECOND), SECOND);
        assert_eq!((rebased.remaining(), rebased.reset()), (900, Duration::from_millis(100)));
        let lowered = Level::stored(quota(Limit::per_second(10).burst(5)), level.store(SECOND), SECOND);
        assert_eq!(
            (lowered.remaining(), lowered.reset()),
            (0, Duration::from_millis(500)),
            "no more than it holds"
        );
        let mut window = Level::stored(quota(Limit::sliding(10, Duration::from_secs(1))), [0, 0], SECOND);
        window.take(10);
        let longer = quota(Limit::sliding(15, Duration::from_secs(60)));
        assert_eq!(Level::stored(longer, window.store(SECOND), 3 * SECOND).remaining(), 5);
    }

    #[test]
    fn nothing_overflows() {
        let quota = quota(Limit::per_second(1_000_000_000).burst(1_000));
        let level = Level::stored(quota, [u64::MAX, 1], 0);
        assert_eq!((level.remaining(), level.fits(0), level.fits(u64::MAX)), (0, true, false));
        assert_eq!(level.wait(u64::MAX), None);
        assert_eq!(Level::stored(quota, level.store(u64::MAX), u64::MAX).remaining(), 1_000);
    }
}
