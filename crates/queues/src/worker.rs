mod attempt;
mod buffer;
mod chores;
mod claimer;
mod holding;
mod judge;
mod keeper;
mod running;
mod session;
mod settler;
mod slots;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shared_core::Backoff;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;
use validator::Validate;

use crate::backend::Backend;
use crate::meters::TenantMeters;
use crate::{Config, Error, Jobs, Queues};
use session::{End, Session};

/// A running worker: it takes jobs and runs them, until it is stopped.
///
/// ```no_run
/// # use std::time::Duration;
/// # use shared_queues::{Config, Error, Jobs, Queues, Worker};
/// # async fn run(queues: Queues, jobs: Jobs<()>) -> Result<(), Error> {
/// let worker = Worker::start(&queues, (), jobs, Config::default()).await?;
/// // until it is time to go
/// let report = worker.stop(Duration::from_secs(25)).await;
/// assert_eq!(report.aborted, 0);
/// # Ok(()) }
/// ```
///
/// Dropping it without [`stop`](Self::stop) ends all its tasks at once, in the middle of their jobs: other workers take these
/// over when the lease has ended, and that counts as a crash.
#[must_use = "a worker that is dropped ends at once"]
pub struct Worker {
    stop: oneshot::Sender<Duration>,
    task: AbortOnDropHandle<StopReport>,
}

/// How a worker stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StopReport {
    /// Jobs whose attempt ended while the worker waited for it.
    pub finished: u64,
    /// Attempts that were broken off when the patience ended. They are not counted: the jobs are ready again.
    pub aborted: u64,
    /// Jobs that the worker held and handed back, the aborted ones among them; but those that somebody wants cancelled are gone.
    pub handed_back: u64,
    /// Outcomes that were refused in the worker's whole life, since the jobs were no longer its own: rescued after it was
    /// silent for too long.
    pub refused: u64,
    /// Whether everything the worker held is settled or handed back. If not, since the backend did not answer,
    /// other workers take it over when the lease has ended.
    pub released: bool,
}

/// What all tasks of a worker share.
pub(crate) struct Shared<S> {
    queues: Queues,
    state: S,
    jobs: Jobs<S>,
    /// The queues from which it takes jobs. Elsewhere here a queue is its place in this list.
    lines: Vec<Arc<str>>,
    config: Config,
    tenants: TenantMeters,
    refused: AtomicU64,
}

impl<S> Shared<S> {
    fn backend(&self) -> &dyn Backend {
        self.queues.backend.as_ref()
    }
}

/// How long a worker that could not register waits before it tries again, for the first time.
const REOPEN: Duration = Duration::from_millis(100);

/// How long the last words to the backend may take when a worker stops: settling, handing back.
const LAST_WORDS: Duration = Duration::from_secs(2);

impl Worker {
    /// Starts a worker for these jobs, from the queues in which they wait. Its handlers may ask for parts of `state`.
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::TwoHandlers`], and [`Error::Database`] if the worker can't be registered. Later it
    /// goes on whatever happens to the backend, and says so in the log.
    pub async fn start<S>(queues: &Queues, state: S, jobs: Jobs<S>, config: Config) -> Result<Self, Error>
    where
        S: Send + Sync + 'static,
    {
        config.validate().map_err(|errors| Error::Config(shared_core::broken_rules(&errors)))?;
        let jobs = jobs.checked()?;
        let shared = Arc::new(Shared {
            queues: queues.clone(),
            state,
            lines: jobs.queues(),
            jobs,
            tenants: TenantMeters::new(config.metered_tenants as usize),
            config,
            refused: AtomicU64::new(0),
        });
        let first = Session::open(shared.clone()).await?;
        let (stop, stopped) = oneshot::channel();
        let task = AbortOnDropHandle::new(tokio::spawn(live(shared, first, stopped)));
        Ok(Self { stop, task })
    }

    /// Stops: takes no further job, waits up to `patience` for those that run, breaks off the rest, and hands back what it
    /// held. When this returns nothing of the worker runs any more; that may take four seconds longer than `patience` if
    /// the backend does not answer.
    ///
    /// A job that is handed back has lost no attempt. Dropping the future ends the worker at once.
    pub async fn stop(self, patience: Duration) -> StopReport {
        // The receiver is gone only if the task has ended, which `task` then tells.
        let _ = self.stop.send(patience);
        self.task.await.unwrap_or_default()
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("running", &!self.task.is_finished()).finish_non_exhaustive()
    }
}

/// One incarnation after the other: one that could not renew its lease in time has lost its jobs, and its name.
async fn live<S: Send + Sync + 'static>(
    shared: Arc<Shared<S>>,
    mut session: Arc<Session<S>>,
    mut stop: oneshot::Receiver<Duration>,
) -> StopReport {
    loop {
        let lost = session.incarnation();
        match session.run(&mut stop).await {
            End::Stopped(report) => return report,
            End::Lost => tracing::warn!(worker = %lost, "a worker lost its lease; its jobs were broken off"),
        }
        session = tokio::select! {
            patience = &mut stop => return give_up(&shared, lost, patience.unwrap_or_default()).await,
            session = reopen(&shared, lost) => session,
        };
    }
}

/// Hands back what the lost incarnation may still hold, then begins anew; as often as it takes.
async fn reopen<S: Send + Sync + 'static>(shared: &Arc<Shared<S>>, lost: Uuid) -> Arc<Session<S>> {
    // When the server is there again, everybody who lives has handed back his jobs half a beat later: before anybody looks who does
    // not (`chores`). So an outage is not taken for crashes.
    let backoff = Backoff::new(REOPEN, shared.config.beat / 2);
    for retry in 1.. {
        let reopened = async {
            shared.backend().retire(lost, &shared.lines).await?;
            Session::open(shared.clone()).await
        };
        match reopened.await {
            Ok(session) => return session,
            Err(error) => tracing::warn!(%error, retry, "a worker can't register; it tries again"),
        }
        tokio::time::sleep(backoff.delay(retry)).await;
    }
    unreachable!("it is tried for ever")
}

/// Stops while there is no session.
async fn give_up<S>(shared: &Shared<S>, lost: Uuid, patience: Duration) -> StopReport {
    let report = StopReport { refused: shared.refused.load(Ordering::Relaxed), ..StopReport::default() };
    match timeout(patience.min(LAST_WORDS), shared.backend().retire(lost, &shared.lines)).await {
        Ok(Ok(handed_back)) => StopReport { handed_back, released: true, ..report },
        _ => report,
    }
}

/// From here until the end of the lease, if it is renewed now: shorter by a third, so that jobs are broken off before others
/// may take them.
fn sure_until(sent: Instant, lease: Duration) -> Instant {
    sent + lease - lease / 3
}

#[cfg(test)]
mod tests;
