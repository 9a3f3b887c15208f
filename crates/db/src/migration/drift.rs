//! What a database has that its migrations did not make, and what it lacks.

use std::collections::BTreeSet;
use std::fmt;

use super::catalogue::lines;
use super::{MigrationSet, plan, with_ours};
use crate::bootstrap::Session;
use crate::config::Config;
use crate::error::Error;

/// How a database differs from what its migrations come to. Its `Display` is a report, object by object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drift {
    /// What differs, sorted by schema and object.
    pub differences: Vec<Difference>,
    /// Schemas that were not compared, and why.
    pub skipped: Vec<(&'static str, String)>,
}

/// A line of the [`catalogue`](super::catalogue()) that is there and should not be, or the other way round.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The schema that it is in.
    pub schema: &'static str,
    /// The line, beginning with the object.
    pub line: String,
    /// Whether it is there and should not be; else it is missing.
    pub surplus: bool,
}

impl Difference {
    /// Whether it changes who may see or do what: a policy, a grant, an owner, row-level security, or a function that runs with
    /// its owner's rights.
    pub fn is_alarm(&self) -> bool {
        const SECURITY: [&str; 6] =
            ["policy ", "grant ", "owner ", "row level security ", "security definer ", "option security_"];
        let detail = self.detail();
        SECURITY.iter().any(|kind| detail.starts_with(kind))
    }

    fn object(&self) -> &str {
        self.line.split_once(": ").map_or(&self.line, |(object, _)| object)
    }

    fn detail(&self) -> &str {
        self.line.split_once(": ").map_or("", |(_, detail)| detail)
    }
}

impl Drift {
    /// The database is as its migrations made it, as far as that could be compared.
    pub fn is_empty(&self) -> bool {
        self.differences.is_empty()
    }

    /// Whether anything of it is a matter of security.
    pub fn is_alarm(&self) -> bool {
        self.differences.iter().any(Difference::is_alarm)
    }
}

/// Compares each schema with the [catalogue](MigrationSet::catalogue) of its set. It changes nothing.
///
/// In a crate's own test it keeps the file true:
/// ```no_run
/// # const MIGRATIONS: shared_db::MigrationSet = shared_db::MigrationSet::new("notes", &[]);
/// # async fn test(config: &shared_db::Config) -> Result<(), shared_db::Error> {
/// shared_db::bootstrap(config, &[MIGRATIONS]).await?;
/// let drift = shared_db::migration::drift(config, &[MIGRATIONS]).await?;
/// assert!(drift.is_empty(), "{drift}");
/// # Ok(()) }
/// ```
///
/// # Errors
/// Those of [`plan`](super::plan()).
pub async fn drift(config: &Config, sets: &[MigrationSet]) -> Result<Drift, Error> {
    let (roles, plan) = (config.roles()?, plan(config, sets).await?);
    let session = Session::open(config).await?;
    let mut drift = Drift::default();
    for (set, standing) in with_ours(sets)?.iter().zip(&plan.schemas) {
        match set.expected {
            None => drift.skipped.push((set.schema, "its set has no catalogue".to_owned())),
            Some(_) if standing.at != standing.program => {
                drift.skipped.push((set.schema, standing.to_string()))
            }
            Some(expected) => {
                let found = lines(&session, &roles, set.schema).await?;
                drift.differences.extend(compare(set.schema, expected, &found));
            }
        }
    }
    Ok(drift)
}

fn compare(schema: &'static str, expected: &str, found: &[String]) -> Vec<Difference> {
    let expected: BTreeSet<&str> = expected.lines().filter(|line| !line.is_empty()).collect();
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    let differ = expected.symmetric_difference(&found);
    differ
        .map(|line| Difference { schema, line: (*line).to_owned(), surplus: found.contains(line) })
        .collect()
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            write!(f, "no drift")?;
        } else {
            write!(
                f,
                "the database is not as its migrations made it (- is missing, + is there and should not be):"
            )?;
        }
        let mut last = None;
        for difference in &self.differences {
            let here = Some((difference.schema, difference.object()));
            if last != here {
                write!(f, "\n{}, {}", difference.schema, difference.object())?;
                last = here;
            }
            let sign = if difference.surplus { '+' } else { '-' };
            let alarm = if difference.is_alarm() { "SECURITY " } else { "" };
            write!(f, "\n  {sign} {alarm}{}", difference.detail())?;
        }
        self.skipped.iter().try_for_each(|(schema, why)| write!(f, "\n{schema} was not compared: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_told_object_by_object_and_those_of_security_marked() {
        let expected =
            "table a: column x text\ntable a: policy p permissive for all to {app} using (false)\n";
        let found = ["table a: column x integer", "table b: owner {owner}"].map(str::to_owned);
        let drift = Drift {
            differences: compare("s", expected, &found),
            skipped: vec![("t", "it is new".to_owned())],
        };
        assert!(drift.is_alarm());
        assert_eq!(
            drift.to_string(),
            "the database is not as its migrations made it (- is missing, + is there and should not be):
s, table a
  + column x integer
  - column x text
  - SECURITY policy p permissive for all to {app} using (false)
s, table b
  + SECURITY owner {owner}
t was not compared: it is new"
        );
    }
}
