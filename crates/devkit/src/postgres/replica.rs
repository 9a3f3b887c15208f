//! A streaming standby of an exclusive server.

use std::fmt;

use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use super::{Postgres, faults::GLANCE, server::Server, session::Session};
use crate::{Error, handle::Handle, site::PATIENCE};

/// Commits, so that everything before it is on the disk; returns the place of its own record in the log.
const MARK: &str = "select pg_logical_emit_message(true, 'devkit', '')::text";

/// A copy of a server that follows it: a hot standby, which answers queries and writes nothing.
///
/// It has a directory, a port and processes of its own, and keeps its primary's handle: the primary goes after it.
/// Each replica has a replication slot, which holds back up to 1 GB of the primary's log for it.
///
/// ```no_run
/// # async fn example() -> Result<(), shared_devkit::Error> {
/// let primary = shared_devkit::Postgres::exclusive().await?;
/// let replica = primary.replica().await?;
/// // .. writes to primary.url() ..
/// replica.caught_up().await?;
/// // .. reads from replica.url() ..
/// primary.kill().await?;
/// let primary = replica.promote().await?;
/// # let _ = primary;
/// # Ok(())
/// # }
/// ```
pub struct Replica {
    server: Postgres,
    primary: Handle,
}

impl Postgres {
    /// A copy of this server that follows it, made by `pg_basebackup`; it has the same options.
    ///
    /// # Errors
    /// [`Error::NotExclusive`] for any other server; [`Error::Program`] where the copy fails, as it does with
    /// `wal_level = minimal`; [`Error::Server`] where the replica does not start.
    ///
    /// Dropping the future leaves no server behind.
    pub async fn replica(&self) -> Result<Replica, Error> {
        let primary = self.exclusive_only("copied")?;
        let software = Server::copy_of(primary.site().clone(), self.options.clone());
        let server = Postgres::new(Handle::exclusive(software).await?, self.options.clone())?;
        Ok(Replica { server, primary: primary.clone() })
    }
}

impl Replica {
    /// The superuser's URL of the replica's maintenance database, with its password, which is the primary's.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// The replica as a server, to [kill](Postgres::kill) or [pause](Postgres::pause) it.
    pub fn server(&self) -> &Postgres {
        &self.server
    }

    /// The replica as a server, to [start](Postgres::start) it again.
    pub fn server_mut(&mut self) -> &mut Postgres {
        &mut self.server
    }

    /// Waits until the replica shows everything that was committed on the primary before the call.
    ///
    /// # Errors
    /// [`Error::Database`] where one of the two does not answer; [`Error::Server`] where the replica has not caught up
    /// within a minute, as one with a [paused replay](Replica::pause_replay) does not.
    pub async fn caught_up(&self) -> Result<(), Error> {
        let primary = Session::connect(&self.primary.url()?).await?;
        // It waits for the primary's own disk, for no replica.
        primary.run("mark the log", "set synchronous_commit = local").await?;
        let marked = primary.client.query_one(MARK, &[]).await.map_err(Error::database("mark the log"))?;
        let mark: String = marked.get(0);
        let replica = Session::connect(self.url()).await?;
        let replayed = format!("select pg_last_wal_replay_lsn() >= '{mark}'::pg_lsn");
        self.wait_for(&replica.client, "catch up with the primary of", &replayed).await
    }

    /// Stops replaying what the primary sends: queries show the same state until [`Replica::resume_replay`]. Returns
    /// when nothing is replayed any more.
    ///
    /// # Errors
    /// [`Error::Database`] where the replica does not answer.
    pub async fn pause_replay(&self) -> Result<(), Error> {
        let replica = Session::connect(self.url()).await?;
        replica.run("pause the replay", "select pg_wal_replay_pause()").await?;
        let paused = "select pg_get_wal_replay_pause_state() = 'paused'";
        self.wait_for(&replica.client, "pause the replay of", paused).await
    }

    /// Goes on with what the primary sends.
    ///
    /// # Errors
    /// [`Error::Database`] where the replica does not answer.
    pub async fn resume_replay(&self) -> Result<(), Error> {
        let replica = Session::connect(self.url()).await?;
        replica.run("resume the replay", "select pg_wal_replay_resume()").await
    }

    /// Makes the replica a primary, and returns when it takes writes. It has what it had received; its sessions go on.
    ///
    /// The old primary is not told: where it still runs, there are two.
    ///
    /// # Errors
    /// [`Error::Database`] where the replica does not answer, [`Error::Server`] where it takes no writes within a minute;
    /// then it is gone.
    pub async fn promote(self) -> Result<Postgres, Error> {
        let replica = Session::connect(self.url()).await?;
        replica.run("promote the replica", "select pg_promote(false)").await?;
        self.wait_for(&replica.client, "promote", "select not pg_is_in_recovery()").await?;
        Ok(self.server)
    }

    /// Asks until the answer is true: no server tells by itself.
    async fn wait_for(&self, client: &Client, attempted: &'static str, sql: &str) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        let asked = client.prepare(sql).await.map_err(Error::database("ask the replica"))?;
        loop {
            let answer = client.query_one(&asked, &[]).await.map_err(Error::database("ask the replica"))?;
            if answer.get::<_, Option<bool>>(0) == Some(true) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let site = self.server.exclusive_only(attempted)?.site();
                return Err(site.failed(attempted, "it has not come to that within a minute".to_owned()));
            }
            sleep(GLANCE).await;
        }
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Replica").field("server", &self.server).finish_non_exhaustive()
    }
}
