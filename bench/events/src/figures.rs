//! From measured rounds to lines.

use std::time::Duration;

pub(crate) use bench_report::percentile;
use bench_report::{Goal, Line, median, sorted};

/// The rounds of two sides, in turn.
pub(crate) fn line(
    name: impl Into<String>,
    ours: &[f64],
    peer: &[f64],
    show: impl Fn(f64) -> String,
    goal: Option<Goal>,
) -> Line {
    let middle = |side: &[f64]| show(median(&sorted(side.iter().copied())));
    Line {
        name: name.into(),
        ours: middle(ours),
        peer: middle(peer),
        ratios: ours.iter().zip(peer).map(|(ours, peer)| ours / peer).collect(),
        goal,
    }
}

/// Rounds of ours beside a figure that was set.
pub(crate) fn against(name: impl Into<String>, ours: &[f64], set: f64, show: impl Fn(f64) -> String) -> Line {
    line(name, ours, &vec![set; ours.len()], show, Some(Goal::AtMost(1.0)))
}

pub(crate) fn print(lines: Vec<Line>, all: &mut Vec<Line>) {
    lines.iter().for_each(|line| println!("{line}"));
    all.extend(lines);
}

pub(crate) fn rate(value: f64) -> String {
    format!("{value:.0}/s")
}

pub(crate) fn millis(value: f64) -> String {
    if value < 10.0 { format!("{value:.2} ms") } else { format!("{value:.0} ms") }
}

pub(crate) fn micros(value: f64) -> String {
    format!("{value:.0} µs")
}

pub(crate) fn bytes(value: f64) -> String {
    if value < 100_000.0 { format!("{value:.0} B") } else { format!("{:.1} MiB", value / 1_048_576.0) }
}

pub(crate) fn in_millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
