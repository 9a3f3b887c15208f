//! Migrations that travel with the crate they belong to: their plan, their check, and what they should have come to.
//!
//! [`bootstrap`](crate::bootstrap) applies them. What else a program or its operator asks is here:
//!
//! | question | |
//! |---|---|
//! | What would be applied? | [`plan`] |
//! | May this program work with this database? | [`check`] |
//! | Has somebody changed the database by hand? | [`drift`], against [`MigrationSet::catalogue`] |
//! | All of that, on a command line? | [`cli`] |
//!
//! # A rolling deploy
//! Two releases work on one database for a while, so a release changes what is there in two steps. First it *expands*: a new
//! column that may be null, a table, an index made concurrently; the older release does not notice. When no program of the
//! older release runs any more, a later one *contracts*: it drops what nobody uses. Such a step says whom it would break,
//! with [`Step::contracts`], and the database remembers: an older program is refused when it starts, by
//! [`check`] and by [`bootstrap`](crate::bootstrap) alike. Without such a step a program works with any newer
//! database.

mod catalogue;
mod check;
mod cli;
mod drift;
pub(crate) mod history;
mod index;
mod order;
mod plan;

use sha2::{Digest, Sha256};

pub use self::catalogue::catalogue;
pub use self::check::check;
pub use self::cli::cli;
pub use self::drift::{Difference, Drift, drift};
pub(crate) use self::order::with_ours;
pub use self::plan::{Plan, Planned, Standing, plan};
use crate::error::Error;
use crate::vector::{Definition, Tables};

/// The migrations of one crate, for one schema. Each crate brings its own; a program lists them all, in any order.
#[derive(Clone, Copy, Debug)]
pub struct MigrationSet {
    pub(crate) schema: &'static str,
    pub(crate) steps: &'static [Step],
    pub(crate) requires: &'static [&'static str],
    expected: Option<&'static str>,
}

impl MigrationSet {
    /// The steps for this schema, in the order of their versions.
    ///
    /// # Panics
    /// At compile time, if the set is a constant: when the versions are not 1, 2, 3 and so on.
    pub const fn new(schema: &'static str, steps: &'static [Step]) -> Self {
        let mut at = 0;
        while at < steps.len() {
            assert!(
                steps[at].version as usize == at + 1,
                "the versions of a migration set are 1, 2, 3 and so on"
            );
            at += 1;
        }
        Self { schema, steps, requires: &[], expected: None }
    }

    /// The same, applied after the sets of these schemas.
    pub const fn requires(mut self, schemas: &'static [&'static str]) -> Self {
        self.requires = schemas;
        self
    }

    /// The same, with what the steps come to on an empty database, as [`catalogue`] says it. [`drift`] compares a live
    /// database with it.
    ///
    /// ```
    /// # use shared_db::MigrationSet;
    /// // In a crate: include_str!("../migrations/catalogue.txt")
    /// const CATALOGUE: &str = "schema notes: owner {owner}\n";
    /// const MIGRATIONS: MigrationSet = MigrationSet::new("notes", &[]).catalogue(CATALOGUE);
    /// ```
    pub const fn catalogue(mut self, text: &'static str) -> Self {
        self.expected = Some(text);
        self
    }

    /// Whether it makes tables for vectors.
    pub(crate) fn has_collections(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.work, Work::Collection(_)))
    }

    /// The schema that the set makes and fills.
    pub const fn schema(&self) -> &'static str {
        self.schema
    }

    /// What is wrong with one of its steps.
    pub(crate) fn wrong(&self, step: &Step, reason: String) -> Error {
        Error::Migration { schema: self.schema, version: step.version, name: step.name, reason }
    }
}

/// One migration. Once applied it must not change: write another.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub(crate) version: u32,
    pub(crate) name: &'static str,
    pub(crate) oldest: u32,
    work: Work,
    formerly: &'static [&'static str],
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Sql(&'static str),
    Concurrent(&'static str),
    Collection(Tables),
}

impl Step {
    /// A step in SQL, applied in a transaction of its own. `{owner}`, `{app}`, `{system}`, `{across}` and `{definer}`
    /// become the names of the roles.
    pub const fn sql(version: u32, name: &'static str, sql: &'static str) -> Self {
        Self::new(version, name, Work::Sql(sql))
    }

    /// One statement outside of a transaction, such as an index on a table that is in use. It may be run again after it has
    /// happened in part or as a whole, so it has to stand that: an index has a name and `if not exists`. An invalid
    /// index of that name, as a build that was broken off leaves it, is dropped first.
    ///
    /// ```
    /// # use shared_db::Step;
    /// const BY_TIME: Step = Step::concurrent(2, "note_by_time", "
    ///     create index concurrently if not exists note_by_time on notes.note (tenant_id, created_at)");
    /// ```
    pub const fn concurrent(version: u32, name: &'static str, sql: &'static str) -> Self {
        Self::new(version, name, Work::Concurrent(sql))
    }

    /// A step that makes the tables of a vector collection.
    pub const fn collection<T>(version: u32, name: &'static str, collection: &Definition<T>) -> Self {
        Self::new(version, name, Work::Collection(collection.tables()))
    }

    const fn new(version: u32, name: &'static str, work: Work) -> Self {
        Self { version, name, oldest: 0, work, formerly: &[] }
    }

    /// The step takes something away. Programs that know the steps up to `oldest` or further go on; older ones are refused
    /// when they start.
    ///
    /// ```
    /// # use shared_db::Step;
    /// // Since step 3 no program has used the column.
    /// const DROP: Step = Step::sql(4, "drop_title", "alter table notes.note drop column title").contracts(3);
    /// ```
    ///
    /// # Panics
    /// At compile time, if the step is a constant: when `oldest` is beyond the step itself.
    pub const fn contracts(mut self, oldest: u32) -> Self {
        assert!(oldest <= self.version, "a program that knows this step survives it");
        self.oldest = oldest;
        self
    }

    /// Earlier texts of this step that came to the same, by the checksums that the error for a changed text names.
    ///
    /// ```
    /// # use shared_db::Step;
    /// const ONE: Step = Step::sql(1, "one", "create table notes.one (a bigint)")
    ///     .formerly(&["822ae07d4783158bc1912bb623e5107cc9002d519e1143a9c200ed6ee18b6d0f"]);
    /// ```
    pub const fn formerly(mut self, checksums: &'static [&'static str]) -> Self {
        self.formerly = checksums;
        self
    }

    pub(crate) fn text(&self) -> String {
        match self.work {
            Work::Sql(sql) | Work::Concurrent(sql) => sql.to_owned(),
            Work::Collection(tables) => tables.migration(),
        }
    }

    pub(crate) fn is_concurrent(&self) -> bool {
        matches!(self.work, Work::Concurrent(_))
    }

    /// The index that the step builds concurrently.
    pub(crate) fn index(&self) -> Option<&'static str> {
        match self.work {
            Work::Concurrent(sql) => index::built(sql).ok().flatten(),
            _ => None,
        }
    }

    /// Over the text with unified line ends, so that a checkout on another system is the same migration.
    pub(crate) fn checksum(&self) -> String {
        let hash = Sha256::digest(self.text().replace("\r\n", "\n").trim_end());
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn is_known_as(&self, checksum: &str) -> bool {
        self.checksum() == checksum || self.formerly.contains(&checksum)
    }
}

/// How a step is called, as in `notes 0001_note`.
pub(crate) fn label(schema: &str, version: u32, name: &str) -> String {
    format!("{schema} {version:04}_{name}")
}

/// A short name for exactly these migrations, for whoever keeps a migrated database to copy.
pub fn fingerprint(sets: &[MigrationSet]) -> String {
    let mut hash = Sha256::new();
    for set in sets {
        hash.update(set.schema);
        set.steps.iter().for_each(|step| hash.update(step.checksum()));
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_do_not_change_a_checksum() {
        let (unix, dos) =
            (Step::sql(1, "x", "select 1;\nselect 2;\n"), Step::sql(1, "x", "select 1;\r\nselect 2;\r\n"));
        assert_eq!(unix.checksum(), dos.checksum());
    }
}
