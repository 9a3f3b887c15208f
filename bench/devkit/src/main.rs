//! What a test waits for before it can begin. Each figure is the median of seven.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails has nothing to say")]
#![allow(clippy::print_stdout, reason = "it is what a benchmark is for")]

mod nats;
mod postgres;
mod redis;

use std::time::Duration;

use shared_devkit::load::Sample;

/// A test joins what the one before it has left.
const JOIN: Duration = Duration::from_millis(200);

// One thread, as the tests of services have: `#[tokio::test]` says so.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("{:44}  {:>9}  {:>22}  goal", "what a test waits for", "median", "spread");
    // Each kind of server prints its own lines.
    postgres::measure().await;
    redis::measure().await;
    nats::measure().await;
}

/// Measures and prints one line. The goal stands beside the figure and judges nothing: machines differ.
async fn line(name: &str, goal: Option<Duration>, work: impl AsyncFnMut() -> Duration) {
    let seconds = Sample::measure(7, work).await;
    let shown = |seconds| format!("{:.1?}", Duration::from_secs_f64(seconds));
    let spread = format!("{} to {}", shown(seconds.min()), shown(seconds.max()));
    let goal = goal.map(|goal| format!("under {goal:?}")).unwrap_or_default();
    println!("{name:44}  {:>9}  {spread:>22}  {goal}", shown(seconds.median()));
}
