//! Printing comparisons.

use std::fmt;
use std::time::Duration;

use super::comparison::Measured;

/// Comparisons of the same two sides, a line each: the medians, the ratio and its spread.
#[derive(Clone, Debug)]
pub struct Table {
    a: String,
    b: String,
    lines: Vec<Measured>,
}

impl Table {
    /// A table with the names of both sides, such as `ours` and `peer`.
    pub fn new(a: impl Into<String>, b: impl Into<String>) -> Table {
        Table { a: a.into(), b: b.into(), lines: Vec::new() }
    }

    /// Adds a line.
    pub fn add(&mut self, measured: Measured) {
        self.lines.push(measured);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width =
            self.lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0).max("name".len());
        let sides = self.a.chars().count().max(self.b.chars().count()).max(9);
        writeln!(
            f,
            "{:width$}  {:>sides$}  {:>sides$}   ratio  spread of the ratio",
            "name", self.a, self.b
        )?;
        for Measured { name, a, b, ratio } in &self.lines {
            let [a, b] = [a, b].map(|side| time(side.median()));
            let (median, min, max) = (ratio.median(), ratio.min(), ratio.max());
            writeln!(
                f,
                "{name:width$}  {a:>sides$.1?}  {b:>sides$.1?}  {median:>6.2}  {min:.2} to {max:.2}"
            )?;
        }
        Ok(())
    }
}

/// Printed, a time is in the unit that suits it.
fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Comparison;

    #[tokio::test]
    async fn a_line_has_the_medians_the_ratio_and_its_spread() {
        let mut took = [90, 100, 110, 120, 80].into_iter().map(Duration::from_millis);
        let comparison = Comparison::new("tenant transaction", 1_000).warm_up(0).rounds(5);
        let ours = async || took.next().unwrap_or_default();
        let mut table = Table::new("ours", "peer");
        table.add(comparison.run(ours, async || Duration::from_millis(200)).await);
        assert_eq!(
            table.to_string(),
            "name                     ours       peer   ratio  spread of the ratio\n\
             tenant transaction    100.0µs    200.0µs    0.50  0.40 to 0.60\n"
        );
    }

    #[tokio::test]
    async fn sides_that_took_no_time_or_for_ever_are_printed() {
        let measured = Comparison::new("odd", 1).run(async || Duration::ZERO, async || Duration::MAX).await;
        let mut table = Table::new("none", "all");
        table.add(measured);
        assert!(table.to_string().contains("0.0ns"));
    }
}
