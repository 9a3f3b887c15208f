//! A server with its users: started by the first, handed to the next, stopped after the last.
//!
//! Three things keep that true over crashes of any part. A lock file lets one process at a time start, repair or
//! stop. A pipe, whose one end the keeper has and whose other end every user, shows who lives. A mark, `stopping`,
//! that the keeper sets before it looks at the pipe for a last time, turns newcomers away from a server that is going.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use crate::{
    Error,
    account::Account,
    cache,
    installation::Installation,
    keeper::{self, Presence},
    server::{Server, wait_until},
};

/// Long enough for the next test binary to link, short enough not to be found the next morning.
const LINGER: Duration = Duration::from_secs(60);

/// A server as one controls it from outside: the commands of the program `shared-devkit`.
///
/// Every method blocks; in asynchronous code call them inside `tokio::task::spawn_blocking`. To use a server from a
/// program, see [`Postgres`](crate::Postgres).
#[derive(Debug, Clone)]
pub struct Instance {
    pub(crate) server: Server,
    /// Outside of the directory, which may be deleted while others wait for the lock.
    lock: PathBuf,
    linger: Duration,
    keep_data: bool,
}

impl Instance {
    /// The server with this name. Its data stays until [`Instance::purge`].
    ///
    /// # Errors
    /// [`Error::Name`] for a name with other than 1 to 40 letters, digits, `-` and `_`; [`Error::File`] where the cache
    /// cannot be written.
    pub fn named(name: &str) -> Result<Instance, Error> {
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        if !(1..=40).contains(&name.len()) || !name.chars().all(allowed) {
            return Err(Error::Name { name: name.to_owned() });
        }
        let base = instances()?;
        cache::create(&base)?;
        let server = Server { directory: base.join(name), account: Account::of_servers()?, durable: true };
        Ok(Instance { server, lock: base.join(format!("{name}.lock")), linger: linger(), keep_data: true })
    }

    /// The server that all tests of this user share. It keeps nothing.
    pub(crate) fn shared() -> Result<Instance, Error> {
        // Another cache may hold another server.
        let cache = cache::directory()?;
        let name = format!("shared-{}", crate::fingerprint(&cache.to_string_lossy()));
        Instance::temporary(&name, linger(), false)
    }

    /// A server for one owner. It keeps nothing, but its commits are as durable as in production.
    pub(crate) fn exclusive() -> Result<Instance, Error> {
        Instance::temporary(&format!("own-{}", uuid::Uuid::new_v4().simple()), Duration::ZERO, true)
    }

    fn temporary(name: &str, linger: Duration, durable: bool) -> Result<Instance, Error> {
        let account = Account::of_servers()?;
        let base = cache::temporary(&account)?;
        // Owners of exclusive servers have nobody to exclude; one lock for them all leaves no litter.
        let lock = base.join(if durable { "own.lock".to_owned() } else { format!("{name}.lock") });
        let server = Server { directory: base.join(name), account, durable };
        Ok(Instance { server, lock, linger, keep_data: false })
    }

    /// Becomes a user of the running server; starts or repairs it first where that is needed. Blocks.
    pub(crate) fn attach(&self) -> Result<Presence, Error> {
        let _lock = cache::lock(&self.lock)?;
        let joined = match self.join()? {
            Some(presence) if self.server.is_running() => return Ok(presence),
            joined => joined,
        };
        let installation = Installation::find(self.server.major())?;
        // Before the server starts, so that no death of this process can leave a server without a keeper.
        let presence = match joined {
            Some(presence) => presence,
            None => self.spawn_keeper(&installation)?,
        };
        self.server.ensure_running(&installation)?;
        Ok(presence)
    }

    /// Becomes a user of a keeper that stays; `None` where there is no keeper.
    fn join(&self) -> Result<Option<Presence>, Error> {
        let stopping = self.directory().join("stopping");
        let mut joined = Ok(None);
        let decided = wait_until(|| {
            joined = Presence::join(self.directory());
            // A keeper that is about to stop either takes that back or goes.
            !matches!(joined, Ok(Some(_))) || !stopping.exists()
        });
        if decided {
            joined
        } else {
            Err(self.server.failed("stop", "it takes longer than a minute".to_owned()))
        }
    }

    /// Cleans up after a keeper that is gone, and puts a new one in its place.
    fn spawn_keeper(&self, installation: &Installation) -> Result<Presence, Error> {
        self.remove_leftovers();
        cache::private(self.directory(), &self.server.account)?;
        let pg_ctl = installation.program("pg_ctl");
        keeper::spawn(self.directory(), &self.server.account, &pg_ctl, self.linger, self.keep_data)
    }

    /// A server that runs without a keeper is still in use. One that does not may have died with the machine, and
    /// where its commits were not durable its data is not to be trusted.
    fn remove_leftovers(&self) {
        let _ = fs::remove_file(self.directory().join("stopping"));
        if !self.keep_data && !self.server.is_running() {
            let _ = fs::remove_dir_all(self.directory());
        }
        let gone = self.directory().file_name().map(|name| format!("{}.gone-", name.display()));
        if let (Some(base), Some(gone)) = (self.directory().parent(), gone) {
            cache::remove_leftovers(base, &gone);
        }
    }

    /// Starts the server again where it is down; for one who is a user already.
    pub(crate) fn restart(&self) -> Result<(), Error> {
        let _lock = cache::lock(&self.lock)?;
        self.server.ensure_running(&Installation::find(self.server.major())?)
    }

    /// Starts the server and keeps it up until [`Instance::down`]. Returns the superuser's URL, with its password.
    ///
    /// # Errors
    /// [`Error::NoPostgres`] where there is none to run, [`Error::Server`] where it does not start.
    pub fn up(&self) -> Result<String, Error> {
        let _presence = self.attach()?;
        let pinned = self.directory().join("pinned");
        File::create(&pinned).map_err(Error::file("create", &pinned))?;
        self.server.url()
    }

    /// The port of the server where it is up.
    pub fn port(&self) -> Option<u16> {
        self.server.port().filter(|_| self.server.is_running())
    }

    /// The directory with the server's data and its log.
    pub fn directory(&self) -> &Path {
        &self.server.directory
    }

    /// Stops the server, whoever uses it, and waits until it is down. Returns `false` where it was not up.
    ///
    /// # Errors
    /// [`Error::Server`] where it does not stop within a minute.
    pub fn down(&self) -> Result<bool, Error> {
        let _lock = cache::lock(&self.lock)?;
        self.stop()
    }

    /// Stops the server and deletes its data.
    ///
    /// # Errors
    /// As [`Instance::down`]; [`Error::File`] where the directory cannot be deleted.
    pub fn purge(&self) -> Result<(), Error> {
        let _lock = cache::lock(&self.lock)?;
        self.stop()?;
        match fs::remove_dir_all(self.directory()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::file("delete", self.directory())(error))
            }
            _ => Ok(()),
        }
    }

    /// Runs `psql` on the server with more arguments, and waits for its end. Starts the server where it is down; then
    /// it stops again some time afterwards.
    ///
    /// # Errors
    /// As [`Instance::up`]; [`Error::Program`] where there is no `psql`.
    pub fn psql(&self, arguments: &[String]) -> Result<ExitStatus, Error> {
        let _presence = self.attach()?;
        let program = Installation::find(self.server.major())?.program("psql");
        // Some systems package the client apart.
        let program = if program.is_file() { program } else { "psql".into() };
        // Not as arguments, which every user of the machine can read.
        Command::new(program)
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.server.port().unwrap_or_default().to_string())
            .env("PGUSER", "postgres")
            .env("PGPASSWORD", self.server.password()?)
            .env("PGDATABASE", "postgres")
            .args(arguments)
            .status()
            .map_err(|error| Error::Program { program: "psql".to_owned(), reason: error.to_string() })
    }

    /// Stops the server by way of its keeper; where that was killed, a new one does it.
    fn stop(&self) -> Result<bool, Error> {
        let _ = fs::remove_file(self.directory().join("pinned"));
        let was_running = self.server.is_running();
        let presence = match self.join()? {
            None if was_running => Some(self.spawn_keeper(&Installation::find(self.server.major())?)?),
            joined => joined,
        };
        // A keeper that goes by itself in this moment is just as well.
        let _ = presence.map(Presence::stop);
        if wait_until(|| !keeper::is_alive(self.directory()) && !self.server.is_running()) {
            return Ok(was_running);
        }
        Err(self.server.failed("stop", "it is still up after a minute".to_owned()))
    }
}

/// Where the named instances live.
fn instances() -> Result<PathBuf, Error> {
    Ok(cache::directory()?.join("postgres"))
}

/// `SHARED_DEVKIT_LINGER` in seconds, for those who want their machine back sooner.
fn linger() -> Duration {
    let seconds = env::var("SHARED_DEVKIT_LINGER").ok().and_then(|text| text.parse().ok());
    seconds.map_or(LINGER, Duration::from_secs)
}
