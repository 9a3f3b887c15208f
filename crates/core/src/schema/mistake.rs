//! What is wrong with one variable, without its value.

use std::fmt;

use serde::Serialize;

use super::Origin;

/// One thing that is wrong with the environment. It never holds a value, so it may be printed and logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Mistake {
    /// The variable.
    pub name: String,
    /// What kind of mistake it is.
    pub code: Code,
    /// What is expected and what was found, in words.
    pub message: String,
    /// Where the text came from, if there was one.
    pub origin: Option<Origin>,
    /// What to do.
    pub hint: Option<String>,
}

/// Kinds of mistakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Code {
    /// Required and not set.
    Missing,
    /// The text can't be read as the declared type.
    WrongType,
    /// Readable, but beyond the declared bounds or length.
    OutOfRange,
    /// A rule of the struct refuses it.
    Invalid,
    /// No setting has this name.
    UnknownName,
    /// A default that this profile refuses.
    Refused,
    /// Given twice, differently.
    Conflict,
    /// Not valid UTF-8.
    NotUtf8,
    /// A file that should hold it can't be read.
    Unreadable,
    /// The program declares its settings wrongly.
    Declaration,
}

impl Mistake {
    /// A mistake of this kind; `message` must not hold any part of a value.
    pub fn new(name: impl Into<String>, code: Code, message: impl Into<String>) -> Self {
        Self { name: name.into(), code, message: message.into(), origin: None, hint: None }
    }

    /// Says where the text came from.
    #[must_use]
    pub fn from(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Where the text came from and what to do: the end of a line of the report.
    pub fn aside(&self) -> String {
        match (&self.origin, &self.hint) {
            (Some(origin), Some(hint)) => format!("{origin}; {hint}"),
            (Some(origin), None) => origin.to_string(),
            (None, Some(hint)) => hint.clone(),
            (None, None) => String::new(),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)?;
        match self.aside() {
            aside if aside.is_empty() => Ok(()),
            aside => write!(f, " ({aside})"),
        }
    }
}
