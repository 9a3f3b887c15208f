//! Migrations that travel with the crate they belong to.

use sha2::{Digest, Sha256};

use crate::vector::{Definition, Tables};

/// The migrations of one crate, for one schema. Each crate brings its own; a program lists them all, in any order.
#[derive(Clone, Copy, Debug)]
pub struct MigrationSet {
    pub(crate) schema: &'static str,
    pub(crate) steps: &'static [Step],
    pub(crate) requires: &'static [&'static str],
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
        Self { schema, steps, requires: &[] }
    }

    /// The same, applied after the sets of these schemas.
    pub const fn requires(mut self, schemas: &'static [&'static str]) -> Self {
        self.requires = schemas;
        self
    }

    /// The schema that the set makes and fills.
    pub const fn schema(&self) -> &'static str {
        self.schema
    }
}

/// One migration. Once applied it must not change: write another.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub(crate) version: u32,
    pub(crate) name: &'static str,
    work: Work,
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Sql(&'static str),
    Collection(Tables),
}

impl Step {
    /// A step in SQL, applied in a transaction of its own. `{owner}`, `{app}`, `{system}` and `{definer}` become the
    /// names of the roles.
    pub const fn sql(version: u32, name: &'static str, sql: &'static str) -> Self {
        Self { version, name, work: Work::Sql(sql) }
    }

    /// A step that makes the tables of a vector collection.
    pub const fn collection<T>(version: u32, name: &'static str, collection: &Definition<T>) -> Self {
        Self { version, name, work: Work::Collection(collection.tables()) }
    }

    pub(crate) fn text(&self) -> String {
        match self.work {
            Work::Sql(sql) => sql.to_owned(),
            Work::Collection(tables) => tables.migration(),
        }
    }

    /// Over the text with unified line ends, so that a checkout on another system is the same migration.
    pub(crate) fn checksum(&self) -> Vec<u8> {
        Sha256::digest(self.text().replace("\r\n", "\n").trim_end()).to_vec()
    }
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

/// The sets in an order in which each comes after those it requires.
///
/// # Errors
/// The name of a schema that is required and not there, or that requires itself in a circle, or that two sets claim.
pub(crate) fn ordered(sets: &[MigrationSet]) -> Result<Vec<MigrationSet>, String> {
    let mut waiting: Vec<MigrationSet> = Vec::new();
    for set in sets {
        match waiting.iter().find(|known| known.schema == set.schema) {
            None => waiting.push(*set),
            Some(known) if fingerprint(&[*known]) == fingerprint(&[*set]) => {}
            Some(_) => {
                return Err(format!("two different sets of migrations are for the schema {}", set.schema));
            }
        }
    }
    let mut done: Vec<MigrationSet> = Vec::new();
    while !waiting.is_empty() {
        let is_done = |schema: &&str| done.iter().any(|set| set.schema == *schema);
        let Some(next) = waiting.iter().position(|set| set.requires.iter().all(&is_done)) else {
            let stuck = waiting[0];
            return Err(format!(
                "{} requires {}, which is missing or requires it",
                stuck.schema,
                stuck.requires.join(", ")
            ));
        };
        done.push(waiting.remove(next));
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: MigrationSet = MigrationSet::new("a", &[]);
    const B: MigrationSet = MigrationSet::new("b", &[]).requires(&["a"]);

    #[test]
    fn sets_come_after_what_they_require() {
        let names: Vec<&str> = ordered(&[B, A, B]).unwrap().iter().map(MigrationSet::schema).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(ordered(&[B]).unwrap_err().contains("b requires a"));
        const OTHER: MigrationSet = MigrationSet::new("a", &[Step::sql(1, "x", "select 1")]);
        assert!(ordered(&[A, OTHER]).unwrap_err().contains("two different sets"));
    }

    #[test]
    fn line_ends_do_not_change_a_checksum() {
        let (unix, dos) =
            (Step::sql(1, "x", "select 1;\nselect 2;\n"), Step::sql(1, "x", "select 1;\r\nselect 2;\r\n"));
        assert_eq!(unix.checksum(), dos.checksum());
    }
}
