//! The relay: cuts the log into batches, and delivers each in the order of its keys.

mod attempt;
mod batch;
mod check;
mod deliver;
mod lease;
mod parking;
#[cfg(test)]
mod plans;
mod redrive;
mod tick;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use shared_core::{Backoff, fault};
use shared_db::{Check, Db};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::events::Bound;
use crate::metrics::METRICS;
use crate::publish::SIGNAL;
use crate::{Config, Error, Events};
use lease::Lease;
pub use redrive::Redriven;

/// What the relay's own SQL is, for the test that compares it with the schema.
#[cfg_attr(not(test), allow(dead_code, reason = "it is for a test"))]
pub(crate) const STATEMENTS: [&[(&str, &dyn Check)]; 6] = [
    attempt::STATEMENTS,
    batch::STATEMENTS,
    check::STATEMENTS,
    lease::STATEMENTS,
    parking::STATEMENTS,
    tick::STATEMENTS,
];

/// The waits of a relay that can't go on, such as while the database restarts.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// A running relay: it reads the log for one subscription and runs the consumers of this program.
///
/// Any number of instances may run; one at a time holds the subscription's lease. [`stop`](Self::stop) ends it in order.
/// Dropping it ends it as well: deliveries under way are rolled back and come again.
pub struct Relay {
    core: Arc<Core>,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

/// What every part of the relay works with.
pub(crate) struct Core {
    pub(crate) db: Db,
    pub(crate) consumers: Vec<Bound>,
    pub(crate) config: Config,
}

impl Relay {
    /// Starts delivering in a task of its own.
    ///
    /// # Errors
    /// [`Error::Config`] for settings or consumers that can't work; [`Error::Unsafe`] if reading here could lose or disorder
    /// events: a standby, a sequence that caches, a log that was restored behind its subscription; [`Error::Database`].
    pub async fn start<S: Send + Sync + 'static>(
        db: Db,
        state: S,
        events: Events<S>,
        config: Config,
    ) -> Result<Self, Error> {
        check::config(&config)?;
        let consumers = events.bind(state)?;
        check::database(&db).await?;
        check::subscription(&db, &config.subscription).await?;
        let core = Arc::new(Core { db, consumers, config });
        let stop = CancellationToken::new();
        let task = AbortOnDropHandle::new(tokio::spawn(run(Arc::clone(&core), stop.clone())));
        Ok(Self { core, stop, task })
    }

    /// Lets the attempts under way finish, each within its time limit, hands the lease on, and returns when nothing runs any
    /// more. Dropping the future ends it at once, as dropping the relay does.
    pub async fn stop(self) {
        self.stop.cancel();
        // It can only have ended by itself: nobody else has the handle to abort it.
        let _ = self.task.await;
    }

    /// Whether the task still runs; for a liveness probe. It ends by `stop` alone, unless there is a bug.
    pub fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    /// Runs a consumer's parked events again, each key's in order, one attempt each; a key stops at its first failure. Events
    /// that arrive meanwhile wait behind. It may run beside the relays, and beside itself.
    ///
    /// Dropping the future rolls back the event under way; it stays parked.
    ///
    /// # Errors
    /// [`Error::UnknownConsumer`] if this program has no consumer of that name, [`Error::Database`].
    pub async fn redrive(&self, consumer: &str) -> Result<Redriven, Error> {
        redrive::redrive(&self.core, consumer).await
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("subscription", &self.core.config.subscription).finish_non_exhaustive()
    }
}

/// Why a relay that held the lease does no longer work under it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Halt {
    #[error("another relay has taken the lease")]
    Lost,
    #[error("a delivery ended by a bug")]
    Bug,
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<shared_db::Error> for Halt {
    fn from(error: shared_db::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// The relay's whole life.
async fn run(core: Arc<Core>, stop: CancellationToken) {
    let mut failures = 0;
    while !stop.is_cancelled() {
        let wait = match core.lead(&stop).await {
            Ok(()) => {
                failures = 0;
                core.config.poll
            }
            Err(halt) => {
                failures += 1;
                tracing::warn!(subscription = core.config.subscription, "the relay pauses: {halt}");
                BACKOFF.delay(failures)
            }
        };
        pause(wait, &stop).await;
    }
}

/// Waits, or until the relay is to stop.
pub(crate) async fn pause(wait: Duration, stop: &CancellationToken) {
    let _ = tokio::time::timeout(wait, stop.cancelled()).await;
}

impl Core {
    /// Takes the lease, if it is free, and works until it is lost, the database fails, or the relay is to stop.
    async fn lead(self: &Arc<Self>, stop: &CancellationToken) -> Result<(), Halt> {
        let Some(mut lease) = Lease::take(&self.db, &self.config).await? else { return Ok(()) };
        let worked = self.work(&mut lease, stop).await;
        match &worked {
            Err(Halt::Lost) => METRICS.fenced.add(1, &[]),
            // Where it can't be handed on, it expires.
            _ => drop(lease.release(&self.db).await),
        }
        worked
    }

    async fn work(self: &Arc<Self>, lease: &mut Lease, stop: &CancellationToken) -> Result<(), Halt> {
        while !stop.is_cancelled() {
            match tick::look(&self.db, lease.tick).await? {
                (Some(next), _) => self.pass(lease, next, stop).await?,
                (None, true) => {
                    tick::cut(&self.db).await?;
                    fault::point("events.relay.cut");
                }
                (None, false) => self.idle(lease, stop).await?,
            }
        }
        Ok(())
    }

    /// Delivers everything between the cursor and the next tick, and moves the cursor there. The batch is the same
    /// whoever reads it and whenever, so a relay that comes after goes on within it.
    async fn pass(
        self: &Arc<Self>,
        lease: &mut Lease,
        next: i64,
        stop: &CancellationToken,
    ) -> Result<(), Halt> {
        let size = self.config.page as usize;
        loop {
            let page = batch::page(&self.db, (lease.tick, lease.pos), next, size).await?;
            let (found, last) = (page.len(), page.last().map_or(lease.pos, |event| event.pos));
            if found > 0 {
                fault::point("events.relay.read");
                self.deliver(lease, page, stop).await?;
                fault::point("events.relay.delivered");
            }
            if stop.is_cancelled() {
                // What was delivered of this page has its mark in the inbox.
                return Ok(());
            }
            METRICS.delivered.add(found as u64, &[]);
            if found < size {
                break;
            }
            lease.advance(&self.db, lease.tick, last).await?;
        }
        lease.advance(&self.db, next, 0).await?;
        fault::point("events.relay.advanced");
        Ok(tick::prune(&self.db, next).await?)
    }

    /// Delivers a page, and keeps the lease meanwhile. When it returns, however it does, no delivery runs any more.
    async fn deliver(
        self: &Arc<Self>,
        lease: &mut Lease,
        page: Vec<crate::received::Stored>,
        stop: &CancellationToken,
    ) -> Result<(), Halt> {
        let mut lanes = JoinSet::new();
        let done = tokio::select! {
            done = deliver::page(self, page, stop, &mut lanes) => done,
            halt = lease.keep(&self.db) => Err(halt),
        };
        lanes.shutdown().await;
        done
    }

    /// Nothing is to be done: waits for a commit of this process, or for the time to look at what others committed.
    async fn idle(&self, lease: &mut Lease, stop: &CancellationToken) -> Result<(), Halt> {
        let signal = self.db.signal(SIGNAL);
        tokio::select! {
            () = signal.notified() => {}
            () = pause(self.config.poll, stop) => {}
        }
        lease.renew_if_due(&self.db).await
    }
}
