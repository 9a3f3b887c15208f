//! SQL names its columns: a `*` means something else after the next migration. Tests may show just that.

use super::Finding;
use super::source::{Kind, Source};
use super::sql::{self, Sql, Token};

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let tests = source.tests_start(&source.only(Kind::Code));
    let statements = sql::of(source);
    let given: Vec<&str> = statements.iter().flat_map(Sql::given_names).collect();
    let stars =
        statements.iter().flat_map(|sql| (0..sql.words().len()).filter_map(|at| star(sql, at, &given)));
    stars
        .filter(|star| star.at < tests)
        .map(|star| source.finding(star.at, "`*`: name the columns"))
        .collect()
}

/// `*` or `t.*` as a column, wherever in the list it stands: not that of `count(*)`, and not a multiplication. All of
/// a set whose columns the same file names, in a `with` or as an alias, is as good as their names.
fn star<'a>(sql: &'a Sql, at: usize, given: &[&str]) -> Option<&'a Token> {
    let before = at.checked_sub(1).map_or("", |before| sql.text(before));
    let begins = matches!(before, "select" | "returning" | "distinct" | "all" | ",");
    let of_table = before.strip_suffix('.').is_some_and(|set| !given.contains(&set));
    let is_column = begins || of_table || sql.is(at + 1, "from") && !before.ends_with('.');
    (sql.is(at, "*") && is_column).then(|| &sql.words()[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&Source::new(path, text)).len()
    }

    fn in_rust(sql: &str) -> usize {
        findings("crates/queues/src/claim.rs", &format!("const Q: &str = \"{sql}\";"))
    }

    #[test]
    fn a_star_is_found() {
        assert_eq!(in_rust("select\n  * from a.job"), 1);
        assert_eq!(in_rust("SELECT \\\n * FROM a.job"), 1);
        assert_eq!(in_rust("select j.id, j.* from a.job j"), 1);
        assert_eq!(in_rust("select distinct on (id) * from a.job"), 1);
        assert_eq!(in_rust("select id, * from a.job"), 1);
        assert_eq!(findings("crates/queues/migrations/0001_job.sql", "Select Distinct j.* from a.job j"), 1);
        assert_eq!(findings("examples/notes/src/lib.rs", "\"delete from a.note returning *\""), 1);
    }

    #[test]
    fn all_of_a_set_that_the_statement_made_is_fine() {
        assert_eq!(in_rust("with x as (select 1 as a) select x.*, y.* from x, unnest($1) as y (b)"), 0);
    }

    #[test]
    fn a_test_may_ask_for_all() {
        assert_eq!(findings("crates/db/tests/it/plans.rs", "\"select * from a.job\""), 0);
    }

    #[test]
    fn named_columns_counts_products_and_comments_are_fine() {
        assert_eq!(in_rust("select count(*), j.id, 2 * j.a, (j.b) * 3 from a.job j -- select * is wrong"), 0);
        assert_eq!(findings("crates/queues/src/claim.rs", "f(\"select 1\") // select * is wrong"), 0);
        assert_eq!(
            findings("crates/queues/migrations/0001_job.sql", "select id from a.job -- not select *"),
            0
        );
    }
}
