//! Settings that describe themselves: one trait for values and groups, one static tree per program.
//!
//! A struct that derives [`Config`](crate::Config) is a group of settings. Its fields are values, or groups of other crates: the
//! library owns its settings, the program nests them, and one report and one `.env.example` cover all.
//!
//! ```
//! use std::time::Duration;
//! use shared_core::{Config, schema::from_pairs};
//!
//! #[derive(Config)]
//! #[config(prefix = "NOTES")]
//! struct Settings {
//!     /// How long a request may take.
//!     #[config(default = "30s", min = "1s", max = "5m")]
//!     deadline: Duration,
//!     db: Pool,
//! }
//!
//! #[derive(Config)]
//! struct Pool {
//!     /// Connections at most.
//!     #[config(default = 10, min = 1, max = 1000)]
//!     size: u32,
//! }
//!
//! let settings: Settings = from_pairs([("NOTES_DB_SIZE", "20")])?;
//! assert_eq!((settings.db.size, settings.deadline), (20, Duration::from_secs(30)));
//!
//! let mistakes = from_pairs::<Settings>([("NOTES_DB_SIZE", "many"), ("NOTES_DEADLINE", "1h")]).err().unwrap();
//! assert_eq!(mistakes[0].message, "expected a duration from 1s to 5m, found 2 characters");
//! assert_eq!(mistakes[1].message, "expected an integer from 1 to 1000, found 4 letters");
//! # Ok::<(), Vec<shared_core::schema::Mistake>>(())
//! ```
//!
//! # Names
//! A value's variable is the prefix of the outermost struct and the path of fields, in capitals: `NOTES_DB_SIZE`.
//! A prefix of a nested struct does not count. `env` gives a field a name of its own that ignores where it is nested.
//!
//! # Attributes of a field
//! The doc comment is the description. All attributes stand in `#[config(..)]`:
//!
//! | attribute | meaning |
//! |---|---|
//! | `default = "30s"` | what holds while nothing is set; the text is read as the environment's would be |
//! | `min = "1s"`, `max = 1000` | bounds of integers, numbers and durations, both inclusive |
//! | `env = "DATABASE_URL"` | an absolute name; on a group: the prefix of everything in it |
//! | `alias = "PORT"` | a second, absolute name; both may be set if they agree |
//! | `url("postgres", "postgresql")` | the text is a URL with one of these schemes |
//! | `parse = "a log filter"` | read a foreign type through its `FromStr`; the words say what is expected |
//! | `expected = "a region"` | replaces the words that say what is expected |
//! | `hint = "run ..."` | what to do about a missing value |
//! | `secret` | holds a secret though its type is not [`Secret`](crate::Secret): the default is not shown |
//! | `not_in_production = "the development key"` | profile `production` refuses the default; the words name it |
//!
//! `#[validate(..)]` attributes of the `validator` crate (`range`, `length` and `url` with literal arguments) are part
//! of the schema too, and the struct's other rules run once all its fields could be read.
//!
//! # Empty is unset
//! A variable with an empty text counts as not set, everywhere. Values are never printed.
//!
//! # Types
//! `bool`, integers, `f32`, `f64`, `char`, `String`, [`Secret`](crate::Secret), `Duration`, `IpAddr`, `SocketAddr`,
//! `PathBuf`, `Uuid`, [`Profile`], enums of unit variants that derive [`Config`](crate::Config), `Vec` of these (separated by commas)
//! and `Option` of all, groups included. For a type of your own write [`setting!`](crate::setting).
//!
//! ```
//! # use shared_core::Config;
//! # use std::num::NonZeroU8;
//! #[derive(Config)]
//! struct Settings {
//!     #[config(parse = "an integer from 1 to 255")]
//!     shards: NonZeroU8,
//! }
//! ```
//!
//! A foreign type needs `parse`; without it the compiler says "`NonZeroU8` can't be read as a setting":
//!
//! ```compile_fail,E0277
//! # use shared_core::Config;
//! # use std::num::NonZeroU8;
//! #[derive(Config)]
//! struct Settings {
//!     shards: NonZeroU8,
//! }
//! ```

use std::any::{Any, TypeId};

mod compound;
mod duration;
mod expected;
mod mistake;
mod profile;
mod reader;
mod tree;
mod validated;
mod value;
mod variables;

pub use mistake::{Code, Mistake};
pub use profile::Profile;
pub use reader::{Reader, Reading, from_pairs, read};
#[doc(hidden)]
pub use tree::assert_sound;
pub use tree::{Choice, Field, Group, Kind, Schema, Variable};
pub use value::{Parsed, Value};
pub use variables::{Entry, Origin, Variables};

/// What can be a field of a struct that derives [`Config`](crate::Config): a value, a list, an optional one, or a group.
///
/// Derive it for structs and enums; for a value of your own implement [`Value`] or write
/// [`setting!`](crate::setting).
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be read as a setting",
    label = "not a setting",
    note = "a group of settings or an enum: `#[derive(Config)]` on `{Self}`",
    note = "a type of yours that is `FromStr`: `setting!({Self}, \"a port from 1 to 65535\");`",
    note = "another crate's type that is `FromStr`: `#[config(parse = \"what is expected\")]` on the field"
)]
pub trait Setting: Sized + 'static {
    /// What the setting is, for reports and generated documentation.
    const SCHEMA: &'static Schema;

    /// Reads the setting. `None`: the reader has noted why not.
    fn read(reader: &mut Reader<'_>, field: &'static Field) -> Option<Self>;

    /// The group of this type, which may be the whole or a part at any depth: how a program's framework finds the
    /// settings of the libraries that it starts. Values have no parts.
    fn part(&self, of: TypeId) -> Option<&dyn Any> {
        let _ = of;
        None
    }
}
