//! Words and options of a command line. Each command takes what it knows; what is left over was a mistake.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// Options that stand alone.
const FLAGS: [&str; 3] = ["all", "keys", "until-now"];

/// Why a command line was not understood.
#[derive(Debug)]
pub(super) struct Misread(String);

impl Misread {
    pub(super) fn new(why: String) -> Self {
        Self(why)
    }
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What of a command line is not taken yet.
#[derive(Default)]
pub(super) struct Options<'a> {
    words: VecDeque<&'a str>,
    /// Flags have an empty value.
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Options<'a> {
    pub(super) fn read(args: &'a [String]) -> Result<Self, Misread> {
        let mut read = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let Some(name) = arg.strip_prefix("--") else {
                read.words.push_back(arg);
                continue;
            };
            let value = match FLAGS.contains(&name) {
                true => "",
                false => args.next().ok_or_else(|| Misread(format!("--{name} needs a value")))?,
            };
            if read.options.insert(name, value).is_some() {
                return Err(Misread(format!("--{name} comes twice")));
            }
        }
        Ok(read)
    }

    /// The next word.
    pub(super) fn word(&mut self, expected: &str) -> Result<&'a str, Misread> {
        self.words.pop_front().ok_or_else(|| Misread(format!("expected {expected}")))
    }

    /// The next word, read.
    pub(super) fn value_of<T>(
        &mut self,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, Misread> {
        read(self.word(expected)?).ok_or_else(|| Misread(format!("expected {expected}")))
    }

    /// The option of this name, if it is there.
    pub(super) fn text(&mut self, name: &str) -> Option<&'a str> {
        self.options.remove(name)
    }

    /// The same, read.
    pub(super) fn value<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Misread> {
        let Some(text) = self.text(name) else { return Ok(None) };
        read(text).map(Some).ok_or_else(|| Misread(format!("--{name}: expected {expected}")))
    }

    /// Whether an option that stands alone is there.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        self.options.remove(name).is_some()
    }

    /// Nothing is left over.
    pub(super) fn end(self) -> Result<(), Misread> {
        match (self.words.front(), self.options.keys().next()) {
            (Some(word), _) => Err(Misread(format!("`{word}` was not expected"))),
            (None, Some(name)) => Err(Misread(format!("--{name} does not belong to this command"))),
            (None, None) => Ok(()),
        }
    }
}
