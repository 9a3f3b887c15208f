//! A wrong environment never starts, and says everything that is wrong at once.
//!
//! A program declares its settings as a struct; [`load`] reads them from the environment, and from a `.env` file during
//! development. The struct is made with the derive of `shared-core`, and the settings of libraries nest in it.
//!
//! ```
//! use std::net::SocketAddr;
//! use shared_config::Loader;
//! use shared_core::{Config, Secret};
//!
//! /// Settings of this service.
//! #[derive(Config)]
//! #[config(prefix = "NOTES")]
//! struct Settings {
//!     /// Where the public API listens.
//!     #[config(alias = "PORT", default = "127.0.0.1:8080")]
//!     listen: SocketAddr,
//!     db: Database,
//! }
//!
//! /// Settings of a library, which every program nests where it likes.
//! #[derive(Config)]
//! struct Database {
//!     /// The database.
//!     #[config(env = "DATABASE_URL", url("postgres"))]
//!     url: Secret,
//!     /// Connections at most.
//!     #[config(default = 10, min = 1, max = 1000)]
//!     pool_size: u32,
//! }
//!
//! // `shared_config::load::<Settings>()` in a program; in a test:
//! let loaded = Loader::new("notes").vars([("DATABASE_URL", "postgres://localhost/notes"), ("PORT", "80")]);
//! let settings: Settings = loaded.load()?.settings;
//! assert_eq!((settings.listen.port(), settings.db.pool_size), (80, 10));
//! assert!(settings.db.url.expose().starts_with("postgres://"));
//!
//! let wrong = Loader::new("notes").vars([("NOTES_DB_POOL_SIZE", "many")]).load::<Settings>();
//! assert_eq!(wrong.err().unwrap().to_string(), "\
//! notes cannot start: 2 problems in its configuration
//!
//!   DATABASE_URL        missing; expected a postgres:// URL                  set it
//!   NOTES_DB_POOL_SIZE  expected an integer from 1 to 1000, found 4 letters  from the environment
//! ");
//! # Ok::<(), shared_config::Report>(())
//! ```
//!
//! # The ideas
//! - **One schema.** The struct is the description: it reads the environment, words the [`Report`], and writes
//!   [`env_example`] and [`markdown`]. [`shared_core::schema`] has the types and the attributes.
//! - **Everything at once.** Every field of every group is read before anything fails.
//! - **Values are never shown**, neither in a report nor in a log: what was found is counted, not quoted.
//! - **The source is named**: the environment, a line of `.env`, the file of a secret, the default.
//!
//! # Where texts come from
//! The process outranks `.env`, and `.env` the defaults. An empty text is no text. For a secret `DATABASE_URL`, the
//! variable `DATABASE_URL_FILE` may name a file that holds it, as mounted secrets do; one final line break does not
//! count. `.env` is read from the working directory; nothing in it is expanded.
//!
//! # The profile
//! `NOTES_PROFILE` is `development` (the default), `test` or `production`. Production refuses defaults that are marked
//! `not_in_production`. A program learns its profile from [`Loaded`] or from a field of type
//! [`Profile`].
//!
//! # Names
//! A name with the program's prefix that no setting has is a problem if it is close to a setting's name, and a warning
//! otherwise, in every profile: a release that is rolled back must start with the newer release's environment. What
//! Kubernetes sets for services is ignored; a setting whose name Kubernetes would set does not load anywhere.
//!
//! # What is not guaranteed
//! Rules of `#[validate(..)]` that are not part of the schema run when all fields of their struct could be read, so
//! theirs can be a second report. Nothing is read again while the program runs.
//!
//! # Errors
//! [`Report`] is the only one. Print it to standard error, and exit with [`Report::EXIT_CODE`], 78.

mod declaration;
mod documentation;
mod dotenv;
mod kubernetes;
mod loader;
mod report;
mod secret_file;
mod table;
mod unknown;

pub use documentation::{env_example, markdown};
pub use loader::{Loaded, Loader, load};
pub use report::Report;
pub use shared_core::schema::Profile;
