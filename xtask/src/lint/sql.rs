//! SQL names its columns: a `*` means something else after the next migration.

use super::Finding;
use super::source::{Kind, Source, words};

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let sql = source.path.ends_with(".sql") && !source.path.starts_with("bench/");
    if !sql && !source.is_rust_in(&["crates/", "examples/"]) {
        return Vec::new();
    }
    let strings = source.only(Kind::String).to_ascii_lowercase();
    let clauses = ["select", "returning"]
        .into_iter()
        .flat_map(|clause| words(&strings, clause).map(move |at| (clause, at)));
    clauses
        .filter(|&(clause, at)| begins_with_star(&strings[at + clause.len()..]))
        .map(|(clause, at)| source.finding(at, format!("`{clause} *`: name the columns")))
        .collect()
}

/// `*`, `t.*`, and either after `distinct`; a backslash continues a Rust string on its next line.
fn begins_with_star(columns: &str) -> bool {
    let gap = |c: char| c.is_whitespace() || c == '\\';
    let columns = columns.trim_start_matches(gap);
    let columns = columns.strip_prefix("distinct").map_or(columns, |rest| rest.trim_start_matches(gap));
    let table = columns.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
    columns.starts_with('*') || table.starts_with(".*")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&Source::new(path, text)).len()
    }

    #[test]
    fn a_star_is_found() {
        assert_eq!(findings("crates/queues/src/claim.rs", "const Q: &str = \"select\n  * from job\";"), 1);
        assert_eq!(findings("crates/queues/src/claim.rs", "\"SELECT \\\n * FROM job\""), 1);
        assert_eq!(findings("crates/queues/migrations/0001_job.sql", "Select Distinct j.* from job j"), 1);
        assert_eq!(findings("examples/notes/src/lib.rs", "\"delete from note returning *\""), 1);
    }

    #[test]
    fn named_columns_counts_and_comments_are_fine() {
        assert_eq!(
            findings(
                "crates/queues/src/claim.rs",
                "\"select count(*), j.id from job j\" // select * is wrong"
            ),
            0
        );
        assert_eq!(
            findings("crates/queues/migrations/0001_job.sql", "select id from job -- not select *"),
            0
        );
    }
}
