//! The handle of a running server.

use std::{
    env,
    error::Error as StdError,
    fmt,
    sync::{Arc, Once},
};

use crate::{Error, TestDatabase, database, instance::Instance, keeper::Presence, note::note};

/// A PostgreSQL server with pgvector. It stays up at least as long as this handle and the databases made with it.
///
/// Handles are cheap: each test may ask for its own. When the last one of all processes is gone, dropped or killed, the
/// server lingers for a minute and stops.
pub struct Postgres {
    url: String,
    /// `None` for a server of the user's own.
    ours: Option<Ours>,
}

struct Ours {
    instance: Instance,
    /// Whether the caller may kill it.
    yours: bool,
    presence: Arc<Presence>,
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
        match own_url() {
            Some(url) => Ok(Postgres { url, ours: None }),
            None => Postgres::open(Instance::shared, false).await,
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
        if let Some(url) = own_url() {
            return Ok(Postgres { url, ours: None });
        }
        let name = name.to_owned();
        Postgres::open(move || Instance::named(&name), true).await
    }

    /// A server for this handle alone, with durable commits, for tests that kill it. Gone when the handle is dropped.
    ///
    /// # Errors
    /// As [`Postgres::shared`].
    pub async fn exclusive() -> Result<Postgres, Error> {
        Postgres::open(Instance::exclusive, true).await
    }

    async fn open(
        find: impl FnOnce() -> Result<Instance, Error> + Send + 'static,
        yours: bool,
    ) -> Result<Postgres, Error> {
        blocking(move || {
            let instance = find()?;
            let presence = instance.attach()?;
            let url = instance.server.url()?;
            Ok(Postgres { url, ours: Some(Ours { instance, yours, presence: Arc::new(presence) }) })
        })
        .await
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
        let template = database::template(&self.url, key, migrate).await?;
        self.create(Some(&template)).await
    }

    /// An empty database of one's own.
    ///
    /// # Errors
    /// [`Error::Database`] where the server refuses.
    pub async fn empty_database(&self) -> Result<TestDatabase, Error> {
        self.create(None).await
    }

    async fn create(&self, template: Option<&str>) -> Result<TestDatabase, Error> {
        let presence = self.ours.as_ref().map(|ours| Arc::clone(&ours.presence));
        database::create(&self.url, template, presence).await
    }

    /// Kills every process of the server as a crash would, with SIGKILL, and returns when they are gone.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a shared server or one of `DATABASE_URL`.
    pub async fn kill(&self) -> Result<(), Error> {
        let instance = self.yours("killed")?;
        blocking(move || instance.server.kill()).await
    }

    /// Starts the server again after [`Postgres::kill`]; it recovers every commit. Does nothing where it runs.
    ///
    /// The URL stays, unless another program has taken the port in the meantime.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a shared server or one of `DATABASE_URL`, [`Error::Server`] where it does not start.
    pub async fn start(&mut self) -> Result<(), Error> {
        let instance = self.yours("restarted")?;
        self.url = blocking(move || {
            instance.restart()?;
            instance.server.url()
        })
        .await?;
        Ok(())
    }

    fn yours(&self, attempted: &'static str) -> Result<Instance, Error> {
        match &self.ours {
            Some(ours) if ours.yours => Ok(ours.instance.clone()),
            _ => Err(Error::NotYours { attempted }),
        }
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.ours.as_ref().map(|ours| &ours.instance.server.directory);
        formatter.debug_struct("Postgres").field("directory", &directory).finish_non_exhaustive()
    }
}

/// The server that the user prefers.
fn own_url() -> Option<String> {
    let url = env::var("DATABASE_URL").ok().filter(|url| !url.is_empty())?;
    static TOLD: Once = Once::new();
    TOLD.call_once(|| note(format_args!("using the server of DATABASE_URL")));
    Some(url)
}

/// Runs work that waits for files and processes where it holds up no task.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(stopped) => Err(Error::Program { program: "tokio".to_owned(), reason: stopped.to_string() }),
        },
    }
}
