//! The connection that migrates.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use shared_core::{Backoff, fault};
use tokio_postgres::Client;

use crate::address::Address;
use crate::config::{Config, quoted};
use crate::error::{Error, described};

/// The key of the advisory lock: "shared" and 1. Two programs that start together take turns.
const LOCK: i64 = 0x7368_6172_6564_0001;

/// How long to wait for another program that migrates. Long steps exist; five minutes of them mean trouble.
const LOCK_PATIENCE: Duration = Duration::from_secs(300);

/// Between two looks at who is in the way.
const GLANCE: Duration = Duration::from_millis(200);

/// What a session begins with. Statements name their schemas; extensions lie in `public`, as for the pools.
const SETTINGS: &str = "SET search_path = public; SET statement_timeout = 0";

/// So that the server ends what it does for a program that was killed, and lets the next one have the lock.
const NOTICE_DEATH: &str = "SET client_connection_check_interval = '1s'";

/// A direct connection of its own, ended with the value.
pub(crate) struct Session {
    pub(crate) client: Client,
    /// For spans.
    pub(super) database: String,
    driver: tokio::task::JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Session {
    /// Logs in as the owner's login.
    pub(crate) async fn open(config: &Config) -> Result<Self, Error> {
        let Address { mut settings, tls } = Address::new(config, config.owner_url())?;
        settings.application_name("shared-db bootstrap");
        let database = settings.get_dbname().or(settings.get_user()).unwrap_or_default().to_owned();
        let opening = async {
            let (client, connection) =
                settings.connect(tls).await.map_err(|error| Error::Connect { reason: described(&error) })?;
            let driver = tokio::spawn(async move {
                // Its error reaches the client as well.
                let _ = connection.await;
            });
            let session = Self { client, database, driver };
            session.run(SETTINGS).await?;
            // Not every operating system can tell the server; then the end is noticed later.
            let _ = session.send(NOTICE_DEATH).await;
            Ok(session)
        };
        let late = || Err(Error::Connect { reason: "the server did not answer in time".to_owned() });
        // The driver's own limit ends with the first packet, which also a server that hangs takes.
        tokio::time::timeout(config.connect_timeout, opening).await.unwrap_or_else(|_| late())
    }

    /// In another encoding a text of a caller may have no place, and what is said of one that can't be stored would not be true.
    pub(super) async fn must_be_utf8(&self) -> Result<(), Error> {
        let row = self
            .client
            .query_one("SELECT current_setting('server_encoding'), current_database()::text", &[])
            .await
            .map_err(failed)?;
        let (encoding, database) = (row.get::<_, String>(0), row.get::<_, String>(1));
        if encoding == "UTF8" {
            return Ok(());
        }
        Err(Error::Bootstrap(format!(
            "the encoding of the database is {encoding}, which can't store every text; it has to be UTF8: dump it and restore it into one made by \
             CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0;",
            quoted(&database)
        )))
    }

    /// By asking again and again: a session that waits inside the server holds a snapshot, and two of those
    /// deadlock with a concurrent index build.
    pub(super) async fn lock(&self) -> Result<(), Error> {
        let (start, backoff) =
            (Instant::now(), Backoff::new(Duration::from_millis(20), Duration::from_millis(500)));
        for retry in 1.. {
            let row =
                self.client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await.map_err(failed)?;
            if row.get(0) {
                break;
            }
            if start.elapsed() > LOCK_PATIENCE {
                return Err(Error::Bootstrap(format!(
                    "another program has been migrating for {} s; see who holds the advisory lock in pg_locks",
                    LOCK_PATIENCE.as_secs()
                )));
            }
            tokio::time::sleep(backoff.delay(retry)).await;
        }
        Ok(())
    }

    /// The lock goes with the session, whatever happens; this only spares others the wait for its end.
    pub(super) async fn unlock(&self) {
        let _ = self.send(&format!("RESET ROLE; SELECT pg_advisory_unlock({LOCK})")).await;
    }

    /// Everything that changes the database goes through here.
    pub(super) async fn send(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        let done = self.client.batch_execute(sql).await;
        fault::point("db.bootstrap.answered");
        done
    }

    pub(crate) async fn run(&self, sql: &str) -> Result<(), Error> {
        self.send(sql).await.map_err(failed)
    }

    pub(super) async fn exists(&self, query: &str, name: &str) -> Result<bool, Error> {
        self.client.query_opt(query, &[&name]).await.map(|row| row.is_some()).map_err(failed)
    }

    /// Runs what takes a right that the login may lack; then the error carries the statement for somebody who has it.
    pub(super) async fn right(&self, sql: &str, shown: &str) -> Result<(), Error> {
        let backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(500));
        for retry in 1..=10 {
            match self.send(sql).await {
                Ok(()) => return Ok(()),
                // Two databases that change one role at once: "tuple concurrently updated".
                Err(error) if error.code().is_some_and(|code| code.code() == "XX000") && retry < 10 => {
                    tokio::time::sleep(backoff.delay(retry)).await;
                }
                Err(error) => {
                    return Err(needs_right(&described(&error), shown));
                }
            }
        }
        Ok(())
    }

    pub(super) async fn pid(&self) -> Result<i32, tokio_postgres::Error> {
        self.client.query_one("SELECT pg_backend_pid()", &[]).await.map(|row| row.get(0))
    }

    /// Does the work of another session, and sees from this one who blocks it.
    pub(super) async fn watching<T>(&self, pid: i32, work: impl Future<Output = T>) -> (T, Option<String>) {
        let mut seen = None;
        let done = tokio::select! {
            done = work => done,
            never = self.watch(pid, &mut seen) => match never {},
        };
        (done, seen)
    }

    async fn watch(&self, pid: i32, seen: &mut Option<String>) -> Infallible {
        const BLOCKERS: &str = "
            SELECT string_agg(format('%s (%s)', pid, concat_ws(', ', nullif(application_name, ''), state)), ', ' ORDER BY pid)
              FROM pg_stat_activity WHERE pid = ANY(pg_blocking_pids($1))";
        loop {
            tokio::time::sleep(GLANCE).await;
            // It is only for the error; who can't be seen stays unnamed.
            if let Ok(row) = self.client.query_one(BLOCKERS, &[&pid]).await {
                *seen = row.get::<_, Option<String>>(0).or(seen.take());
            }
        }
    }
}

pub(super) fn needs_right(reason: &str, statement: &str) -> Error {
    Error::Bootstrap(format!("{reason}; let somebody who may run: {statement};"))
}

pub(crate) fn failed(error: tokio_postgres::Error) -> Error {
    Error::Bootstrap(described(&error))
}
