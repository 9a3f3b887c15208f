//! The sealer: reads what was committed, cut by cut, and chains it.

mod pace;
mod page;
#[cfg(test)]
mod plans;
mod state;

use std::fmt;
use std::time::{Duration, Instant};

use shared_core::{Backoff, fault};
use shared_db::{Check, Db, cut};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::state::{Lease, State};
use super::config::Config;
use super::metrics::METRICS;
use crate::Error;

#[cfg_attr(not(test), allow(dead_code, reason = "it is for a test"))]
pub(crate) const STATEMENTS: [&[(&str, &dyn Check)]; 2] = [page::STATEMENTS, state::STATEMENTS];

/// The waits of a sealer that can't go on, such as while the database restarts.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// A running sealer. Any number may run, in any processes; one at a time holds the lease and seals, and another takes over within two
/// leases of its death.
///
/// [`stop`](Self::stop) seals what is there and hands the lease on. Dropping it ends it at once: what it was about to seal the next
/// one seals.
pub struct Sealer {
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Sealer {
    /// Starts sealing, in a task of its own.
    ///
    /// # Errors
    /// [`Error::Uncut`] where entries could be lost: on a standby, with a sequence that caches, or behind a restore into another
    /// server, whose transactions are numbered anew; [`Error::Database`].
    pub async fn start(db: Db, config: &Config) -> Result<Self, Error> {
        cut::check(&db.system(), "shared_security.audit_log").await.map_err(Error::uncut)?;
        state::check(&db).await?;
        let stop = CancellationToken::new();
        let (every, lease) = (config.seal_every, config.lease);
        let work = Work { db, every, lease, stop: stop.clone() };
        Ok(Self { stop, task: AbortOnDropHandle::new(tokio::spawn(work.run())) })
    }

    /// Seals what was committed before, if it holds the lease and the database answers, and returns when nothing runs any more.
    pub async fn stop(self) {
        self.stop.cancel();
        // It can only have ended by itself: nobody else has the handle to abort it.
        let _ = self.task.await;
    }

    /// Whether the task still runs; for a liveness probe. It ends by `stop` alone, unless there is a bug.
    pub fn is_running(&self) -> bool {
        !self.task.is_finished()
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("is_running", &self.is_running()).finish_non_exhaustive()
    }
}

/// Why a sealer that held the lease no longer works under it.
#[derive(Debug, thiserror::Error)]
enum Halt {
    #[error("another sealer has taken the lease")]
    Lost,
    #[error(transparent)]
    Failed(#[from] shared_db::Error),
}

struct Work {
    db: Db,
    every: Duration,
    lease: Duration,
    stop: CancellationToken,
}

impl Work {
    async fn run(self) {
        let mut failures = 0;
        while !self.stop.is_cancelled() {
            let wait = match self.lead().await {
                Ok(()) => {
                    failures = 0;
                    self.every.min(self.lease / 2)
                }
                Err(halt) => {
                    failures += 1;
                    tracing::warn!("the sealer of the audit log pauses: {halt}");
                    BACKOFF.delay(failures)
                }
            };
            self.pause(wait).await;
        }
    }

    async fn pause(&self, wait: Duration) {
        let _ = tokio::time::timeout(wait, self.stop.cancelled()).await;
    }

    /// Takes the lease, if it is free, and seals until it is lost, the database fails, or the sealer is to stop.
    async fn lead(&self) -> Result<(), Halt> {
        let Some(mut lease) = Lease::take(&self.db, self.lease).await? else { return Ok(()) };
        let worked = self.work(&mut lease).await;
        match &worked {
            Err(Halt::Lost) => {
                METRICS.fenced.add(1, &[]);
                fault::point("security.audit.fenced");
            }
            // Where it can't be handed on, it expires.
            _ => drop(lease.release(&self.db).await),
        }
        worked
    }

    async fn work(&self, lease: &mut Lease) -> Result<(), Halt> {
        let mut looked = Instant::now();
        loop {
            // Looked at before, so that what was committed before the stop is sealed after it.
            let is_last = self.stop.is_cancelled();
            let since = std::mem::replace(&mut looked, Instant::now());
            let found = self.seal(lease).await?;
            if is_last {
                return Ok(());
            }
            lease.renew_if_due(&self.db).await?;
            let most = self.every.min(self.lease / 3);
            self.pause(pace::pause(found, looked - since, most)).await;
        }
    }

    /// Seals everything that is committed now, and returns how many entries that were. Each step is a statement of its own, which
    /// names the lease's epoch and the place that it goes on from: a sealer that is stopped between two of them holds no lock, and
    /// when it wakes up its statements touch nothing. Whoever comes after goes on at the same place, and makes the same batches.
    async fn seal(&self, lease: &mut Lease) -> Result<usize, Halt> {
        let mut found = 0;
        loop {
            let (cut, is_new) = match lease.look(&self.db).await? {
                State::Nothing => {
                    METRICS.unsealed.record(0.0, &[]);
                    return Ok(found);
                }
                State::Uncut => {
                    let cut = lease.cut(&self.db).await?;
                    fault::point("security.audit.cut");
                    (cut, true)
                }
                // One that was left half sealed. There may be more behind it.
                State::Cut(cut) => (cut, false),
            };
            let mut next = Some(cut);
            while let Some(cut) = next {
                let sealed;
                (sealed, next) = page::seal(&self.db, lease, cut).await?;
                found += sealed;
            }
            if is_new {
                return Ok(found);
            }
        }
    }
}
