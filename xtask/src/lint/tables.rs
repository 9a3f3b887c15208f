//! SQL names a table with its schema: what the search path would find is another table for another session.
//!
//! A heuristic over words. What a lint can't see through is let pass: names made of placeholders, and the functions
//! that stand in a `from`. Names that `with` gives, in whatever string, are known within the file and its child modules.

use super::Finding;
use super::source::{Kind, Source};
use super::sql::{self, Sql, Token};

/// Between the word that announces a table and its name.
const FILLERS: [&str; 6] = ["only", "lateral", "if", "not", "exists", "concurrently"];

/// Functions with a `from` inside their parentheses.
const WITH_FROM: [&str; 4] = ["extract", "substring", "trim", "overlay"];

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let parent = |source: &Source| {
        let path = source.path.rsplit_once('/').map(|(directory, _)| format!("{directory}.rs"));
        sources.iter().find(|other| Some(&other.path) == path.as_ref())
    };
    sources.iter().flat_map(|source| check_one(source, parent(source))).collect()
}

fn check_one(source: &Source, parent: Option<&Source>) -> Vec<Finding> {
    if source.path.contains("/benches/") {
        return Vec::new();
    }
    let tests = source.tests_start(&source.only(Kind::Code));
    let statements = sql::of(source);
    let texts: Vec<Sql> = [Some(source), parent].into_iter().flatten().flat_map(sql::strings).collect();
    let given: Vec<&str> = statements.iter().chain(&texts).flat_map(Sql::given_names).collect();
    let tables = statements.iter().flat_map(|sql| (0..sql.words().len()).flat_map(|at| announced(sql, at)));
    tables
        .filter(|table| {
            table.at < tests && !is_elsewhere(&table.text) && !given.contains(&table.text.as_str())
        })
        .map(|table| source.finding(table.at, format!("`{}`: name its schema too", table.text)))
        .collect()
}

/// Qualified, a placeholder, or the system's.
fn is_elsewhere(name: &str) -> bool {
    name.contains(['.', '{', '$']) || name.starts_with("pg_") || name == "stdin"
}

/// The tables that the word at `at` announces.
fn announced(sql: &Sql, at: usize) -> Vec<&Token> {
    let (before, next) = (at.checked_sub(1).map_or("", |before| sql.text(before)), sql.text(at + 1));
    let announces = match sql.text(at) {
        "from" => return if is_clause(sql, at, before) { list(sql, at + 1) } else { Vec::new() },
        "using" => since_statement(sql, at).any(|word| matches!(word, "delete" | "merge")),
        "join" | "references" => true,
        "into" => matches!(before, "insert" | "merge"),
        "update" => next != "set" && (at + 2..at + 6).any(|later| sql.is(later, "set")),
        "truncate" => matches!(sql.text(at + 2), "" | "," | ";" | "restart" | "cascade"),
        "table" => matches!(before, "create" | "unlogged" | "alter" | "drop" | "truncate" | "lock"),
        "on" => is_on_of_definition(sql, at),
        _ => false,
    };
    if announces { name(sql, at + 1).into_iter().collect() } else { Vec::new() }
}

/// Not `is distinct from`, not `extract(.. from ..)`, not `revoke .. from`.
fn is_clause(sql: &Sql, at: usize, before: &str) -> bool {
    let function = sql.opening(at).and_then(|open| open.checked_sub(1)).map_or("", |name| sql.text(name));
    before != "distinct"
        && !WITH_FROM.contains(&function)
        && !since_statement(sql, at).any(|word| word == "revoke")
}

/// The first `on` of an index, a policy or a trigger.
fn is_on_of_definition(sql: &Sql, at: usize) -> bool {
    let mut before = since_statement(sql, at).take_while(|word| *word != "on");
    let defined = before.any(|word| matches!(word, "index" | "policy" | "trigger"));
    defined && before.any(|word| matches!(word, "create" | "drop" | "alter"))
}

/// The words before `at` in its statement, the last first.
fn since_statement(sql: &Sql, at: usize) -> impl Iterator<Item = &str> {
    sql.words()[..at].iter().rev().map(|token| token.text.as_str()).take_while(|text| *text != ";")
}

/// The tables of a `from`, separated by commas, each perhaps with an alias.
fn list(sql: &Sql, first: usize) -> Vec<&Token> {
    let (mut tables, mut at) = (Vec::new(), first);
    loop {
        tables.extend(name(sql, at));
        at = after_fillers(sql, at);
        // `exists (select .. from a), b`: the comma is not the list's.
        if sql.is(at + 1, ")") {
            return tables;
        }
        at = if sql.is(at, "(") { at } else { at + 1 };
        at = after_parentheses(sql, at);
        while matches!(sql.text(at), "with" | "ordinality" | "as") {
            at += 1;
        }
        at = if sql.is(at, ",") { at } else { after_parentheses(sql, at + 1) };
        if !sql.is(at, ",") {
            return tables;
        }
        at += 1;
    }
}

/// The name at `at`, unless it is a function's, or a query in parentheses stands there.
fn name(sql: &Sql, at: usize) -> Option<&Token> {
    let at = after_fillers(sql, at);
    let name = sql
        .words()
        .get(at)
        .filter(|token| token.text.starts_with(|c: char| c.is_alphabetic() || c == '_'))?;
    // What follows the table of an insert, a reference or a definition is a list of columns.
    let columns = sql.words()[..at].iter().rev().find(|token| !FILLERS.contains(&token.text.as_str()));
    let columns =
        columns.is_some_and(|token| matches!(token.text.as_str(), "into" | "references" | "table" | "on"));
    (columns || !sql.is(at + 1, "(")).then_some(name)
}

fn after_fillers(sql: &Sql, at: usize) -> usize {
    (at..sql.words().len()).find(|&at| !FILLERS.contains(&sql.text(at))).unwrap_or(sql.words().len())
}

/// The place after the parentheses that open at `at`, if they do.
fn after_parentheses(sql: &Sql, at: usize) -> usize {
    let mut depth = 0;
    for (place, token) in sql.words().iter().enumerate().skip(at) {
        depth += i32::from(token.text == "(") - i32::from(token.text == ")");
        if depth <= 0 {
            return if token.text == ")" && place > at { place + 1 } else { at };
        }
    }
    sql.words().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_rust(sql: &str) -> Vec<String> {
        let source = Source::new("crates/queues/src/claim.rs", format!("const Q: &str = \"{sql}\";"));
        check(&[source]).into_iter().map(|finding| finding.message).collect()
    }

    fn in_migration(sql: &str) -> usize {
        check(&[Source::new("crates/queues/migrations/0001_job.sql", sql)]).len()
    }

    #[test]
    fn a_table_without_its_schema_is_found() {
        assert_eq!(in_rust("select id from note"), ["`note`: name its schema too"]);
        for sql in [
            "select j.id from a.job j join note n on n.id = j.id",
            "select 1 from a.job as j, note",
            "select 1 from unnest($1) with ordinality as t(a, b), note",
            "select 1 from lateral (select 1) x, only note",
            "insert into note (id) values ($1)",
            "update only note as n set id = 1",
            "delete from a.job using note where true",
            "delete from note",
            "truncate note cascade",
            "lock table note",
            "with picked as (select id from note) select id from picked",
            "select 1 where exists (select 1 from note)",
        ] {
            assert_eq!(in_rust(sql).len(), 1, "{sql}");
        }
    }

    #[test]
    fn a_definition_without_its_schema_is_found() {
        for sql in [
            "create table note (id uuid);",
            "create table if not exists note (id uuid);",
            "alter table only note add column a text;",
            "drop table note;",
            "create table a.b (id uuid references note (id));",
            "create unique index concurrently on note (id);",
            "create policy p on note using (true);",
            "create trigger t after insert or update on note execute function a.f();",
        ] {
            assert_eq!(in_migration(sql), 1, "{sql}");
        }
    }

    #[test]
    fn the_rows_that_a_trigger_is_given_are_fine() {
        let sql =
            "create trigger t after delete on a.job referencing old table as gone execute function a.f();
                   select gone.id from gone";
        assert_eq!(in_migration(sql), 0);
    }

    #[test]
    fn a_table_with_its_schema_is_fine() {
        for sql in [
            "select j.id from a.job j, b.c join a.note n on n.id = j.id where n.x is distinct from j.x",
            "insert into a.note (id) select id from unnest($1) on conflict do update set id = 1",
            "select id from a.job for update skip locked",
            "with x(a) as (select 1), y as not materialized (select a from x) select a from y",
            "select extract(epoch from now()), substring(a from 1) from {table}_item",
            "select 1 from pg_class, information_schema.tables",
            "select 1 from (select 2) as two",
            "select array(select id from a.job), case when true then 1 end",
            "delete from a.job j using a.note",
            "truncate a file of the server",
        ] {
            assert_eq!(in_rust(sql), Vec::<String>::new(), "{sql}");
        }
    }

    #[test]
    fn definitions_and_rights_are_fine() {
        let sql = "create table a.b (id uuid references a.c (id)); create index on a.b using gin (id);
            create policy p on a.b for update using (true); revoke all on a.b from public;
            create trigger t before update or delete or truncate on a.b execute function a.f();
            grant select, update on a.b to x; select 1 into strict row from a.b on commit;";
        assert_eq!(in_migration(sql), 0);
    }

    #[test]
    fn a_test_may_use_its_search_path() {
        let test = "#[cfg(test)] mod tests { const Q: &str = \"select id from note\"; }";
        assert!(check(&[Source::new("crates/db/src/a.rs", test)]).is_empty());
        assert!(check(&[Source::new("crates/db/tests/it/a.rs", "\"select id from note\"")]).is_empty());
    }
}
