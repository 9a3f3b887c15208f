//! Reads the text of a `.env` file, with the line of each variable.

/// One variable of the file.
#[derive(PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Assignment {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A line that can't be read, and why. It does not hold the line, which may be half of a secret.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) line: usize,
    pub(crate) why: &'static str,
}

/// Reads `NAME=text` lines. `export` may stand before a name; `#` at the start of a line or after white space begins a
/// comment; `'..'` is taken as it is; in `".."` there are `\n`, `\t`, `\"`, `\\` and `\$`; quoted texts may have several
/// lines. `$NAME` stands for itself: nothing is expanded, because a password may well contain it.
pub(crate) fn parse(text: &str) -> (Vec<Assignment>, Vec<Unreadable>) {
    let (mut assignments, mut unreadable) = (Vec::new(), Vec::new());
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 1;
    while !rest.is_empty() {
        let (result, after) = statement(rest);
        match result {
            Ok(Some((name, text))) => assignments.push(Assignment { name, text, line }),
            Ok(None) => {}
            Err(why) => unreadable.push(Unreadable { line, why }),
        }
        line += rest[..rest.len() - after.len()].matches('\n').count();
        rest = after;
    }
    (assignments, unreadable)
}

type Statement = Result<Option<(String, String)>, &'static str>;

/// Reads one statement; returns what follows it.
fn statement(text: &str) -> (Statement, &str) {
    let (line, after) = text.split_once('\n').unwrap_or((text, ""));
    let trimmed = line.trim();
    if trimmed.is_empty() || trimmed.starts_with('#') {
        return (Ok(None), after);
    }
    let Some((name, _)) = line.split_once('=') else { return (Err("expected NAME=text"), after) };
    let value = text[name.len() + 1..].trim_start_matches([' ', '\t']);
    let name = name.trim();
    let name = name.strip_prefix("export ").unwrap_or(name).trim();
    if !is_name(name) {
        return (Err("expected NAME=text"), after);
    }
    let (value, after) = match value.chars().next() {
        Some('\'') => quoted(&value[1..], '\''),
        Some('"') => quoted(&value[1..], '"'),
        _ => (Ok(unquoted(value.split('\n').next().unwrap_or_default())), after),
    };
    (value.map(|value| Some((name.to_owned(), value))), after)
}

fn is_name(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.' || c == '-';
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(word)
}

fn unquoted(text: &str) -> String {
    let comment =
        text.char_indices().find(|&(i, c)| c == '#' && (i == 0 || text[..i].ends_with([' ', '\t'])));
    text[..comment.map_or(text.len(), |(i, _)| i)].trim().to_owned()
}

/// Reads up to the closing quote, and then only white space or a comment to the end of the line.
fn quoted(text: &str, quote: char) -> (Result<String, &'static str>, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            c if c == quote => {
                let (tail, after) = text[i + 1..].split_once('\n').unwrap_or((&text[i + 1..], ""));
                let clean = tail.trim().is_empty() || tail.trim().starts_with('#');
                return (if clean { Ok(value) } else { Err("text after a closing quote") }, after);
            }
            '\\' if quote == '"' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, c @ ('"' | '\\' | '$'))) => value.push(c),
                Some((_, c)) => value.extend(['\\', c]),
                None => {}
            },
            c => value.push(c),
        }
    }
    (Err("a quote that is never closed"), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(file: &str) -> Vec<(String, String, usize)> {
        let (assignments, unreadable) = parse(file);
        assert_eq!(unreadable, []);
        assignments.into_iter().map(|one| (one.name, one.text, one.line)).collect()
    }

    #[track_caller]
    fn check(file: &str, expected: &[(&str, &str, usize)]) {
        let expected: Vec<_> =
            expected.iter().map(|(n, t, l)| ((*n).to_owned(), (*t).to_owned(), *l)).collect();
        assert_eq!(texts(file), expected);
    }

    #[test]
    fn comments_blank_lines_and_export_are_understood() {
        check(
            "# first\n\nA=1\r\nexport B = two words # why\nC=a#b\nD=\nE= # nothing",
            &[("A", "1", 3), ("B", "two words", 4), ("C", "a#b", 5), ("D", "", 6), ("E", "", 7)],
        );
    }

    #[test]
    fn quotes_keep_what_they_hold() {
        check(
            "A='a # \\n $B' # comment\nB=\"x\\ny \\\"q\\\" \\\\ \\$\\d\"\nC=\"two\nlines\"\nD=end",
            &[
                ("A", "a # \\n $B", 1),
                ("B", "x\ny \"q\" \\ $\\d", 2),
                ("C", "two\nlines", 3),
                ("D", "end", 5),
            ],
        );
    }

    #[test]
    fn what_cannot_be_read_is_named_by_line_alone() {
        let (assignments, unreadable) = parse("hello\nA=1\n9=x\nB='x' y\nC=\"open\nmore");
        assert_eq!(assignments.len(), 1);
        let lines: Vec<_> = unreadable.iter().map(|one| (one.line, one.why)).collect();
        assert_eq!(
            lines,
            [
                (1, "expected NAME=text"),
                (3, "expected NAME=text"),
                (4, "text after a closing quote"),
                (5, "a quote that is never closed")
            ]
        );
    }
}
