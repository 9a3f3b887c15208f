//! What a test may do to a server of its own.

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::Path,
    time::Duration,
};

use rustix::process::{Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::{Postgres, server::PID_FILE, session::Session};
use crate::{
    Error, process,
    site::{PATIENCE, Site, wait_until},
};

/// Between two looks at a server that is on its way: it takes milliseconds.
pub(super) const GLANCE: Duration = Duration::from_millis(5);

/// How [`Postgres::stop`] stops a server: PostgreSQL's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shutdown {
    /// Rolls back what is open, ends the connections, writes a checkpoint: the next start has nothing to recover.
    Fast,
    /// Quits at once, as after a crash: the next start recovers. Clients are told, which a crash does not do.
    Immediate,
}

impl Postgres {
    /// Kills every process of the server as a crash would, with SIGKILL, and returns when they are gone.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a shared server or one of `DATABASE_URL`.
    pub async fn kill(&self) -> Result<(), Error> {
        self.yours("killed")?.kill().await
    }

    /// Stops the server, and returns when it is down.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), shared_devkit::Error> {
    /// use shared_devkit::{Postgres, Shutdown};
    ///
    /// let mut server = Postgres::exclusive().await?;
    /// server.stop(Shutdown::Immediate).await?;
    /// server.start().await?; // recovers
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotYours`] for a shared server or one of `DATABASE_URL`, [`Error::Server`] where it is up after a
    /// minute, as a [paused](Postgres::pause) one is.
    pub async fn stop(&self, how: Shutdown) -> Result<(), Error> {
        let signal = match how {
            Shutdown::Fast => Signal::INT,
            Shutdown::Immediate => Signal::QUIT,
        };
        self.yours("stopped")?.end(signal).await
    }

    /// Starts the server again where it is down; it recovers every commit. Does nothing where it runs.
    ///
    /// The URL stays, unless another program has taken the port in the meantime.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a shared server or one of `DATABASE_URL`, [`Error::Server`] with the end of its log where
    /// it does not start.
    pub async fn start(&mut self) -> Result<(), Error> {
        let handle = self.yours("restarted")?;
        handle.start().await?;
        self.url = handle.url()?;
        Ok(())
    }

    /// Stops the server with [`Shutdown::Fast`] and starts it again, as an upgrade does.
    ///
    /// # Errors
    /// As [`Postgres::stop`] and [`Postgres::start`].
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.stop(Shutdown::Fast).await?;
        self.start().await
    }

    /// Stops every process of the server with SIGSTOP, until [`Postgres::resume`]: connections stay open, and nothing
    /// answers. What a server looks like whose machine hangs.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a shared server or one of `DATABASE_URL`.
    pub async fn pause(&self) -> Result<(), Error> {
        self.yours("paused")?.pause().await
    }

    /// Wakes the server after [`Postgres::pause`], with SIGCONT.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a shared server or one of `DATABASE_URL`.
    pub async fn resume(&self) -> Result<(), Error> {
        self.yours("resumed")?.resume().await
    }

    /// Kills one process of the server with SIGKILL: that of a session, by its `pg_backend_pid()`, or one in the
    /// background. The server then ends all sessions and recovers; returns when it takes connections again.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a shared server or one of `DATABASE_URL`; [`Error::Server`] where the server has no such
    /// process; [`Error::Database`] where it takes no connection within a minute.
    pub async fn kill_backend(&self, pid: i32) -> Result<(), Error> {
        let handle = self.yours("crashed")?;
        handle.break_it("crashed", move |instance| kill_child(&instance.site, pid)).await?;
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = Session::connect(&self.url).await {
            if Instant::now() > deadline {
                return Err(error);
            }
            sleep(GLANCE).await;
        }
        Ok(())
    }

    /// Cuts a file of the server's data down to a length in bytes, as a disk does that has lost the rest. `file` is
    /// relative to the data directory, as `pg_relation_filepath` tells it. The server must be down.
    ///
    /// What it makes of that, it says when it starts or reads the file.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), shared_devkit::Error> {
    /// use shared_devkit::{Postgres, Shutdown};
    ///
    /// let mut server = Postgres::exclusive().await?;
    /// server.stop(Shutdown::Fast).await?;
    /// server.truncate_file("global/pg_control", 100).await?;
    /// let refused = server.start().await.unwrap_err();
    /// # let _ = refused;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotExclusive`] for any other server; [`Error::Server`] while it runs; [`Error::File`] where the file is not
    /// there, is shorter, or lies outside of the data directory.
    pub async fn truncate_file(&self, file: &str, length: u64) -> Result<(), Error> {
        let cut = move |file: File| {
            if file.metadata()?.len() < length { Err(too_short()) } else { file.set_len(length) }
        };
        self.damage(file, "truncate", cut).await
    }

    /// Writes other bytes over a part of a file of the server's data, as a faulty disk does; its length stays.
    /// As [`Postgres::truncate_file`] otherwise.
    ///
    /// # Errors
    /// As [`Postgres::truncate_file`].
    pub async fn overwrite_file(&self, file: &str, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let bytes = bytes.to_owned();
        let overwrite = move |file: File| {
            let end = offset.saturating_add(bytes.len() as u64);
            if file.metadata()?.len() < end { Err(too_short()) } else { file.write_all_at(&bytes, offset) }
        };
        self.damage(file, "overwrite", overwrite).await
    }

    async fn damage(
        &self,
        file: &str,
        attempted: &'static str,
        work: impl FnOnce(File) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Error> {
        let file = file.to_owned();
        self.exclusive_only("damaged")?
            .break_it("damaged", move |instance| {
                let data = instance.site.path("data");
                if instance.site.process(PID_FILE).is_some() {
                    return Err(instance.site.failed("damage", "it runs; stop or kill it first".to_owned()));
                }
                open_within(&data, &file).and_then(work).map_err(Error::file(attempted, &data.join(&file)))
            })
            .await
    }
}

/// Kills a child of the postmaster and waits until its other children are gone too: it ends all, because they share
/// the memory that the dead one may have left half-written.
fn kill_child(site: &Site, pid: i32) -> Result<(), Error> {
    let children = site.process(PID_FILE).map(process::children).unwrap_or_default();
    let Some(victim) = children.iter().find(|child| child.as_raw_nonzero().get() == pid) else {
        return Err(site.failed("crash", format!("{pid} is none of its processes")));
    };
    kill_process(*victim, Signal::KILL).map_err(|error| site.failed("crash", error.to_string()))?;
    wait_until(|| children.iter().all(|child| process::has_ended(*child)))
        .then_some(())
        .ok_or_else(|| site.failed("crash", "its other processes live on".to_owned()))
}

/// Opens a file to write, which neither `..` nor a link may lead out of the directory.
fn open_within(directory: &Path, file: &str) -> io::Result<File> {
    let path = directory.join(file).canonicalize()?;
    if !path.starts_with(directory.canonicalize()?) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it lies outside of the data directory"));
    }
    File::options().write(true).open(path)
}

fn too_short() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "the file is shorter than that")
}
