//! The sets of a program, in an order that works.

use super::{MigrationSet, fingerprint, index};
use crate::error::Error;

/// The family's base and these sets, each after those it requires.
///
/// # Errors
/// For a set that can't be applied whatever the database is like.
pub(crate) fn with_ours(sets: &[MigrationSet]) -> Result<Vec<MigrationSet>, Error> {
    let all: Vec<MigrationSet> = std::iter::once(crate::MIGRATIONS).chain(sets.iter().copied()).collect();
    let sets = ordered(&all).map_err(Error::Bootstrap)?;
    for set in &sets {
        for step in set.steps.iter().filter(|step| step.is_concurrent()) {
            index::built(&step.text()).map_err(|reason| set.wrong(step, reason.to_owned()))?;
        }
    }
    Ok(sets)
}

/// The name of a schema that is required and not there, or that requires itself in a circle, or that two sets claim, is
/// an error.
fn ordered(sets: &[MigrationSet]) -> Result<Vec<MigrationSet>, String> {
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
    use crate::Step;

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
}
