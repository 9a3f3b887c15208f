//! The files of the workspace, and what in a Rust file is code, comment or string.

use std::ops::Range;
use std::path::Path;

use super::Finding;
use crate::command::Result;

const EXTENSIONS: [&str; 13] =
    ["rs", "sql", "md", "toml", "txt", "sh", "yml", "yaml", "json", "html", "css", "js", "py"];

/// A file of the workspace. Its path is relative to the root, with slashes.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
    kinds: Vec<Kind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Code,
    Comment,
    String,
}

impl Source {
    pub(super) fn new(path: impl Into<String>, text: impl Into<String>) -> Source {
        let (path, text) = (path.into(), text.into());
        let kinds = match path.rsplit('.').next() {
            Some("rs") => rust(text.as_bytes()),
            Some("sql") => sql(&text),
            _ => vec![Kind::Code; text.len()],
        };
        Source { path, text, kinds }
    }

    /// The text with everything of another kind blanked out, byte for byte, so that offsets and lines stay true.
    pub(super) fn only(&self, kind: Kind) -> String {
        let blank = |(byte, at): (u8, &Kind)| if *at == kind || byte == b'\n' { byte } else { b' ' };
        let bytes: Vec<u8> = self.text.bytes().zip(&self.kinds).map(blank).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Where its strings are, one by one, quotes included.
    pub(super) fn literals(&self) -> impl Iterator<Item = Range<usize>> {
        let mut at = 0;
        let runs = self.kinds.chunk_by(|a, b| (*a == Kind::String) == (*b == Kind::String));
        let places = runs.map(move |run| {
            at += run.len();
            (run[0] == Kind::String, at - run.len()..at)
        });
        places.filter(|(is_string, _)| *is_string).map(|(_, place)| place)
    }

    pub(super) fn finding(&self, offset: usize, message: impl Into<String>) -> Finding {
        let line = self.text.as_bytes()[..offset].iter().filter(|&&byte| byte == b'\n').count() + 1;
        Finding { path: self.path.clone(), line, message: message.into() }
    }

    /// Where tests begin: in a file of tests at once, in any other with the `#[cfg(test)]` module that stands in it. One that
    /// has a file of its own, `mod tests;`, ends nothing.
    pub(super) fn tests_start(&self, code: &str) -> usize {
        if self.path.contains("/tests/") || self.path.ends_with("/tests.rs") {
            return 0;
        }
        let module = |&(at, attribute): &(usize, &str)| {
            let item = code[at + attribute.len()..].trim_start();
            item.starts_with("mod ") && item.find(['{', ';']).is_some_and(|end| item[end..].starts_with('{'))
        };
        code.match_indices("#[cfg(test)]").find(module).map_or(code.len(), |(at, _)| at)
    }

    pub(super) fn is_rust_in(&self, directories: &[&str]) -> bool {
        self.path.ends_with(".rs") && directories.iter().any(|directory| self.path.starts_with(directory))
    }
}

/// Every text file under the root that is not built. A file that is not UTF-8 is not source.
pub(super) fn read(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    walk(root, "", &mut sources)?;
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

fn walk(directory: &Path, prefix: &str, sources: &mut Vec<Source>) -> Result {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            if !matches!(name.as_str(), "target" | ".git") {
                walk(&entry.path(), &format!("{path}/"), sources)?;
            }
        } else if (EXTENSIONS.contains(&name.rsplit('.').next().unwrap_or_default()) || path == ".ci/run")
            && let Ok(text) = std::fs::read_to_string(entry.path())
        {
            sources.push(Source::new(path, text));
        }
    }
    Ok(())
}

/// The offsets of a word in code: not where it is only a part of a longer name.
pub(super) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let bytes = code.as_bytes();
        !part(at.checked_sub(1).and_then(|before| bytes.get(before))) && !part(bytes.get(at + word.len()))
    })
}

fn sql(text: &str) -> Vec<Kind> {
    let mut kinds = Vec::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let comment = line.find("--").unwrap_or(line.len());
        kinds.extend(std::iter::repeat_n(Kind::String, comment));
        kinds.extend(std::iter::repeat_n(Kind::Comment, line.len() - comment));
    }
    kinds
}

fn rust(text: &[u8]) -> Vec<Kind> {
    let mut kinds = Vec::with_capacity(text.len());
    while kinds.len() < text.len() {
        let (kind, length) = token(text, kinds.len());
        let length = length.clamp(1, text.len() - kinds.len());
        kinds.extend(std::iter::repeat_n(kind, length));
    }
    kinds
}

/// The kind and the length of what begins at an offset: a whole comment or literal, or one byte of code.
fn token(text: &[u8], at: usize) -> (Kind, usize) {
    let rest = &text[at..];
    match rest {
        [b'/', b'/', ..] => (Kind::Comment, find(rest, b"\n").unwrap_or(rest.len())),
        [b'/', b'*', ..] => (Kind::Comment, block_comment(rest)),
        [b'"', ..] => (Kind::String, quoted(rest, b'"')),
        [b'r', ..] => raw_string(text, at).map_or((Kind::Code, 1), |length| (Kind::String, length)),
        // A character, and not a lifetime: those have no closing quote.
        [b'\'', b'\\', ..] => (Kind::String, quoted(rest, b'\'')),
        [b'\'', other, ..] => {
            let width = other.leading_ones().max(1) as usize;
            if rest.get(1 + width) == Some(&b'\'') { (Kind::String, 2 + width) } else { (Kind::Code, 1) }
        }
        _ => (Kind::Code, 1),
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// The length of `r"..."` or `r#"..."#`; none if this `r` belongs to a name, a raw one included.
fn raw_string(text: &[u8], at: usize) -> Option<usize> {
    let before =
        text[..at].iter().rev().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    if !matches!(&text[at - before..at], b"" | b"b" | b"c") {
        return None;
    }
    let rest = &text[at + 1..];
    let hashes = rest.iter().take_while(|&&byte| byte == b'#').count();
    if rest.get(hashes) != Some(&b'"') {
        return None;
    }
    let open = 1 + hashes + 1;
    let close = [b"\"", &rest[..hashes]].concat();
    Some(find(&text[at + open..], &close).map_or(text.len(), |length| open + length + close.len()))
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str, kind: Kind) -> String {
        Source::new("a.rs", text).only(kind).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn code_is_what_is_neither_comment_nor_string() {
        let text = "a // b\n/* c /* d */ e */ f(\"g \\\" // h\") + r#\"i \" j\"# + br\"k\" + 'l' + '\\'' + '…' m<'n>";
        assert_eq!(only(text, Kind::Code), "a f( ) + + b + + + m<'n>");
        assert_eq!(only(text, Kind::Comment), "// b /* c /* d */ e */");
        assert_eq!(only(text, Kind::String), "\"g \\\" // h\" r#\"i \" j\"# r\"k\" 'l' '\\'' '…'");
    }

    #[test]
    fn names_that_end_in_r_or_begin_with_it_open_no_string() {
        assert_eq!(only("for \"x\" r#type", Kind::Code), "for r#type");
        assert_eq!(only("let var\"unclosed", Kind::Code), "let var");
    }

    #[test]
    fn in_sql_only_comments_are_comments() {
        let source = Source::new("0001_a.sql", "select 1; -- why\nselect 2;");
        assert_eq!(source.only(Kind::Comment).trim(), "-- why");
        assert!(source.only(Kind::String).contains("select 2;"));
    }

    #[test]
    fn tests_begin_with_the_module_that_stands_in_the_file() {
        let start = |path: &str, text: &str| Source::new(path, "").tests_start(text);
        assert_eq!(start("src/a.rs", "fn a() {} #[cfg(test)] mod tests { fn b() {} }"), 10);
        assert_eq!(start("src/a.rs", "#[cfg(test)]\nmod tests;\nfn a() {}"), 33);
        assert_eq!(start("src/a.rs", "#[cfg(test)] mod tests; fn a() {} #[cfg(test)] mod more {}"), 34);
        assert_eq!(start("src/a.rs", "#[cfg(test)] use super::a; fn a() {}"), 36);
        assert_eq!(start("src/a/tests.rs", "fn a() {}"), 0);
        assert_eq!(start("tests/it/a.rs", "fn a() {}"), 9);
    }

    #[test]
    fn a_finding_names_its_line() {
        let source = Source::new("a.rs", "one\ntwo\nthree");
        assert_eq!(source.finding(4, "").line, 2);
    }

    #[test]
    fn a_word_is_not_a_part_of_a_name() {
        assert_eq!(words("respawn spawn_all spawn()", "spawn").collect::<Vec<_>>(), [18]);
    }
}
