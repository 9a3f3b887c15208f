//! A line for each comparison.
#![allow(clippy::print_stdout, reason = "it is what a benchmark is for")]

use std::time::Duration;

use shared_devkit::load::{Comparison, Sample};

/// A neighbour on the same core spoils some rounds; the median of many forgets them.
const ROUNDS: u32 = 15;

/// What stands above the lines.
pub(crate) fn head() {
    println!(
        "{:58}  {:>9}  {:>9}  {:>6}  {:>15}  goal",
        "ours / the peer's", "ours", "peer", "ratio", "its spread"
    );
}

/// Runs both sides in turn and prints what came out. The goal stands beside it and judges nothing: machines differ.
pub(crate) async fn line(
    name: &str,
    goal: &str,
    operations: u32,
    ours: impl AsyncFnMut() -> Duration,
    peer: impl AsyncFnMut() -> Duration,
) {
    let measured = Comparison::new(name, operations).rounds(ROUNDS).run(ours, peer).await;
    let time = |side: &Sample| format!("{:.1?}", Duration::from_secs_f64(side.median()));
    let ratio = &measured.ratio;
    // A difference of two times may come out as nothing, and then has no ratio to anything.
    let spread = match ratio.min().is_finite() && ratio.max().is_finite() {
        true => format!("{:.3} to {:.3}", ratio.min(), ratio.max()),
        false => "beyond measure".to_owned(),
    };
    let (ours, peer) = (time(&measured.a), time(&measured.b));
    println!("{name:58}  {ours:>9}  {peer:>9}  {:>6.3}  {spread:>15}  {goal}", ratio.median());
}
