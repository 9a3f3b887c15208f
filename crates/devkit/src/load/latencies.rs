//! How long requests took.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// A day in nanoseconds, twice: a time limit is at most a day, and what is cut off may be cut off a little later.
const LONGEST: u64 = 2 * 86_400 * 1_000_000_000;

/// The latencies of a load, each to a thousandth of itself, in a fixed half of a megabyte.
#[derive(Clone)]
pub struct Latencies {
    nanoseconds: Histogram<u64>,
}

impl Latencies {
    pub(super) fn new() -> Latencies {
        let nanoseconds = Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are in order");
        Latencies { nanoseconds }
    }

    pub(super) fn add(&mut self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.saturating_record(nanoseconds);
    }

    /// The latency that so many percent of the requests did not exceed, from 0 (the fastest) to 100 (the slowest).
    ///
    /// Below 0 is 0, above 100 is 100. Zero where there was no request.
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.nanoseconds.value_at_percentile(percent.clamp(0.0, 100.0)))
    }

    /// The longest. Zero where there was no request.
    pub fn max(&self) -> Duration {
        self.percentile(100.0)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.nanoseconds.len()
    }
}

/// `p50 1.2ms   p90 1.5ms   p99 3.0ms   p99.9 8.0ms   max 9.1ms`
impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for percent in [50.0, 90.0, 99.0, 99.9] {
            write!(f, "p{percent} {:.1?}   ", self.percentile(percent))?;
        }
        write!(f, "max {:.1?}", self.max())
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Latencies({} requests, {self})", self.count())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn latencies(nanoseconds: &[u64]) -> Latencies {
        let mut latencies = Latencies::new();
        nanoseconds.iter().for_each(|&took| latencies.add(Duration::from_nanos(took)));
        latencies
    }

    /// The smallest number that so many percent of all do not exceed.
    fn naive(sorted: &[u64], percent: f64) -> u64 {
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted[rank.max(1) - 1]
    }

    proptest! {
        #[test]
        fn percentiles_are_those_of_the_sorted_list_to_a_thousandth(
            mut all in prop::collection::vec(1..1_000_000_000_000_u64, 1..2_000),
            percent in prop_oneof![Just(50.0), Just(90.0), Just(99.0), Just(99.9), 0.0..=100.0],
        ) {
            let measured = latencies(&all).percentile(percent).as_nanos() as f64;
            all.sort_unstable();
            let expected = naive(&all, percent) as f64;
            prop_assert!((measured - expected).abs() <= expected / 1_000.0, "{measured} for {expected}");
        }
    }

    #[test]
    fn nothing_is_refused() {
        assert_eq!(latencies(&[]).percentile(99.0), Duration::ZERO);
        assert_eq!(latencies(&[5, 6]).percentile(-1.0), Duration::from_nanos(5));
        assert_eq!(latencies(&[5, 6]).percentile(f64::INFINITY), Duration::from_nanos(6));
        assert_eq!(latencies(&[5, 6]).percentile(f64::NAN), Duration::from_nanos(5));
        assert!(latencies(&[u64::MAX]).max() >= Duration::from_secs(2 * 86_400));
    }

    #[test]
    fn one_line_has_them_all() {
        let all: Vec<u64> = (1..=1_500).collect();
        let shown = "p50 750.0ns   p90 1.4µs   p99 1.5µs   p99.9 1.5µs   max 1.5µs";
        assert_eq!(latencies(&all).to_string(), shown);
    }
}
