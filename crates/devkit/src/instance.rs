//! A server with its users: started by the first, handed to the next, stopped after the last.
//!
//! Three things keep that true over crashes of any part. A lock file lets one process at a time start, repair or
//! stop. A pipe, whose one end the keeper has and whose other end every user, shows who lives. A mark, `stopping`,
//! that the keeper sets before it looks at the pipe for a last time, turns newcomers away from a server that is going.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::Arc,
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    Error,
    account::Account,
    cache,
    keeper::{self, Presence},
    litter, nats, postgres, redis,
    site::{Site, wait_until},
    software::Software,
};

/// Long enough for the next test binary to link, short enough not to be found the next morning.
const LINGER: Duration = Duration::from_secs(60);

/// A server as one controls it from outside: the commands of the program `shared-devkit`.
///
/// Every method blocks; in asynchronous code call them inside `tokio::task::spawn_blocking`. To use a server from a
/// program, see [`Postgres`](crate::Postgres).
#[derive(Debug, Clone)]
pub struct Instance {
    pub(crate) site: Site,
    software: Arc<dyn Software>,
    /// Outside of the directory, which may be deleted while others wait for the lock. An exclusive server has one
    /// owner, and nobody to exclude.
    lock: Option<PathBuf>,
    linger: Duration,
}

impl Instance {
    /// The PostgreSQL server with this name. Its data stays until [`Instance::purge`].
    ///
    /// # Errors
    /// [`Error::Name`] for a name with other than 1 to 40 letters, digits, `-` and `_`; [`Error::File`] where the cache
    /// cannot be written.
    pub fn postgres(name: &str) -> Result<Instance, Error> {
        Instance::named(postgres::Server::default(), name)
    }

    /// The NATS server with this name, with JetStream. Its data stays until [`Instance::purge`].
    ///
    /// # Errors
    /// As [`Instance::postgres`].
    pub fn nats(name: &str) -> Result<Instance, Error> {
        Instance::named(nats::Server::default(), name)
    }

    /// The Redis server with this name. Its data stays until [`Instance::purge`].
    ///
    /// # Errors
    /// As [`Instance::postgres`].
    pub fn redis(name: &str) -> Result<Instance, Error> {
        Instance::named(redis::Server::named(), name)
    }

    /// The server with this name. Its data stays until [`Instance::purge`].
    pub(crate) fn named(software: impl Software, name: &str) -> Result<Instance, Error> {
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        if !(1..=40).contains(&name.len()) || !name.chars().all(allowed) {
            return Err(Error::Name { name: name.to_owned() });
        }
        let base = cache::directory()?.join(software.name());
        cache::create(&base)?;
        let site =
            Site { directory: base.join(name), account: Account::of_servers()?, durable: true, kept: true };
        let lock = Some(base.join(format!("{name}.lock")));
        Ok(Instance { site, software: Arc::new(software), lock, linger: linger() })
    }

    /// The server that all tests of this user share. It keeps nothing.
    pub(crate) fn shared(software: impl Software) -> Result<Instance, Error> {
        // Another cache may hold another server.
        let cache = cache::directory()?;
        let key = crate::fingerprint(&format!("{} {}", cache.display(), software.variant()));
        let name = format!("shared-{}-{key}", software.name());
        let mut instance = Instance::temporary(software, &name, linger(), false)?;
        instance.lock = Some(instance.site.directory.with_extension("lock"));
        Ok(instance)
    }

    /// A server for one owner. It keeps nothing, but its commits are as durable as in production.
    pub(crate) fn exclusive(software: impl Software) -> Result<Instance, Error> {
        let name = format!("own-{}-{}", software.name(), uuid::Uuid::new_v4().simple());
        Instance::temporary(software, &name, Duration::ZERO, true)
    }

    fn temporary(
        software: impl Software,
        name: &str,
        linger: Duration,
        durable: bool,
    ) -> Result<Instance, Error> {
        let account = Account::of_servers()?;
        let site = Site { directory: cache::temporary(&account)?.join(name), account, durable, kept: false };
        Ok(Instance { site, software: Arc::new(software), lock: None, linger })
    }

    /// Waits until no other process starts, repairs or stops the server; excludes them until dropped.
    fn locked(&self) -> Result<Option<File>, Error> {
        self.lock.as_deref().map(cache::lock).transpose()
    }

    /// Becomes a user of the running server; starts or repairs it first where that is needed. Blocks.
    pub(crate) fn attach(&self) -> Result<Presence, Error> {
        let _lock = self.locked()?;
        let joined = match self.join()? {
            Some(presence) if self.is_running() => return Ok(presence),
            joined => joined,
        };
        // Before the server starts, so that no death of this process can leave a server without a keeper.
        let presence = match joined {
            Some(presence) => presence,
            None => self.spawn_keeper()?,
        };
        self.software.ensure_running(&self.site)?;
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
            Err(self.site.failed("stop", "it takes longer than a minute".to_owned()))
        }
    }

    /// Cleans up after a keeper that is gone, and puts a new one in its place.
    fn spawn_keeper(&self) -> Result<Presence, Error> {
        self.remove_leftovers();
        if self.lock.is_none() {
            litter::sweep(&self.site, self.software.as_ref());
        }
        cache::private(self.directory(), &self.site.account)?;
        keeper::spawn(&self.site, self.software.as_ref(), self.linger, self.site.kept)
    }

    /// A server that runs without a keeper is still in use. One that does not may have died with the machine, and
    /// where its commits were not durable its data is not to be trusted.
    fn remove_leftovers(&self) {
        let _ = fs::remove_file(self.directory().join("stopping"));
        if !self.site.kept && !self.is_running() {
            // It may be on its way up, for a user who was killed.
            litter::remove(&self.site, self.software.as_ref());
        }
        let gone = self.directory().file_name().map(|name| format!("{}.gone-", name.display()));
        if let (Some(base), Some(gone)) = (self.directory().parent(), gone) {
            cache::remove_leftovers(base, &gone);
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.software.is_running(&self.site)
    }

    /// Starts the server again where it is down; for one who is a user already.
    pub(crate) fn restart(&self) -> Result<(), Error> {
        let _lock = self.locked()?;
        self.software.ensure_running(&self.site)
    }

    /// Kills every process of the server with SIGKILL and waits until they are gone.
    pub(crate) fn kill(&self) -> Result<(), Error> {
        self.site.kill(self.software.pid_files())
    }

    /// Stops every process of the server with SIGSTOP: it keeps its connections and answers nothing.
    pub(crate) fn pause(&self) -> Result<(), Error> {
        self.site.pause(self.software.pid_files())
    }

    /// Wakes what [`Instance::pause`] has stopped.
    pub(crate) fn resume(&self) -> Result<(), Error> {
        self.site.resume();
        Ok(())
    }

    /// Ends the server with a signal to its main process.
    pub(crate) fn end(&self, signal: Signal) -> Result<(), Error> {
        self.site.end(self.software.pid_files(), signal)
    }

    pub(crate) fn url(&self) -> Result<String, Error> {
        self.software.url(&self.site)
    }

    /// Starts the server and keeps it up until [`Instance::down`]. Returns the superuser's URL, with its password.
    ///
    /// # Errors
    /// [`Error::NoPostgres`], [`Error::NoRedis`] or [`Error::NoNats`] where there is none to run, [`Error::Server`] where it
    /// does not start.
    pub fn up(&self) -> Result<String, Error> {
        let _presence = self.attach()?;
        let pinned = self.directory().join("pinned");
        File::create(&pinned).map_err(Error::file("create", &pinned))?;
        self.url()
    }

    /// The port of the server where it is up.
    pub fn port(&self) -> Option<u16> {
        self.site.port().filter(|_| self.is_running())
    }

    /// The directory with the server's data and its log.
    pub fn directory(&self) -> &Path {
        &self.site.directory
    }

    /// Stops the server, whoever uses it, and waits until it is down. Returns `false` where it was not up.
    ///
    /// # Errors
    /// [`Error::Server`] where it does not stop within a minute.
    pub fn down(&self) -> Result<bool, Error> {
        let _lock = self.locked()?;
        self.stop()
    }

    /// Stops the server and deletes its data.
    ///
    /// # Errors
    /// As [`Instance::down`]; [`Error::File`] where the directory cannot be deleted.
    pub fn purge(&self) -> Result<(), Error> {
        let _lock = self.locked()?;
        self.stop()?;
        self.software.forget(&self.site);
        match fs::remove_dir_all(self.directory()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::file("delete", self.directory())(error))
            }
            _ => Ok(()),
        }
    }

    /// Runs the server's own terminal client (`psql`, `redis-cli`, `nats`) with more arguments, and waits for its end. Starts the server
    /// where it is down; then it stops again some time afterwards.
    ///
    /// # Errors
    /// As [`Instance::up`]; [`Error::Program`] where there is no such client.
    pub fn terminal(&self, arguments: &[String]) -> Result<ExitStatus, Error> {
        let _presence = self.attach()?;
        let mut client = self.software.terminal(&self.site)?;
        let program = client.get_program().to_string_lossy().into_owned();
        client.args(arguments).status().map_err(|error| Error::Program { program, reason: error.to_string() })
    }

    /// Stops the server by way of its keeper; where that was killed, a new one does it.
    fn stop(&self) -> Result<bool, Error> {
        let _ = fs::remove_file(self.directory().join("pinned"));
        let was_running = self.is_running();
        let presence = match self.join()? {
            None if was_running => Some(self.spawn_keeper()?),
            joined => joined,
        };
        // A keeper that goes by itself in this moment is just as well.
        let _ = presence.map(Presence::stop);
        if wait_until(|| !keeper::is_alive(self.directory()) && !self.is_running()) {
            return Ok(was_running);
        }
        Err(self.site.failed("stop", "it is still up after a minute".to_owned()))
    }
}

/// `SHARED_DEVKIT_LINGER` in seconds, for those who want their machine back sooner.
fn linger() -> Duration {
    let seconds = env::var("SHARED_DEVKIT_LINGER").ok().and_then(|text| text.parse().ok());
    seconds.map_or(LINGER, Duration::from_secs)
}
