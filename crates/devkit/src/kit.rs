//! What a test needs, in one line.

mod logs;

use std::error::Error as StdError;
use std::fmt;
use std::time::SystemTime;

use shared_core::{Clock, TenantId};
use time::OffsetDateTime;

use crate::{Collector, Error, Postgres, Redis, TestDatabase, TestRedis};
use logs::ServerLogs;

/// A database, a Redis, a collector, a clock and a tenant for one test, shared with no other.
///
/// ```no_run
/// use shared_devkit::Kit;
///
/// # async fn migrate(url: String) -> Result<(), std::io::Error> { Ok(()) }
/// # /*
/// #[tokio::test]
/// # */
/// async fn a_note_is_kept() -> Result<(), Box<dyn std::error::Error>> {
///     let kit = Kit::start("notes-3", migrate).await?;
///     let (client, connection) = tokio_postgres::connect(kit.database.url(), tokio_postgres::NoTls).await?;
///     // ..
/// #   drop((client, connection));
///     Ok(())
/// } // if it fails, the servers' log lines of this test follow
/// ```
///
/// The servers are [`Postgres::shared`] and [`Redis::shared`], so with both warm a kit takes tens of milliseconds. Tests
/// that break a server take an exclusive one instead.
///
/// For a test of a whole service, over HTTP and with tokens, there is `TestService` in `shared_service::testing`; a kit is
/// for what is below or beside a service: a repository, a migration, a client, a job's handler.
///
/// # When the test fails
/// Dropped, the kit prints what PostgreSQL logged about its database, and what PostgreSQL and Redis warned of meanwhile:
/// the last 50 lines of each. The test harness shows that for tests that fail, by a panic or an error. It can't know
/// what is printed by a kit that another thread drops: keep it in the test's own function.
#[non_exhaustive]
pub struct Kit {
    /// A database of one's own, made from the template of the key.
    pub database: TestDatabase,
    /// A part of a Redis of one's own.
    pub redis: TestRedis,
    /// Takes traces, metrics and logs by OTLP.
    pub collector: Collector,
    /// A clock that stands at the start of the test until it is moved.
    pub clock: Clock,
    /// A tenant that nobody else has.
    pub tenant: TenantId,
    _logs: ServerLogs,
}

impl Kit {
    /// A kit whose database is a copy of the template for `key`, which `migrate` makes once for all processes; see
    /// [`Postgres::database`]. The key must change when the migrations do.
    ///
    /// # Errors
    /// As [`Postgres::shared`], [`Postgres::database`], [`Redis::shared`], [`Redis::database`] and [`Collector::start`].
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn start<F, Fut, E>(key: &str, migrate: F) -> Result<Kit, Error>
    where
        F: FnOnce(String) -> Fut,
        Fut: Future<Output = Result<(), E>>,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Kit::with(async |server| server.database(key, migrate).await).await
    }

    /// A kit with an empty database.
    ///
    /// # Errors
    /// As [`Kit::start`].
    pub async fn empty() -> Result<Kit, Error> {
        Kit::with(async |server| server.empty_database().await).await
    }

    async fn with(make: impl AsyncFnOnce(&Postgres) -> Result<TestDatabase, Error>) -> Result<Kit, Error> {
        let since = SystemTime::now();
        let (postgres, redis) = tokio::try_join!(Postgres::shared(), Redis::shared())?;
        let database = make(&postgres).await?;
        Ok(Kit {
            redis: redis.database().await?,
            collector: Collector::start().await?,
            clock: Clock::manual(OffsetDateTime::now_utc()),
            tenant: TenantId::new(),
            _logs: ServerLogs::since(since, postgres, database.name(), &redis),
            database,
        })
    }
}

impl fmt::Debug for Kit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kit { database, redis, tenant, .. } = self;
        f.debug_struct("Kit")
            .field("database", database)
            .field("redis", redis)
            .field("tenant", tenant)
            .finish_non_exhaustive()
    }
}
