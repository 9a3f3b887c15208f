//! What a wrong environment prints.

use std::fmt;

use serde::Serialize;
use shared_core::schema::{Mistake, Profile};

use crate::table;

/// Everything that is wrong with an environment, at once. It holds names, never values.
///
/// `Display` and `Debug` both print the report for people, so that `fn main() -> Result<(), Report>` reads well;
/// `Serialize` is its machine form.
#[derive(Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The program's name.
    pub service: String,
    /// The profile whose rules were applied.
    pub profile: Profile,
    /// Why it cannot start, by name.
    pub problems: Vec<Mistake>,
    /// What would not have hindered it.
    pub warnings: Vec<Mistake>,
}

impl Report {
    /// The exit code of a program that cannot start because of its configuration: `EX_CONFIG` of `sysexits.h`.
    pub const EXIT_CODE: u8 = 78;
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = counted(self.problems.len(), "problem");
        writeln!(f, "{} cannot start: {count} in its configuration\n", self.service)?;
        f.write_str(&table::render(&self.problems))?;
        if !self.warnings.is_empty() {
            writeln!(f, "\n{}\n", counted(self.warnings.len(), "warning"))?;
            f.write_str(&table::render(&self.warnings))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Report {}

fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
