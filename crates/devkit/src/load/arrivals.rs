//! When the requests of an open loop arrive.

use std::time::Duration;

use super::driver::random;

/// More than this many at once is a queue in the driver, which the report calls late, instead of one in the server.
const IN_FLIGHT: usize = 1_000;

/// A rate of arrivals and how they are spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrivals {
    pub(super) rate: f64,
    pub(super) spread: Spread,
    pub(super) in_flight: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Spread {
    Poisson,
    Uniform,
}

impl Arrivals {
    /// So many a second on average, each independent of the others, as users are: at times many at once.
    pub fn poisson(a_second: f64) -> Arrivals {
        Arrivals { rate: a_second, spread: Spread::Poisson, in_flight: IN_FLIGHT }
    }

    /// So many a second at equal distances, as from a clock.
    pub fn uniform(a_second: f64) -> Arrivals {
        Arrivals { rate: a_second, spread: Spread::Uniform, in_flight: IN_FLIGHT }
    }

    /// How many may be in flight at once: 1,000 unless said otherwise, at most 100,000.
    ///
    /// One that arrives when so many are waits for a place. It is counted as [late](super::Report::late), and its
    /// latency still counts from its arrival.
    pub fn in_flight(mut self, most: usize) -> Arrivals {
        self.in_flight = most;
        self
    }

    /// The times of arrival since the start of the load: without end, and the same for the same seed.
    pub(super) fn times(self, seed: u64) -> impl Iterator<Item = Duration> {
        let gaps = (0..).map(move |number| self.gap(seed, number));
        gaps.scan(0.0, |at, gap| {
            *at += gap;
            Some(*at)
        })
        .map(|at| Duration::try_from_secs_f64(at).unwrap_or(Duration::MAX))
    }

    /// Seconds between an arrival and the one before it.
    fn gap(self, seed: u64, number: u64) -> f64 {
        match self.spread {
            Spread::Uniform => 1.0 / self.rate,
            // The gaps of a Poisson process are exponentially distributed.
            Spread::Poisson => -fraction(random(!seed, number)).ln() / self.rate,
        }
    }
}

/// A number above 0 and up to 1, with the 53 bits that such a number can hold.
fn fraction(random: u64) -> f64 {
    ((random >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_same_seed_gives_the_same_arrivals(seed: u64, rate in 0.1..10_000.0) {
            let times = |seed| Arrivals::poisson(rate).times(seed).take(100).collect::<Vec<_>>();
            prop_assert_eq!(times(seed), times(seed));
            prop_assert_ne!(times(seed), times(seed.wrapping_add(1)));
        }

        #[test]
        fn arrivals_are_in_order_and_as_many_as_the_rate_says(seed: u64, rate in 0.1..10_000.0) {
            let times: Vec<_> = Arrivals::poisson(rate).times(seed).take(10_000).collect();
            prop_assert!(times.is_sorted());
            // The sum of 10,000 gaps deviates by one in a hundred; six times that is never seen.
            let measured = 10_000.0 / times[9_999].as_secs_f64();
            prop_assert!((0.94..1.06).contains(&(measured / rate)), "{measured} instead of {rate}");
        }
    }

    #[test]
    fn gaps_of_a_poisson_process_vary_and_those_of_a_clock_do_not() {
        let uniform: Vec<_> = Arrivals::uniform(4.0).times(1).take(3).collect();
        assert_eq!(uniform, [250, 500, 750].map(Duration::from_millis));
        // One in e gaps is longer than the mean.
        let longer = (0..10_000).filter(|&number| Arrivals::poisson(4.0).gap(7, number) > 0.25).count();
        assert!((3_400..3_960).contains(&longer), "{longer}");
    }
}
