//! What a database says of its own migrations, and what a program makes of it.

use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::{MigrationSet, Step};
use crate::config::quoted;
use crate::error::{Error, described};

/// A row of `<schema>.migration`.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    schema: String,
    pub(crate) version: u32,
    checksum: String,
    /// Programs with fewer steps do not survive it.
    oldest: u32,
    pub(crate) finished: bool,
}

/// The statement that reads a set's history. A text of its own answer, so that a pooler can carry several at once.
pub(super) fn select(set: &MigrationSet) -> String {
    format!(
        "SELECT '{}', version, checksum, oldest, finished_at IS NOT NULL FROM {}.migration ORDER BY version",
        set.schema.replace('\'', "''"),
        quoted(set.schema)
    )
}

/// The history of a set whose schema is there.
pub(crate) async fn read(client: &Client, set: &MigrationSet) -> Result<Vec<Entry>, Error> {
    let answer =
        client.simple_query(&select(set)).await.map_err(|error| Error::Bootstrap(described(&error)))?;
    entries(&answer)
}

pub(super) fn entries(answer: &[SimpleQueryMessage]) -> Result<Vec<Entry>, Error> {
    let rows = answer.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| entry(row).ok_or_else(|| Error::Bootstrap("a history can't be read".to_owned()))).collect()
}

fn entry(row: &SimpleQueryRow) -> Option<Entry> {
    Some(Entry {
        schema: row.get(0)?.to_owned(),
        version: row.get(1)?.parse().ok()?,
        checksum: row.get(2)?.to_owned(),
        oldest: row.get(3)?.parse().ok()?,
        finished: row.get(4)? == "t",
    })
}

/// The steps that the database lacks, in order; those of a concurrent kind that were started and not finished are
/// among them.
///
/// # Errors
/// For a step that was applied with another text, and where a newer program has left nothing that this one could use.
pub(crate) fn pending(set: &MigrationSet, history: &[Entry]) -> Result<Vec<&'static Step>, Error> {
    let own: Vec<&Entry> = history.iter().filter(|entry| entry.schema == set.schema).collect();
    let knows = set.steps.len() as u32;
    if let Some(newer) = own.iter().find(|entry| entry.version > knows && entry.oldest > knows) {
        return Err(Error::Incompatible(format!(
            "step {} of {} took away what programs with fewer than {} steps use, and this one has {knows}; deploy a newer release",
            newer.version, set.schema, newer.oldest
        )));
    }
    let mut pending = Vec::new();
    for step in set.steps {
        match own.iter().find(|entry| entry.version == step.version && entry.finished) {
            None => pending.push(step),
            Some(entry) if step.is_known_as(&entry.checksum) => {}
            Some(entry) => return Err(set.wrong(step, changed(&entry.checksum))),
        }
    }
    Ok(pending)
}

fn changed(checksum: &str) -> String {
    format!(
        "its text has changed since it was applied; restore it, and write another step. If both texts come to the same, \
         say so with `.formerly(&[\"{checksum}\"])`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Step = Step::sql(1, "one", "select 1");
    const STEPS: &[Step] = &[ONE, Step::concurrent(2, "two", "select 2")];
    const SET: MigrationSet = MigrationSet::new("s", STEPS);

    fn entry(version: u32, checksum: &str, oldest: u32, finished: bool) -> Entry {
        Entry { schema: "s".to_owned(), version, checksum: checksum.to_owned(), oldest, finished }
    }

    fn versions(history: &[Entry]) -> Result<Vec<u32>, String> {
        let pending = pending(&SET, history).map_err(|error| error.to_string())?;
        Ok(pending.into_iter().map(|step| step.version).collect())
    }

    #[test]
    fn what_is_missing_or_unfinished_is_to_be_done() {
        assert_eq!(versions(&[]), Ok(vec![1, 2]));
        assert_eq!(
            versions(&[entry(1, &ONE.checksum(), 0, true), entry(2, "an earlier text", 0, false)]),
            Ok(vec![2])
        );
    }

    #[test]
    fn a_newer_database_is_fine_until_it_has_taken_something_away() {
        let both = [entry(1, &ONE.checksum(), 0, true), entry(2, &STEPS[1].checksum(), 0, true)];
        let with = |oldest| versions(&[both.as_slice(), &[entry(3, "", oldest, true)]].concat());
        assert_eq!(with(0), Ok(vec![]));
        assert_eq!(with(2), Ok(vec![]));
        assert!(with(3).is_err_and(|error| error.contains("deploy a newer release")));
    }

    #[test]
    fn a_text_that_came_to_the_same_is_known() {
        const EDITED: MigrationSet = MigrationSet::new(
            "s",
            &[Step::sql(1, "one", "select 1 as x")
                .formerly(&["822ae07d4783158bc1912bb623e5107cc9002d519e1143a9c200ed6ee18b6d0f"])],
        );
        let error = pending(&EDITED, &[entry(1, "other", 0, true)]).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(".formerly(&[\"other\"])"), "{error}");
        assert!(pending(&EDITED, &[entry(1, &ONE.checksum(), 0, true)]).is_ok_and(|steps| steps.is_empty()));
    }
}
