//! Migrations that a running service survives: what a step may do to tables that are there already, and to programs
//! of the release before.

use super::Finding;
use super::source::{Kind, Source, words};
use super::sql::{self, Sql};

/// A step of a migration set: its SQL, and how it was declared.
struct Step<'a> {
    source: &'a Source,
    sql: Sql,
    concurrent: bool,
    contracts: bool,
}

type Rule = fn(&Sql, usize, &Step<'_>) -> Option<&'static str>;

/// At each word of a step.
const RULES: [Rule; 7] = [index, column, kept, constraint, kind, transaction, schema];

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let steps = sources.iter().flat_map(|source| steps(source, sources));
    steps.flat_map(|step| findings(&step)).collect()
}

fn findings(step: &Step<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, word) in step.sql.words().iter().enumerate() {
        let broken = RULES.iter().filter_map(|rule| rule(&step.sql, at, step));
        findings.extend(broken.map(|message| step.source.finding(word.at, message)));
    }
    findings
}

/// The steps that a file of Rust declares, outside of tests: with the text in place, or in a file that it includes.
fn steps<'a>(source: &'a Source, sources: &'a [Source]) -> Vec<Step<'a>> {
    if !source.is_rust_in(&["crates/", "examples/"]) || source.path.contains("/tests/") {
        return Vec::new();
    }
    let code = source.only(Kind::Code);
    let code = &code[..source.tests_start(&code)];
    let declared = ["sql", "concurrent"].map(|kind| (kind, format!("Step::{kind}")));
    let found = declared.iter().flat_map(|(kind, call)| words(code, call).map(move |at| (*kind, at)));
    found.filter_map(|(kind, at)| step(source, sources, code, at, kind == "concurrent")).collect()
}

fn step<'a>(
    source: &'a Source,
    sources: &'a [Source],
    code: &str,
    at: usize,
    concurrent: bool,
) -> Option<Step<'a>> {
    let end = closing(code, at)?;
    let contracts = code[end..].split("Step::").next().is_some_and(|rest| rest.contains(".contracts("));
    // The name, and the text unless that is a constant from elsewhere.
    let text = source.literals().filter(|text| text.start >= at && text.end <= end).nth(1)?;
    let text = if code[at..end].contains("include_str!") {
        let name = source.text[text].trim_matches('"').trim_start_matches("../").to_owned();
        let root = source.path.split_inclusive('/').take(2).collect::<String>();
        let path = format!("{root}{name}");
        let file = sources.iter().find(|file| file.path == path)?;
        (file, 0..file.text.len())
    } else {
        (source, text)
    };
    let (source, place) = text;
    Some(Step { source, sql: sql::within(source, place), concurrent, contracts })
}

/// Behind the parenthesis that closes the first one after `at`.
fn closing(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0;
    code[at..].char_indices().find_map(|(offset, c)| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        (c == ')' && depth == 0).then_some(at + offset + 1)
    })
}

/// An index that is built or dropped in a transaction stops every write to its table; one that is built outside of one
/// cannot be in a transactional step at all.
fn index(sql: &Sql, at: usize, step: &Step<'_>) -> Option<&'static str> {
    if !sql.is(at, "index") {
        return None;
    }
    let concurrently = sql.is(at + 1, "concurrently");
    if concurrently && !step.concurrent {
        return Some("`concurrently` does not run in a transaction: make it a `Step::concurrent`");
    }
    match sql.text(at.checked_sub(1)?) {
        "create" | "unique" if !concurrently && !is_new(sql, table_of_index(sql, at)) => {
            Some("an index on a table that is there: `create index concurrently`, in a `Step::concurrent`")
        }
        "drop" if !concurrently => Some("`drop index concurrently`, in a `Step::concurrent`"),
        _ => None,
    }
}

/// A column that has to have a value, which the rows that are there do not have.
fn column(sql: &Sql, at: usize, _: &Step<'_>) -> Option<&'static str> {
    let adds = sql.is(at, "add") && !is_new(sql, altered(sql, at)) && !is_constraint(sql, at + 1);
    let clause = || clause(sql, at);
    let required = || clause().any(|next| sql.is(next, "not") && sql.is(next + 1, "null"));
    let filled = || clause().any(|next| matches!(sql.text(next), "default" | "generated"));
    (adds && !sql.is(at + 1, "value") && required() && !filled())
        .then_some("a new column is `not null` with a default, or it may be null")
}

/// What programs of the release before use stays, unless the step says whom it breaks.
fn kept(sql: &Sql, at: usize, step: &Step<'_>) -> Option<&'static str> {
    if step.contracts {
        return None;
    }
    let of_table = || altered(sql, at).is_some_and(|table| !is_new(sql, Some(table)));
    match (sql.text(at), sql.text(at + 1)) {
        ("drop", "column") => Some("dropping a column: say whom it breaks with `.contracts(..)`"),
        ("drop", "table" | "view" | "schema") => {
            Some("dropping a table: say whom it breaks with `.contracts(..)`")
        }
        ("rename", _) => Some("a new name: say whom it breaks with `.contracts(..)`, or add and drop later"),
        ("type", _) if of_table() && is_of_alter_column(sql, at) => Some(
            "another type: say whom it breaks with `.contracts(..)`, or add a column and drop this one later",
        ),
        _ => None,
    }
}

/// A constraint that is checked for every row while nobody may write.
fn constraint(sql: &Sql, at: usize, _: &Step<'_>) -> Option<&'static str> {
    if !sql.is(at, "add") || is_new(sql, altered(sql, at)) || !is_constraint(sql, at + 1) {
        return None;
    }
    let has = |word: &str| clause(sql, at).any(|next| sql.is(next, word));
    let looks_at_rows = has("check") || has("references");
    (looks_at_rows && !has("valid")).then_some(
        "a constraint on a table that is there: `not valid`, and `validate constraint` in a later step",
    )
}

/// Types that somebody will regret.
fn kind(sql: &Sql, at: usize, _: &Step<'_>) -> Option<&'static str> {
    let before = at.checked_sub(1).map_or("", |before| sql.text(before));
    match sql.text(at) {
        "varchar" | "char" | "bpchar" => Some("`text`, with a check where its length matters"),
        "character" if sql.is(at + 1, "varying") || sql.is(at + 1, "(") => {
            Some("`text`, with a check where its length matters")
        }
        "serial" | "bigserial" | "smallserial" | "serial4" | "serial8" => {
            Some("`bigint generated always as identity`")
        }
        "timestamp" if !(sql.is(at + 1, "with") && sql.is(at + 2, "time")) => Some("`timestamptz`"),
        "int" | "integer" | "smallint" | "int4" | "int2" if before == "id" || before.ends_with("_id") => {
            Some("an id is a `bigint` or a `uuid`")
        }
        _ => None,
    }
}

/// A step is in a transaction already. (A `begin` of PL/pgSQL has no semicolon.)
fn transaction(sql: &Sql, at: usize, _: &Step<'_>) -> Option<&'static str> {
    let begins = at.checked_sub(1).is_none_or(|before| sql.is(before, ";"));
    let ends = |at: usize| matches!(sql.text(at), ";" | "");
    let controls = match sql.text(at) {
        "begin" | "commit" | "rollback" | "abort" => {
            ends(at + 1) || matches!(sql.text(at + 1), "work" | "transaction")
        }
        "start" => begins && sql.is(at + 1, "transaction"),
        "savepoint" => begins,
        _ => false,
    };
    controls.then_some("a step is a transaction already")
}

/// What is made says in which schema. (Tables have a rule of their own, everywhere.)
fn schema(sql: &Sql, at: usize, _: &Step<'_>) -> Option<&'static str> {
    if !sql.is(at, "create") {
        return None;
    }
    const FILLERS: [&str; 8] =
        ["or", "replace", "if", "not", "exists", "recursive", "materialized", "unlogged"];
    let mut rest = (at + 1..at + 9).map(|at| sql.text(at)).filter(|text| !FILLERS.contains(text));
    let made = matches!(
        rest.next()?,
        "function" | "procedure" | "sequence" | "type" | "view" | "domain" | "aggregate"
    );
    (made && !rest.next()?.contains(['.', '{', '%'])).then_some("name its schema too")
}

/// The words from `at` to the end of its clause.
fn clause(sql: &Sql, at: usize) -> impl Iterator<Item = usize> {
    let mut depth = 0;
    (at..sql.words().len()).take_while(move |&next| {
        depth += i32::from(sql.is(next, "(")) - i32::from(sql.is(next, ")"));
        !(sql.is(next, ";") || depth == 0 && sql.is(next, ","))
    })
}

fn is_constraint(sql: &Sql, at: usize) -> bool {
    matches!(sql.text(at), "constraint" | "primary" | "unique" | "foreign" | "check" | "exclude")
}

/// `alter column c type` or `set data type`, and not the `type` of something else.
fn is_of_alter_column(sql: &Sql, at: usize) -> bool {
    (at.saturating_sub(5)..at).any(|before| sql.is(before, "alter") && !sql.is(before + 1, "table"))
}

/// The table of the `alter table` that the word at `at` stands in.
fn altered(sql: &Sql, at: usize) -> Option<&str> {
    let start = (0..at)
        .rev()
        .take_while(|&before| !sql.is(before, ";"))
        .find(|&before| sql.is(before, "alter") && sql.is(before + 1, "table"))?;
    let name = (start + 2..at).find(|&next| !matches!(sql.text(next), "only" | "if" | "exists"))?;
    Some(sql.text(name))
}

fn table_of_index(sql: &Sql, at: usize) -> Option<&str> {
    let on = (at..at + 8).find(|&next| sql.is(next, "on"))?;
    let name = (on + 1..).find(|&next| !sql.is(next, "only"))?;
    Some(sql.text(name))
}

/// Whether the step itself makes the table.
fn is_new(sql: &Sql, table: Option<&str>) -> bool {
    let Some(table) = table else { return false };
    (0..sql.words().len()).any(|at| {
        let name = (at + 1..).find(|&next| !matches!(sql.text(next), "if" | "not" | "exists"));
        let created =
            at.checked_sub(1).is_some_and(|before| matches!(sql.text(before), "create" | "unlogged"));
        sql.is(at, "table") && created && name.is_some_and(|name| sql.is(name, table))
    })
}

#[cfg(test)]
mod tests;
