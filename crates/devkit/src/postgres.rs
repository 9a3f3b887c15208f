//! The handle of a running PostgreSQL.

mod cluster;
mod database;
mod faults;
mod installation;
mod log;
mod options;
mod replica;
mod server;
mod session;

use std::{error::Error as StdError, fmt, time::SystemTime};

pub use database::TestDatabase;
pub use faults::Shutdown;
pub use options::PostgresOptions;
pub use replica::Replica;
pub(crate) use server::Server;
use session::Session;

use crate::{Error, handle::Handle, url::preferred};

/// A PostgreSQL server with pgvector. It stays up at least as long as this handle and the databases made with it.
///
/// Handles are cheap: each test may ask for its own. When the last one of all processes is gone, dropped or killed, the
/// server lingers for a minute and stops.
///
/// Dropping the future of a fault, or of a start, does not take it back: what has begun is done.
pub struct Postgres {
    url: String,
    /// `None` for a server of the user's own.
    ours: Option<Handle>,
    options: PostgresOptions,
}

impl Postgres {
    /// The server that the tests of this user share, across test binaries.
    ///
    /// It keeps nothing: commits are not flushed to disk, and its directory goes when it stops. `DATABASE_URL` names a
    /// server to use instead.
    ///
    /// # Errors
    /// [`Error::NoPostgres`] where there is none to run; it names the remedies. [`Error::Server`] where it does not start.
    ///
    /// Dropping the future does not stop a start that has begun: the next caller finds the server, or it stops by itself.
    pub async fn shared() -> Result<Postgres, Error> {
        match preferred("DATABASE_URL") {
            Some(url) => Ok(Postgres::elsewhere(url)),
            None => Postgres::new(Handle::shared(Server::default()).await?, PostgresOptions::new()),
        }
    }

    /// A server with a name, whose data stays until `shared-devkit purge`.
    ///
    /// Commits are durable: after a kill of the program, of the server, or of the machine the next call recovers
    /// them. Several programs may use it at once. It keeps its port where that is free. `DATABASE_URL` names a server to use instead.
    ///
    /// # Errors
    /// As [`Postgres::shared`], and [`Error::Name`] for a name with other than 1 to 40 letters, digits, `-` and `_`.
    pub async fn named(name: &str) -> Result<Postgres, Error> {
        match preferred("DATABASE_URL") {
            Some(url) => Ok(Postgres::elsewhere(url)),
            None => Postgres::new(Handle::named(Server::default(), name).await?, PostgresOptions::new()),
        }
    }

    /// A server for this handle alone, with durable commits, for tests that kill it. Gone when the handle is dropped.
    ///
    /// It begins as a copy of an empty one in the cache: the exclusive servers of a user have the same password and the
    /// same `system_identifier`.
    ///
    /// # Errors
    /// As [`Postgres::shared`].
    ///
    /// Dropping the future leaves no server behind.
    pub async fn exclusive() -> Result<Postgres, Error> {
        Postgres::exclusive_with(PostgresOptions::new()).await
    }

    /// As [`Postgres::exclusive`], of another version or with other settings.
    ///
    /// # Errors
    /// As [`Postgres::shared`], and [`Error::NoSuchPostgres`] where what is wanted is neither installed nor in the
    /// bundle; it names what to install.
    ///
    /// Dropping the future leaves no server behind.
    pub async fn exclusive_with(options: PostgresOptions) -> Result<Postgres, Error> {
        Postgres::new(Handle::exclusive(Server::with(options.clone())).await?, options)
    }

    fn new(handle: Handle, options: PostgresOptions) -> Result<Postgres, Error> {
        Ok(Postgres { url: handle.url()?, ours: Some(handle), options })
    }

    fn elsewhere(url: String) -> Postgres {
        Postgres { url, ours: None, options: PostgresOptions::new() }
    }

    /// The superuser's URL of the maintenance database, with its password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A database of one's own, copied from the template for `key`.
    ///
    /// The first caller of all processes makes the template: an empty database, handed to `migrate` as a URL. So the key
    /// must change when the migrations do; a hash over their text is a good one. A migration that fails or is cut off leaves no template.
    ///
    /// One migration runs at a time on a server, whatever its key and process. So a migration is the place to create
    /// roles, which belong to the whole server and may be there already; tests, which run in parallel, create none.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = shared_devkit::Postgres::shared().await?;
    /// let database = server
    ///     .database("notes-3", async |url: String| -> Result<(), tokio_postgres::Error> {
    ///         let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
    ///         let work = async { client.batch_execute("create table note (body text)").await };
    ///         tokio::select! { done = work => done, broken = connection => broken }
    ///     })
    ///     .await?;
    /// println!("{}", database.url());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Migration`] with the error of `migrate`; [`Error::Database`] where the server refuses.
    ///
    /// Dropping the future leaves nothing but a half-made template or copy, which the next call removes.
    pub async fn database<F, Fut, E>(&self, key: &str, migrate: F) -> Result<TestDatabase, Error>
    where
        F: FnOnce(String) -> Fut,
        Fut: Future<Output = Result<(), E>>,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let session = Session::connect(&self.url).await?;
        let template = database::template(&session, &self.url, key, migrate).await?;
        database::create(session, &self.url, Some(&template), self.ours.clone()).await
    }

    /// An empty database of one's own.
    ///
    /// # Errors
    /// [`Error::Database`] where the server refuses.
    ///
    /// Dropping the future leaves nothing that the next call does not remove.
    pub async fn empty_database(&self) -> Result<TestDatabase, Error> {
        database::create(Session::connect(&self.url).await?, &self.url, None, self.ours.clone()).await
    }

    /// What the server's log says about one database since a moment, and what the server itself warned of or failed at:
    /// the last 50 lines. Empty for a server of `DATABASE_URL`, whose log is elsewhere.
    ///
    /// Statements that failed are among them, with their text.
    pub fn log_of(&self, database: &str, since: SystemTime) -> Vec<String> {
        self.ours.as_ref().map(|handle| log::about(handle.site(), database, since)).unwrap_or_default()
    }

    fn yours(&self, attempted: &'static str) -> Result<&Handle, Error> {
        self.ours.as_ref().ok_or(Error::NotYours { attempted })
    }

    fn exclusive_only(&self, attempted: &'static str) -> Result<&Handle, Error> {
        let exclusive = |handle: &&Handle| handle.is_yours() && !handle.site().kept;
        self.ours.as_ref().filter(exclusive).ok_or(Error::NotExclusive { attempted })
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.ours.as_ref().map(Handle::directory);
        formatter.debug_struct("Postgres").field("directory", &directory).finish_non_exhaustive()
    }
}
