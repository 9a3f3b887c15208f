//! A few numbers of one kind.

use std::time::Duration;

/// Below this a spread means nothing.
const FEWEST: u32 = 5;

/// A few measurements: seconds, or ratios of them. Never empty.
#[derive(Clone, Debug)]
pub struct Sample {
    sorted: Vec<f64>,
}

impl Sample {
    /// The seconds that a piece of work takes, as often as said and never less than five times.
    ///
    /// The work says how long the measured part of it took; see [`time`](super::time). It runs once more before that, which does not count.
    /// Dropping the future drops the work.
    pub async fn measure(rounds: u32, mut work: impl AsyncFnMut() -> Duration) -> Sample {
        work().await;
        let mut seconds = Vec::new();
        for _ in 0..at_least_five(rounds) {
            seconds.push(work().await.as_secs_f64());
        }
        Sample::of(seconds)
    }

    /// Of at least one number.
    pub(super) fn of(numbers: impl IntoIterator<Item = f64>) -> Sample {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Sample { sorted }
    }

    /// The middle one, or the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        let half = self.sorted.len() / 2;
        if self.sorted.len().is_multiple_of(2) {
            f64::midpoint(self.sorted[half - 1], self.sorted[half])
        } else {
            self.sorted[half]
        }
    }

    /// The smallest.
    pub fn min(&self) -> f64 {
        self.sorted[0]
    }

    /// The greatest.
    pub fn max(&self) -> f64 {
        self.sorted[self.sorted.len() - 1]
    }
}

pub(super) fn at_least_five(rounds: u32) -> u32 {
    rounds.max(FEWEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_ends_are_the_ends() {
        let odd = Sample::of([3.0, 1.0, 10.0]);
        assert_eq!((odd.min(), odd.median(), odd.max()), (1.0, 3.0, 10.0));
        assert_eq!(Sample::of([4.0, 1.0, 2.0, 9.0]).median(), 3.0);
    }

    #[tokio::test]
    async fn the_first_run_does_not_count_and_fewer_than_five_are_five() {
        let mut took = [100, 1, 2, 3, 4, 5].into_iter().map(Duration::from_secs);
        let sample = Sample::measure(1, async || took.next().expect("six runs")).await;
        assert_eq!((sample.min(), sample.median(), sample.max()), (1.0, 3.0, 5.0));
        assert_eq!(took.next(), None);
    }
}
