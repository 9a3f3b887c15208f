//! Comparisons whose rounds gave a figure for each side, and the goal beside them.

use std::fmt;

/// What a ratio should be. A goal judges nothing: machines differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// So much or more.
    AtLeast(f64),
    /// So much or less.
    AtMost(f64),
}

impl Goal {
    /// Whether this ratio is such.
    pub fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(bound) => ratio >= bound,
            Self::AtMost(bound) => ratio <= bound,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "≥ {bound}"),
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
        }
    }
}

/// Ours beside another: the medians of both, and the ratios of the rounds.
#[derive(Clone, Debug)]
pub struct Line {
    /// What is compared.
    pub name: String,
    /// Our median, as it is shown.
    pub ours: String,
    /// The other's.
    pub peer: String,
    /// Ours divided by the other's, a round each.
    pub ratios: Vec<f64>,
    /// What their median should be.
    pub goal: Option<Goal>,
}

/// What stands above the lines.
pub fn comparisons_head() {
    println!(
        "  {:74}  {:>9} {:>9}  {:>7}  {:>18}  goal",
        "ours / the peer's", "ours", "peer", "ratio", "spread"
    );
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratios = sorted(self.ratios.iter().copied());
        let middle = median(&ratios);
        let digits = if middle.abs() < 0.1 { 4 } else { 2 };
        let spread = match ratios.as_slice() {
            [] | [_] => String::new(),
            [least, .., most] => format!("{least:.digits$} to {most:.digits$}"),
        };
        let goal = match self.goal {
            None => String::new(),
            Some(goal) if goal.is_met(middle) => goal.to_string(),
            Some(goal) => format!("{goal}: NOT REACHED"),
        };
        let ratio = if middle.is_nan() { "none".to_owned() } else { format!("{middle:.digits$}") };
        let Self { name, ours, peer, .. } = self;
        write!(f, "  {name:74}  {ours:>9} {peer:>9}  {ratio:>7}  {spread:>18}  {goal}")
    }
}

/// In their order.
pub fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// So many of a hundred are no larger, by the nearest rank; the values in any order. No number if there is none.
pub fn percentile(values: &[f64], percent: usize) -> f64 {
    let sorted = sorted(values.iter().copied());
    sorted.get((sorted.len() * percent).div_ceil(100).max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// The middle of sorted values; no number if there is none.
pub fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_nearest_rank_and_of_many_not_the_largest() {
        let to = |last: u32| (1..=last).rev().map(f64::from).collect::<Vec<_>>();
        assert_eq!(percentile(&to(500), 99), 495.0);
        assert_eq!((percentile(&to(100), 99), percentile(&to(60), 99)), (99.0, 60.0));
        assert_eq!((percentile(&to(4), 50), percentile(&to(5), 50), percentile(&to(1), 1)), (2.0, 3.0, 1.0));
        assert!(percentile(&[], 99).is_nan());
    }
}
