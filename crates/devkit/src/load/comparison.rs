//! Running two sides in turn.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::sample::{Sample, at_least_five};

/// One thing that is done in two ways, `a` and `b`.
#[derive(Clone, Debug)]
pub struct Comparison {
    name: String,
    operations: u32,
    warm_up: u32,
    rounds: u32,
}

/// What came out of a [`Comparison`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Measured {
    /// The name of the comparison.
    pub name: String,
    /// Seconds per operation of `a`.
    pub a: Sample,
    /// Seconds per operation of `b`.
    pub b: Sample,
    /// The time of `a` divided by that of `b`, round by round: below 1 `a` is faster.
    pub ratio: Sample,
}

impl Comparison {
    /// A comparison whose every round does so many operations; none is taken for one.
    pub fn new(name: impl Into<String>, operations: u32) -> Comparison {
        Comparison { name: name.into(), operations: operations.max(1), warm_up: 1, rounds: 7 }
    }

    /// Rounds that are run and not counted: pools fill, plans are cached, pages are read. One unless said otherwise.
    pub fn warm_up(mut self, rounds: u32) -> Comparison {
        self.warm_up = rounds;
        self
    }

    /// Rounds that count: seven unless said otherwise, and never less than five, below which a spread means nothing.
    pub fn rounds(mut self, rounds: u32) -> Comparison {
        self.rounds = at_least_five(rounds);
        self
    }

    /// Runs both sides. Each does one round and says how long the measured part of it took, by [`time()`] or by the figure of a
    /// [`Report`](super::Report). Who begins alternates, as the second finds the machine as the first left it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use shared_devkit::load::{Comparison, Table, time};
    ///
    /// let numbers: Vec<u64> = (0..10_000).rev().collect();
    /// let unstable = async || {
    ///     let mut own = numbers.clone(); // not measured
    ///     time(async || own.sort_unstable()).await
    /// };
    /// let stable = async || {
    ///     let mut own = numbers.clone();
    ///     time(async || own.sort()).await
    /// };
    ///
    /// let mut table = Table::new("unstable", "stable");
    /// table.add(Comparison::new("sort", 1).run(unstable, stable).await);
    /// println!("{table}");
    /// # }
    /// ```
    ///
    /// Dropping the future drops the side that runs.
    pub async fn run(
        self,
        mut a: impl AsyncFnMut() -> Duration,
        mut b: impl AsyncFnMut() -> Duration,
    ) -> Measured {
        for _ in 0..self.warm_up {
            a().await;
            b().await;
        }
        let mut rounds = Vec::new();
        for round in 0..self.rounds {
            rounds.push(pair(round, &mut a, &mut b).await);
        }
        let operations = f64::from(self.operations);
        Measured {
            name: self.name,
            a: Sample::of(rounds.iter().map(|(a, _)| a / operations)),
            b: Sample::of(rounds.iter().map(|(_, b)| b / operations)),
            ratio: Sample::of(rounds.iter().map(|(a, b)| a / b)),
        }
    }
}

/// The seconds of one round of each side.
async fn pair(
    round: u32,
    a: &mut impl AsyncFnMut() -> Duration,
    b: &mut impl AsyncFnMut() -> Duration,
) -> (f64, f64) {
    let (a, b) = if round.is_multiple_of(2) {
        let first = a().await;
        (first, b().await)
    } else {
        let first = b().await;
        (a().await, first)
    };
    (a.as_secs_f64(), b.as_secs_f64())
}

/// How long some work took. What a round prepares outside of it is not measured, nor is the drop of what the work returns.
pub async fn time<T>(work: impl AsyncFnOnce() -> T) -> Duration {
    let start = Instant::now();
    let _made = black_box(work().await);
    start.elapsed()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn both_sides_run_in_turn_and_who_begins_alternates() {
        let order = RefCell::new(String::new());
        let side = |name| {
            order.borrow_mut().push(name);
            MS
        };
        Comparison::new("order", 1).warm_up(1).rounds(5).run(async || side('a'), async || side('b')).await;
        let (warm_up, rounds) = ("ab", "abbaabbaab");
        assert_eq!(order.into_inner(), [warm_up, rounds].concat());
    }

    #[tokio::test]
    async fn the_warm_up_does_not_count() {
        let mut cold = true;
        let a = async || if std::mem::take(&mut cold) { MS * 1000 } else { MS };
        let measured = Comparison::new("pool", 1).run(a, async || MS * 2).await;
        assert_eq!(measured.a.max(), 0.001);
        assert_eq!(measured.ratio.median(), 0.5);
    }

    #[tokio::test]
    async fn seconds_are_per_operation() {
        let measured = Comparison::new("claim", 1_000).run(async || MS * 10, async || MS * 10).await;
        assert_eq!(measured.b.median(), 0.000_01);
    }

    #[tokio::test]
    async fn fewer_than_five_rounds_are_five() {
        let mut rounds = 0;
        let a = async || {
            rounds += 1;
            MS
        };
        Comparison::new("few", 1).warm_up(0).rounds(1).run(a, async || MS).await;
        assert_eq!(rounds, 5);
    }

    #[tokio::test]
    async fn only_the_work_is_timed() {
        struct SlowToDrop;
        impl Drop for SlowToDrop {
            fn drop(&mut self) {
                std::thread::sleep(MS * 5); // time itself is tested: it must not count
            }
        }
        let begin = Instant::now();
        let took = time(async || SlowToDrop).await;
        assert!(begin.elapsed() - took >= MS * 5);
    }
}
