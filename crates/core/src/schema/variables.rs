//! The texts that settings are read from, each with its origin.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// Where a text came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// The environment of the process.
    Environment,
    /// A line of a file of variables.
    Line {
        /// The file's name, as it should be printed.
        file: String,
        /// From 1.
        line: usize,
    },
    /// The file that another variable names.
    FileNamedBy(String),
    /// The setting's default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("from the environment"),
            Self::Line { file, line } => write!(f, "from {file} line {line}"),
            Self::FileNamedBy(variable) => write!(f, "from the file named by {variable}"),
            Self::Default => f.write_str("from the default"),
        }
    }
}

impl Origin {
    /// What a rank lower outranks: the process decides over the file, and both over the default.
    pub const fn rank(&self) -> u8 {
        match self {
            Self::Environment | Self::FileNamedBy(_) => 0,
            Self::Line { .. } => 1,
            Self::Default => 2,
        }
    }
}

/// One text. `Debug` does not show it.
#[derive(Clone)]
pub struct Entry {
    /// `None`: it is not valid UTF-8.
    pub text: Option<String>,
    /// Where it came from.
    pub origin: Origin,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Texts by name. Empty texts are not kept: empty is unset.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    entries: BTreeMap<String, Entry>,
}

impl Variables {
    /// No variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a variable; what was there before is replaced. An empty text changes nothing.
    pub fn set(&mut self, name: impl Into<String>, entry: Entry) {
        if entry.text.as_deref() != Some("") {
            self.entries.insert(name.into(), entry);
        }
    }

    /// The text of this name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Takes a variable away.
    pub fn remove(&mut self, name: &str) -> Option<Entry> {
        self.entries.remove(name)
    }

    /// All names in order, each with its origin.
    pub fn names(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), &entry.origin))
    }
}
