//! What operators' commands have in common: the words and options of a command line, and tables as answers.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::Write;
use std::process::ExitCode;
use std::str::FromStr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Why a command line was not understood, for whoever typed it.
#[derive(Debug)]
pub struct Misread(String);

impl Misread {
    /// For this reason.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a command came to nothing.
#[derive(Debug)]
pub enum Ended<E> {
    /// It was not understood.
    Misread(Misread),
    /// It failed.
    Failed(E),
}

impl<E> From<Misread> for Ended<E> {
    fn from(why: Misread) -> Self {
        Self::Misread(why)
    }
}

impl<E: std::error::Error> From<E> for Ended<E> {
    fn from(error: E) -> Self {
        Self::Failed(error)
    }
}

/// What a command says, and its exit code.
pub type Answer<E> = Result<(String, u8), Ended<E>>;

/// It is done: this is said.
///
/// # Errors
/// Never: it is an answer.
pub fn said<E>(text: impl Into<String>) -> Answer<E> {
    Ok((text.into(), 0))
}

/// It is done, or what was named is not there, which is the exit code 1.
///
/// # Errors
/// Never: it is an answer.
pub fn done<E>(found: bool, what: &str) -> Answer<E> {
    Ok(if found { (format!("{what}\n"), 0) } else { ("there is none of this name\n".to_owned(), 1) })
}

/// Writes an answer to standard output, and an error to standard error, with the `usage` where the line was not understood. An error is the
/// exit code 2.
pub fn exit<E: fmt::Display>(answer: Answer<E>, usage: &str) -> ExitCode {
    let written = match answer {
        Ok((text, code)) => write!(std::io::stdout(), "{text}").map(|()| code),
        Err(Ended::Misread(why)) => write!(std::io::stderr(), "{why}\n\n{usage}").map(|()| 2),
        Err(Ended::Failed(error)) => writeln!(std::io::stderr(), "{error}").map(|()| 2),
    };
    ExitCode::from(written.unwrap_or(2))
}

/// The text as a value, or `None` where it is none.
pub fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// What of a command line is not taken yet: each command takes what it knows, and what is left over was a mistake.
#[derive(Debug)]
pub struct Options<'a> {
    words: VecDeque<&'a str>,
    /// Flags have an empty value.
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Options<'a> {
    /// Words, options with a value (`--most 7` or `--most=7`), and `flags`, which stand alone. A value that begins with `--` takes the
    /// second form: in the first, an option whose value was forgotten would take the flag behind it for one.
    ///
    /// # Errors
    /// [`Misread`] for an option without its value, a flag with one, or one of them that comes twice.
    pub fn read(args: &'a [String], flags: &[&str]) -> Result<Self, Misread> {
        let mut read = Self { words: VecDeque::new(), options: BTreeMap::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let Some(option) = arg.strip_prefix("--") else {
                read.words.push_back(arg);
                continue;
            };
            let (name, joined) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (option, None),
            };
            let value = match (flags.contains(&name), joined) {
                (true, Some(_)) => return Err(Misread(format!("--{name} takes no value"))),
                (true, None) => "",
                (false, Some(value)) => value,
                (false, None) => args
                    .next()
                    .filter(|next| !next.starts_with("--"))
                    .ok_or_else(|| Misread(format!("--{name} needs a value")))?,
            };
            if read.options.insert(name, value).is_some() {
                return Err(Misread(format!("--{name} comes twice")));
            }
        }
        Ok(read)
    }

    /// The next word.
    ///
    /// # Errors
    /// [`Misread`], with what was expected, where there is none.
    pub fn word(&mut self, expected: &str) -> Result<&'a str, Misread> {
        self.words.pop_front().ok_or_else(|| Misread(format!("expected {expected}")))
    }

    /// The next word, as what `read` makes of it.
    ///
    /// # Errors
    /// [`Misread`], with what was expected, where there is none, or it is something else.
    pub fn next<T>(&mut self, expected: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, Misread> {
        read(self.word(expected)?).ok_or_else(|| Misread(format!("expected {expected}")))
    }

    /// The option of this name, if it is there.
    pub fn text(&mut self, name: &str) -> Option<&'a str> {
        self.options.remove(name)
    }

    /// The same, as what `read` makes of it.
    ///
    /// # Errors
    /// [`Misread`], with what was expected, where it is something else.
    pub fn value<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Misread> {
        let Some(text) = self.text(name) else { return Ok(None) };
        read(text).map(Some).ok_or_else(|| Misread(format!("--{name}: expected {expected}")))
    }

    /// Whether an option that stands alone is there.
    pub fn flag(&mut self, name: &str) -> bool {
        self.options.remove(name).is_some()
    }

    /// Nothing is left over.
    ///
    /// # Errors
    /// [`Misread`], with the first that is.
    pub fn end(self) -> Result<(), Misread> {
        match (self.words.front(), self.options.keys().next()) {
            (Some(word), _) => Err(Misread(format!("`{word}` was not expected"))),
            (None, Some(name)) => Err(Misread(format!("--{name} does not belong to this command"))),
            (None, None) => Ok(()),
        }
    }
}

/// A table with a line for each row, whose cells are [`plain`].
pub fn columns<const N: usize>(header: &[&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let header = header.map(str::to_owned);
    let rows: Vec<[String; N]> =
        std::iter::once(header).chain(rows.map(|row| row.map(|cell| plain(&cell)))).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// What is known of one thing, a line each.
pub fn lines<const N: usize>(lines: [(&str, Option<String>); N]) -> String {
    let known = lines.into_iter().filter_map(|(name, value)| Some(format!("{name:9} {}\n", plain(&value?))));
    known.collect()
}

/// The text without what a terminal would obey: reasons, notes and keys are others' words.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A cell for what there is none of.
pub fn none() -> String {
    "-".to_owned()
}

/// A time to the second, such as `2026-01-31T12:00:00Z`.
pub fn date(moment: OffsetDateTime) -> String {
    let whole = moment.replace_nanosecond(0).unwrap_or(moment);
    whole.format(&Rfc3339).unwrap_or_else(|_| none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_command_takes_its_words_and_options() {
        let line = args("pause mail --most 7 --why=--all --all");
        let mut options = Options::read(&line, &["all"]).unwrap();
        assert_eq!(options.text("why"), Some("--all"));
        assert_eq!(options.word("a command").unwrap(), "pause");
        assert_eq!(options.next("a queue", |name| Some(name.len())).unwrap(), 4);
        assert_eq!(options.value("most", "a number", parsed).unwrap(), Some(7));
        assert_eq!((options.flag("all"), options.flag("none")), (true, false));
        options.end().unwrap();
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let why = |line: &str| {
            let line = args(line);
            let read = Options::read(&line, &["all"]).and_then(|mut options| {
                options.word("a command")?;
                options.value("most", "a number", parsed::<u32>)?;
                options.end()
            });
            read.unwrap_err().to_string()
        };
        assert_eq!(why("list --most"), "--most needs a value");
        assert_eq!(why("list --most --all"), "--most needs a value");
        assert_eq!(why("list --all=1"), "--all takes no value");
        assert_eq!(why("list --most 1 --most 2"), "--most comes twice");
        assert_eq!(why("list --most many"), "--most: expected a number");
        assert_eq!(why("list all"), "`all` was not expected");
        assert_eq!(why("list --who me"), "--who does not belong to this command");
        assert_eq!(why("--most 1"), "expected a command");
    }

    #[test]
    fn an_answer_has_its_exit_code() {
        type Said = Answer<fmt::Error>;
        let code = |answer: Said| exit(answer, "usage: nothing\n");
        let is = |answer: Said, expected: u8| code(answer) == ExitCode::from(expected);
        assert!(is(said(""), 0) && is(done(true, "paused"), 0) && is(done(false, "paused"), 1));
        assert!(is(Err(Misread::new("no command").into()), 2) && is(Err(fmt::Error.into()), 2));
    }

    #[test]
    fn a_table_is_as_wide_as_its_cells_and_steers_no_terminal() {
        let rows = [["a".to_owned(), "x\u{1b}[2J".to_owned()], ["long".to_owned(), String::new()]];
        assert_eq!(columns(&["key", "why"], rows.into_iter()), "key   why\na     x [2J\nlong\n");
        assert_eq!(lines([("key", Some("a\nb".to_owned())), ("why", None)]), "key       a b\n");
    }
}
