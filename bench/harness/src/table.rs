//! Printing what came out.

use std::fmt;

use crate::comparison::Measured;

/// The comparisons of one benchmark, a line each.
#[derive(Clone, Debug, Default)]
pub struct Table {
    lines: Vec<Measured>,
}

impl Table {
    /// Adds a line.
    pub fn add(&mut self, measured: Measured) {
        self.lines.push(measured);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width =
            self.lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0).max("name".len());
        writeln!(f, "{:width$}  {:>9}  {:>9}  {:>6}  spread of the ratio", "name", "ours", "peer", "ratio")?;
        for Measured { name, ours, peer, ratio } in &self.lines {
            let (ours, peer) = (Seconds(ours.median()).to_string(), Seconds(peer.median()).to_string());
            let (median, min, max) = (ratio.median(), ratio.min(), ratio.max());
            writeln!(f, "{name:width$}  {ours:>9}  {peer:>9}  {median:>6.2}  {min:.2} to {max:.2}")?;
        }
        Ok(())
    }
}

/// A time in the unit in which it has one to three digits before the point.
struct Seconds(f64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (factor, unit) = match self.0 {
            s if s < 1e-6 => (1e9, "ns"),
            s if s < 1e-3 => (1e6, "µs"),
            s if s < 1.0 => (1e3, "ms"),
            _ => (1.0, "s"),
        };
        write!(f, "{:.1} {unit}", self.0 * factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Comparison;
    use std::time::Duration;

    #[test]
    fn a_line_has_the_medians_the_ratio_and_its_spread() {
        let mut table = Table::default();
        let mut took = [90, 100, 110, 120, 80].into_iter().map(Duration::from_millis);
        let comparison = Comparison::new("tenant transaction", 1_000).warm_up(0).rounds(5);
        table.add(comparison.run(|| took.next().unwrap_or_default(), || Duration::from_millis(200)));
        assert_eq!(
            table.to_string(),
            "name                     ours       peer   ratio  spread of the ratio\n\
             tenant transaction   100.0 µs   200.0 µs    0.50  0.40 to 0.60\n"
        );
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        let shown = [2.5e-8, 1.5e-3, 2.0].map(|seconds| Seconds(seconds).to_string());
        assert_eq!(shown, ["25.0 ns", "1.5 ms", "2.0 s"]);
    }
}
