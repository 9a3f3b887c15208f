//! What the program runs for.

use serde::Serialize;

use super::{Choice, Code, Field, Kind, Mistake, Reader, Schema, Setting, Variables, expected};

/// What the program runs for. Settings with `not_in_production` refuse their default in `production`.
///
/// It has one variable, `<PREFIX>_PROFILE` (`PROFILE` for programs without a prefix), wherever in the tree a field of
/// this type lies, and whether or not there is one. Not set means `development`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// A developer's machine.
    #[default]
    Development,
    /// An automatic test.
    Test,
    /// Anything that others rely on.
    Production,
}

pub(super) const CHOICES: &[Choice] = &[
    Choice { name: "development", doc: "A developer's machine." },
    Choice { name: "test", doc: "An automatic test." },
    Choice { name: "production", doc: "Anything that others rely on." },
];

impl Profile {
    /// The profile's variable in a program with this prefix.
    pub fn variable(prefix: &str) -> String {
        if prefix.is_empty() { "PROFILE".to_owned() } else { format!("{prefix}_PROFILE") }
    }

    /// `development`, `test` or `production`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Test => "test",
            Self::Production => "production",
        }
    }

    /// What the program should write, in words.
    pub fn expected() -> String {
        expected::words(Kind::Choice(CHOICES), &Field::new("profile", &Schema::Profile), false)
    }

    /// Reads the profile's variable.
    pub(super) fn find(variables: &Variables, prefix: &str) -> Result<Self, Mistake> {
        let name = Self::variable(prefix);
        let Some(entry) = variables.get(&name) else { return Ok(Self::default()) };
        let text = entry.text.as_deref().unwrap_or("\u{fffd}");
        [Self::Development, Self::Test, Self::Production]
            .into_iter()
            .find(|one| one.name() == text)
            .ok_or_else(|| {
                let message = format!("expected {}, found {}", Self::expected(), expected::found(text));
                Mistake::new(name, Code::WrongType, message).from(entry.origin.clone())
            })
    }
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Setting for Profile {
    const SCHEMA: &'static Schema = &Schema::Profile;

    fn read(reader: &mut Reader<'_>, _: &'static Field) -> Option<Self> {
        Some(reader.profile())
    }
}
