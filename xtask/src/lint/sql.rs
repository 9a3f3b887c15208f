//! The words of the SQL in a file: of a migration as a whole, or of each string in Rust that begins like a statement.

use std::ops::Range;

use super::source::{Kind, Source};

/// A string is SQL if it begins with one of these.
const STATEMENTS: [&str; 12] = [
    "select", "insert", "update", "delete", "merge", "with", "create", "alter", "drop", "truncate", "lock",
    "copy",
];

/// A word in lower case, with its dots, or a sign; and where it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) at: usize,
}

/// A statement, or all of a migration, as words.
pub(super) struct Sql(Vec<Token>);

/// The SQL of a file, none for a file of another kind. That of `bench` is its peers' business.
pub(super) fn of(source: &Source) -> Vec<Sql> {
    let strings = source.only(Kind::String);
    if source.path.ends_with(".sql") && !source.path.starts_with("bench/") {
        return vec![Sql(tokens(&strings, 0))];
    }
    if !source.is_rust_in(&["crates/", "examples/"]) {
        return Vec::new();
    }
    // A raw string has an `r` and signs before its quote.
    let texts = source.literals().filter_map(|at| Some((at.start + strings[at.clone()].find('"')?, at.end)));
    let found = texts.map(|(start, end)| Sql(tokens(&strings[start..end], start)));
    found.filter(|sql| STATEMENTS.contains(&sql.text(0))).collect()
}

/// Every string of a file of Rust: parts of statements begin like nothing.
pub(super) fn strings(source: &Source) -> Vec<Sql> {
    if !source.is_rust_in(&["crates/", "examples/"]) {
        return Vec::new();
    }
    let strings = source.only(Kind::String);
    source.literals().map(|place| Sql(tokens(&strings[place.clone()], place.start))).collect()
}

/// The SQL at this place of a file, whatever it begins with: a migration's text, or a string.
pub(super) fn within(source: &Source, place: Range<usize>) -> Sql {
    Sql(tokens(&source.only(Kind::String)[place.clone()], place.start))
}

impl Sql {
    pub(super) fn words(&self) -> &[Token] {
        &self.0
    }

    /// Empty beyond either end.
    pub(super) fn text(&self, at: usize) -> &str {
        self.0.get(at).map_or("", |word| &word.text)
    }

    pub(super) fn is(&self, at: usize, text: &str) -> bool {
        self.text(at) == text
    }

    /// Names that the SQL itself gives to what it has: `name as (..`, `name (a, b) as materialized (..`, `as name (a, b)`, and a trigger's
    /// `referencing old table as name`.
    pub(super) fn given_names(&self) -> impl Iterator<Item = &str> {
        (1..self.0.len()).filter(|&at| self.is(at, "as")).filter_map(|at| {
            let is_transition =
                at > 1 && self.is(at - 1, "table") && matches!(self.text(at - 2), "old" | "new");
            let is_alias = self.is(at + 2, "(") && !matches!(self.text(at + 1), "materialized" | "(");
            if is_transition || is_alias {
                return Some(self.text(at + 1));
            }
            let body = (at + 1..).find(|&next| !matches!(self.text(next), "not" | "materialized"))?;
            let name = if self.is(at - 1, ")") { self.opening(at - 1)?.checked_sub(1)? } else { at - 1 };
            self.is(body, "(").then(|| self.text(name))
        })
    }

    /// Where the parentheses open that the word at `at` stands in, or closes.
    pub(super) fn opening(&self, at: usize) -> Option<usize> {
        let mut depth = 0;
        (0..at).rev().find(|&place| {
            depth += i32::from(self.is(place, ")")) - i32::from(self.is(place, "("));
            depth < 0
        })
    }
}

/// Without comments, and without the texts in single quotes.
fn tokens(sql: &str, offset: usize) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let length = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(text) = rest.strip_prefix('\'') {
            text.find('\'').map_or(rest.len(), |end| end + 2)
        } else {
            rest.find(|c| !is_part_of_word(c)).unwrap_or(rest.len()).max(first.len_utf8())
        };
        let quoting =
            matches!(first, '\'' | '"' | '\\' | '#') || first.is_whitespace() || rest.starts_with("--");
        if !quoting {
            tokens.push(Token { text: rest[..length].to_ascii_lowercase(), at: offset + at });
        }
        at += length;
    }
    tokens
}

/// Also the braces of a placeholder, `{name}_item`, and the dollar of a parameter.
fn is_part_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '{' | '}' | '$')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(path: &str, text: &str) -> Vec<Vec<String>> {
        let found = of(&Source::new(path, text));
        found.into_iter().map(|sql| sql.0.into_iter().map(|word| word.text).collect()).collect()
    }

    #[test]
    fn a_string_that_begins_like_a_statement_is_sql() {
        let code = "f(\"selected\", \"a select\", \"\n  Select $1, a.b\\\n -- c\n from {t}_x where s = 'it''s; d'\");";
        let expected = ["select", "$1", ",", "a.b", "from", "{t}_x", "where", "s", "="];
        assert_eq!(texts("crates/db/src/a.rs", code), [expected]);
        assert_eq!(texts("crates/db/src/a.rs", "r#\"select 1\"#"), [["select", "1"]]);
        assert!(texts("xtask/src/a.rs", code).is_empty());
    }

    #[test]
    fn a_migration_is_sql_as_a_whole() {
        assert_eq!(
            texts("crates/db/migrations/0001_a.sql", "do $$ x(); -- y"),
            [["do", "$$", "x", "(", ")", ";"]]
        );
    }

    #[test]
    fn a_token_knows_its_place_in_the_file() {
        let found = of(&Source::new("crates/db/src/a.rs", "é(\"select 1\")"));
        assert_eq!(found[0].words()[1], Token { text: "1".to_owned(), at: 11 });
    }

    #[test]
    fn names_that_a_statement_gives_are_known() {
        let code = "\"with x as (select 1), y (a) as not materialized (select 2), w (a) as ((select 3) union select 4) \
                    select a from f() as z (a), b.c as d\"";
        let found = of(&Source::new("crates/db/src/a.rs", code));
        assert_eq!(found[0].given_names().collect::<Vec<_>>(), ["x", "y", "w", "z"]);
    }
}
