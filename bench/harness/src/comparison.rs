//! Running both sides in turn.

use std::time::{Duration, Instant};

use crate::sample::Sample;

/// One thing that two libraries do.
#[derive(Clone, Debug)]
pub struct Comparison {
    name: String,
    operations: u32,
    warm_up: u32,
    rounds: u32,
}

/// What came out: seconds per operation of each side, and ours divided by the peer's, round by round.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The name of the comparison.
    pub name: String,
    /// Our seconds per operation.
    pub ours: Sample,
    /// The peer's seconds per operation.
    pub peer: Sample,
    /// Ours divided by the peer's: below 1 we are faster.
    pub ratio: Sample,
}

impl Comparison {
    /// A comparison whose every round does so many operations (at least one).
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
        self.rounds = rounds.max(5);
        self
    }

    /// Runs both sides. Each does one round and says how long the measured part of it took; see [`time`].
    pub fn run(self, mut ours: impl FnMut() -> Duration, mut peer: impl FnMut() -> Duration) -> Measured {
        for _ in 0..self.warm_up {
            ours();
            peer();
        }
        let rounds: Vec<(f64, f64)> =
            (0..self.rounds).map(|round| pair(round, &mut ours, &mut peer)).collect();
        let operations = f64::from(self.operations);
        Measured {
            name: self.name,
            ours: rounds.iter().map(|(ours, _)| ours / operations).collect(),
            peer: rounds.iter().map(|(_, peer)| peer / operations).collect(),
            ratio: rounds.iter().map(|(ours, peer)| ours / peer).collect(),
        }
    }
}

/// Who begins alternates: the second finds the machine as the first left it.
fn pair(round: u32, ours: &mut dyn FnMut() -> Duration, peer: &mut dyn FnMut() -> Duration) -> (f64, f64) {
    let (ours, peer) = if round.is_multiple_of(2) {
        let first = ours();
        (first, peer())
    } else {
        let first = peer();
        (ours(), first)
    };
    (ours.as_secs_f64(), peer.as_secs_f64())
}

/// How long some work took. What a round prepares outside of it is not measured.
pub fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    std::hint::black_box(work());
    start.elapsed()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn both_sides_run_in_turn_and_who_begins_alternates() {
        let order = RefCell::new(String::new());
        let side = |name| {
            order.borrow_mut().push(name);
            MS
        };
        Comparison::new("order", 1).warm_up(1).rounds(5).run(|| side('o'), || side('p'));
        let (warm_up, rounds) = ("op", "oppooppoop");
        assert_eq!(order.into_inner(), [warm_up, rounds].concat());
    }

    #[test]
    fn the_warm_up_does_not_count() {
        let mut cold = true;
        let ours = || if std::mem::take(&mut cold) { MS * 1000 } else { MS };
        let measured = Comparison::new("pool", 1).run(ours, || MS * 2);
        assert_eq!(measured.ours.max(), 0.001);
        assert_eq!(measured.ratio.median(), 0.5);
    }

    #[test]
    fn seconds_are_per_operation() {
        let measured = Comparison::new("claim", 1_000).run(|| MS * 10, || MS * 10);
        assert_eq!(measured.peer.median(), 0.000_01);
    }

    #[test]
    fn fewer_than_five_rounds_are_five() {
        let mut rounds = 0;
        Comparison::new("few", 1).warm_up(0).rounds(1).run(
            || {
                rounds += 1;
                MS
            },
            || MS,
        );
        assert_eq!(rounds, 5);
    }

    #[test]
    fn only_the_work_is_timed() {
        // Time itself is tested, from one side only: a busy machine makes it longer, never shorter.
        assert!(time(|| std::thread::sleep(MS * 5)) >= MS * 5);
    }
}
