//! A line for each comparison.
#![allow(clippy::print_stdout, reason = "it is what a benchmark is for")]

mod comparisons;
pub mod cpu;

use std::hint::black_box;
use std::time::Duration;

pub use comparisons::{Goal, Line, comparisons_head, median, percentile, sorted};
use shared_devkit::load::{Comparison, Sample, time};

/// A neighbour on the same core spoils some rounds; the median of many forgets them.
const ROUNDS: u32 = 15;

/// What stands above the lines.
pub fn head() {
    println!(
        "{:62}  {:>9}  {:>9}  {:>8}  {:>20}  goal",
        "ours / the peer's", "ours", "peer", "ratio", "its spread"
    );
}

/// Runs both sides in turn, so many times each, and prints what came out. The goal stands beside it and judges nothing:
/// machines differ.
pub async fn line<A, B>(name: &str, goal: &str, operations: u32, ours: impl Fn() -> A, peer: impl Fn() -> B) {
    lopsided_line(name, goal, (operations, 1), ours, peer).await;
}

/// The same where ours does so many times as much in the time that the peer needs: one check is nothing that a clock sees.
pub async fn lopsided_line<A, B>(
    name: &str,
    goal: &str,
    (operations, times): (u32, u32),
    ours: impl Fn() -> A,
    peer: impl Fn() -> B,
) {
    let (ours, peer) =
        (async || repeat(operations * times, &ours).await / times, async || repeat(operations, &peer).await);
    timed_line(name, goal, operations, ours, peer).await;
}

/// The same for sides that take their own time.
pub async fn timed_line(
    name: &str,
    goal: &str,
    operations: u32,
    ours: impl AsyncFnMut() -> Duration,
    peer: impl AsyncFnMut() -> Duration,
) {
    let measured = Comparison::new(name, operations).rounds(ROUNDS).run(ours, peer).await;
    let time = |side: &Sample| format!("{:.2?}", Duration::from_secs_f64(side.median()));
    let of = &measured.ratio;
    // A difference of two times may come out as nothing, and then has no ratio to anything.
    let spread = match of.min().is_finite() && of.max().is_finite() {
        true => format!("{} to {}", ratio(of.min()), ratio(of.max())),
        false => "beyond measure".to_owned(),
    };
    let (ours, peer) = (time(&measured.a), time(&measured.b));
    println!("{name:62}  {ours:>9}  {peer:>9}  {:>8}  {spread:>20}  {goal}", ratio(of.median()));
}

/// With three digits behind the point, and more where they would be noughts.
fn ratio(of: f64) -> String {
    if of.abs() < 0.01 { format!("{of:.6}") } else { format!("{of:.3}") }
}

async fn repeat<T>(operations: u32, work: &impl Fn() -> T) -> Duration {
    time(async || {
        for _ in 0..operations {
            black_box(work());
        }
    })
    .await
}
