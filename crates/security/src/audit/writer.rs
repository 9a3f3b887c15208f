use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shared_core::{Backoff, fault};
use shared_db::Db;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::config::Config;
use super::entry::{APPEND, to_json};
use super::handle::{Audit, Pending};

/// Events in one statement at most: the round trip is then a small part of their cost.
const BATCH: usize = 500;

/// The waits of a writer whose database does not answer.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// The task that writes what [`Audit`] takes: whatever has gathered goes out as one statement, and while it is on its way the next
/// gathers. It is sent again until the database has it, or [`stop`](Self::stop) is out of patience; an entry comes once, however
/// often it is sent.
///
/// [`stop`](Self::stop) flushes. Dropping it ends the task at once; what was not written is counted as lost.
pub struct Writer {
    audit: Audit,
    stop: CancellationToken,
    flush_within: Duration,
    task: AbortOnDropHandle<()>,
}

/// What a [`Writer`] has done by the time it has stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flushed {
    /// Events that are committed.
    pub written: u64,
    /// Events that found no room, that the server refused, or that were left when the database did not answer until the end.
    pub lost: u64,
}

impl Writer {
    /// Starts the writer, in a task of its own. It writes as the system role, for all tenants.
    pub fn start(db: Db, config: &Config) -> Self {
        let (sender, queue) = mpsc::channel(config.buffer as usize);
        let stop = CancellationToken::new();
        let task = AbortOnDropHandle::new(tokio::spawn(run(db, queue, stop.clone())));
        let audit = Audit::new(sender, config.durable_within);
        Self { audit, stop, flush_within: config.flush_within, task }
    }

    /// The handle to record by.
    pub fn audit(&self) -> Audit {
        self.audit.clone()
    }

    /// Takes no more events, writes those it has, for as long as the settings allow, and returns when nothing runs any more.
    pub async fn stop(self) -> Flushed {
        self.stop.cancel();
        let mut task = self.task;
        if tokio::time::timeout(self.flush_within, &mut task).await.is_err() {
            task.abort();
            // Aborted, and has dropped what it held.
            let _ = task.await;
        }
        let counts = self.audit.counts();
        Flushed { written: counts.written.load(Ordering::Relaxed), lost: counts.lost.load(Ordering::Relaxed) }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("audit", &self.audit).finish_non_exhaustive()
    }
}

/// The writer's whole life.
async fn run(db: Db, mut queue: mpsc::Receiver<Pending>, stop: CancellationToken) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled(), if !queue.is_closed() => queue.close(),
            taken = queue.recv_many(&mut batch, BATCH) => match taken {
                0 => return,
                _ => write(&db, &mut batch).await,
            }
        }
    }
}

/// Writes the batch, until the database has it.
async fn write(db: &Db, batch: &mut Vec<Pending>) {
    let (mut failures, mut together) = (0, batch.len());
    while !batch.is_empty() {
        together = together.min(batch.len());
        let json = to_json(batch.iter().take(together).map(|pending| &pending.entry));
        fault::point("security.audit.writing");
        match db.system().execute(&APPEND, (json,)).await {
            Ok(_) => {
                fault::point("security.audit.written");
                batch.drain(..together).for_each(Pending::written);
                failures = 0;
            }
            // One of them has a value that the server does not take. The others must not go with it.
            Err(error) if is_about_a_value(&error) && together > 1 => together = 1,
            Err(error) if is_about_a_value(&error) => {
                tracing::error!(target: "audit", %error, "the server refused an audit event");
                drop(batch.remove(0));
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, waiting = batch.len(), "audit events could not be written; tries again");
                tokio::time::sleep(BACKOFF.delay(failures)).await;
            }
        }
    }
}

/// SQLSTATE classes 22, data exception, and 23, integrity.
fn is_about_a_value(error: &shared_db::Error) -> bool {
    error.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}
