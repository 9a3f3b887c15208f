use std::time::Duration;

use rand::{Rng, RngExt};

/// How long to wait before another attempt: exponential, with full jitter.
///
/// The wait before attempt *n* is drawn evenly from zero to `first × 2ⁿ⁻¹`, at most `longest`. Drawing from the
/// whole range spreads callers that failed together best (M. Brooker, "Exponential Backoff And Jitter", 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Waits up to `first` before the first retry, and never more than `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The most that [`delay`](Self::delay) can return for this retry, counted from 1.
    pub fn ceiling(&self, retry: u32) -> Duration {
        let doublings = retry.saturating_sub(1).min(63);
        let factor = 1u64 << doublings;
        u32::try_from(factor)
            .ok()
            .and_then(|factor| self.first.checked_mul(factor))
            .map_or(self.longest, |wait| wait.min(self.longest))
    }

    /// The wait before this retry, counted from 1.
    pub fn delay(&self, retry: u32) -> Duration {
        self.delay_with(retry, &mut rand::rng())
    }

    /// The same from a generator of your own, for tests that must repeat.
    pub fn delay_with(&self, retry: u32, rng: &mut impl Rng) -> Duration {
        self.ceiling(retry).mul_f64(rng.random_range(0.0..=1.0))
    }
}

impl Default for Backoff {
    /// From 100 ms to 30 s: quick enough for a passing fault, and gentle on a server that is coming back.
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(30))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn doubles_up_to_the_longest() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let ceilings: Vec<u64> = (1..=8).map(|n| backoff.ceiling(n).as_secs()).collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    proptest! {
        #[test]
        fn stays_below_its_ceiling(first in 0u64..100_000, longest in 0u64..100_000, retry in 0u32..) {
            let backoff = Backoff::new(Duration::from_millis(first), Duration::from_millis(longest));
            prop_assert!(backoff.delay(retry) <= backoff.ceiling(retry));
            prop_assert!(backoff.ceiling(retry) <= Duration::from_millis(longest));
        }
    }
}
