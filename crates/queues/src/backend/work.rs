use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use shared_core::TenantId;
use shared_db::TenantTx;
use uuid::Uuid;

use crate::dead::Reason;
use crate::limit::LimitKey;
use crate::{Enqueued, Error, JobId, Priority, Progress, Unique};

/// Which claim holds a job: it is named in every change of the job's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fence {
    /// The incarnation of the worker, new at each start.
    pub(crate) worker: Uuid,
    /// The number of the claim, counted by the worker.
    pub(crate) claim: i64,
    pub(crate) job: JobId,
}

/// A job on its way in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) job: JobId,
    pub(crate) tenant: TenantId,
    pub(crate) queue: Cow<'static, str>,
    pub(crate) name: Cow<'static, str>,
    pub(crate) version: u32,
    /// JSON.
    pub(crate) payload: String,
    /// JSON: tenant, actor, correlation, traceparent.
    pub(crate) context: String,
    pub(crate) priority: Priority,
    pub(crate) delay: Duration,
    /// Jobs of one tenant with the same ordering key in a queue run one after the other.
    pub(crate) order: Option<String>,
    /// The named limits that it counts against.
    pub(crate) limits: Vec<LimitKey>,
    pub(crate) unique: Option<Unique>,
}

/// What a worker asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) queue: &'a str,
    /// How many jobs at most.
    pub(crate) most: usize,
    pub(crate) worker: Uuid,
    /// No other claim of this worker has it, nor a later one of the queue a lower one. Multiples of sixteen begin with the lowest priority.
    pub(crate) number: i64,
}

impl Claim<'_> {
    /// One claim in so many begins with the lowest priority, so that nothing waits for ever behind more urgent work.
    pub(crate) const LOWEST_FIRST_EVERY: i64 = 16;

    pub(crate) fn lowest_first(&self) -> bool {
        self.number % Self::LOWEST_FIRST_EVERY == 0
    }

    /// The bands of its priorities, in their order.
    pub(crate) fn bands(&self) -> [i16; 3] {
        if self.lowest_first() { [2, 1, 0] } else { [0, 1, 2] }
    }
}

/// A claimed job, not yet looked into.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Claimed {
    pub(crate) job: JobId,
    pub(crate) tenant: TenantId,
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) payload: String,
    pub(crate) context: String,
    /// Failed attempts before this one.
    pub(crate) attempts: u32,
    /// Since this attempt was due.
    pub(crate) waited: Duration,
    /// Since it was enqueued, or brought back from the dead letters.
    pub(crate) age: Duration,
    /// It had to be admitted: it has limits, or an ordering key.
    pub(crate) is_laned: bool,
}

/// What becomes of a job after an attempt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fate {
    /// Done. It is remembered, with its result, for `keep`; if that is nothing, nothing is left of it.
    Completed {
        result: Option<String>,
        keep: Duration,
    },
    /// The attempt failed; another one follows.
    Retry {
        after: Duration,
        error: String,
    },
    /// Later, and no attempt is counted: it asked for that, or this program does not know it.
    Later(Duration),
    /// It was cancelled while it ran. Remembered as a completed one is.
    Cancelled {
        keep: Duration,
    },
    Dead(Reason, String),
}

/// A job and what becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settled {
    pub(crate) claim: i64,
    pub(crate) job: JobId,
    pub(crate) fate: Fate,
    /// For how long it is remembered if it ends as cancelled since somebody wants that, whatever was to become of it.
    pub(crate) keep_cancelled: Duration,
}

impl Settled {
    /// Nothing is left of it if somebody wants it cancelled.
    pub(crate) const fn new(claim: i64, job: JobId, fate: Fate) -> Self {
        Self { claim, job, fate, keep_cancelled: Duration::ZERO }
    }
}

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Workers that had not renewed in time.
    pub(crate) expired: u64,
    /// Jobs that were theirs, and can be claimed again (behind their limits, if they have any).
    pub(crate) rescued: u64,
    /// Jobs whose crash budget is spent.
    pub(crate) dead: u64,
}

impl Swept {
    /// What was done counts, whatever failed besides: the next sweep tries that again. Unless nothing was done.
    pub(crate) fn despite(self, failed: Option<Error>) -> Result<Self, Error> {
        let Some(error) = failed else { return Ok(self) };
        if self == Self::default() {
            return Err(error);
        }
        tracing::warn!(%error, "could not take over all jobs of dead workers; tries again");
        Ok(self)
    }
}

/// How much a queue remembers of jobs that have ended, beside the time that each of them brings along.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// Completed and cancelled jobs at most.
    pub(crate) kept_most: u64,
    /// How long dead letters are kept.
    pub(crate) dead_for: Duration,
    /// And how many of them at most.
    pub(crate) dead_most: u64,
}

/// Jobs in, jobs out.
#[async_trait]
pub(crate) trait Work: fmt::Debug + Send + Sync + 'static {
    /// Takes jobs in: all of them or, on an error, none, as far as the backend can tell. One answer for each, in their order.
    async fn enqueue(&self, jobs: Vec<Entry>) -> Result<Vec<Enqueued>, Error>;

    /// Takes in a job that may come more than once, since whoever brings it can't know whether it had arrived: the second time it is
    /// `Existing`, while it is there and for `remember` after it came, also when it has ended meanwhile.
    async fn enqueue_once(&self, job: Entry, remember: Duration) -> Result<Enqueued, Error>;

    /// A worker begins. It may then claim from these queues, until the lease ends.
    async fn register(&self, worker: Uuid, queues: &[Arc<str>], lease: Duration) -> Result<(), Error>;

    /// Renews the lease and stores how far running jobs are. Whether the worker still has its jobs: if not, it has lost them in
    /// all queues.
    async fn renew(
        &self,
        worker: Uuid,
        queues: &[Arc<str>],
        lease: Duration,
        progress: &[(JobId, Progress)],
    ) -> Result<bool, Error>;

    /// The worker goes by itself: whatever it still holds can be claimed again, and nothing is counted against the jobs; but what somebody wants
    /// cancelled is gone. How many jobs can be claimed again. May be repeated.
    async fn retire(&self, worker: Uuid, queues: &[Arc<str>]) -> Result<u64, Error>;

    /// The same for single claims of a worker that lives.
    async fn give_back(&self, worker: Uuid, queue: &str, claims: &[i64]) -> Result<u64, Error>;

    /// What it takes for the worker's: each job with the number of its claim.
    async fn held(&self, worker: Uuid, queue: &str) -> Result<Vec<(JobId, i64)>, Error>;

    /// Takes the jobs of workers whose lease has ended. Whoever begins with it, all of it is done in the end; bounded steps. What somebody wants
    /// cancelled is gone.
    async fn sweep(&self, queues: &[Arc<str>], crash_budget: u32) -> Result<Swept, Error>;

    /// Takes jobs under a fence. Of the priorities the highest first; between tenants in turn by weight; of a tenant the oldest
    /// first. Jobs behind limits are admitted first. A worker that is not registered gets nothing.
    async fn claim(&self, claim: Claim<'_>) -> Result<Vec<Claimed>, Error>;

    /// Settles what the worker's fence still holds, all jobs of one queue, and returns those that were refused since it doesn't.
    /// May be repeated: what was settled is no longer held, so it is refused then. What somebody wants cancelled, and is not complete, ends as
    /// cancelled, whatever its fate was to be.
    async fn settle(&self, worker: Uuid, queue: &str, all: &[Settled]) -> Result<Vec<JobId>, Error>;

    /// Lets the COMMIT of this transaction complete the job, if the backend's tables are in its database: it then fails with the
    /// SQLSTATE `SQ001` unless the fence holds. The job is remembered for `keep`, and settled all the same. Returns whether it
    /// will; a backend that is elsewhere can't.
    fn complete_in(&self, _tx: &mut TenantTx, _fence: Fence, _keep: Duration) -> bool {
        false
    }

    /// Returns when a job of these queues may be ready, and after `most` at the latest, or a tenth of a second where that is more. It may
    /// return for nothing, and it may miss what another process does; so it is a hint. Dropping the future loses nothing.
    async fn wait(&self, queues: &[Arc<str>], most: Duration);

    /// Makes ready, or puts into its lane, what is due; a bounded number. Whether more may be due.
    async fn promote(&self, queue: &str) -> Result<bool, Error>;

    /// Jobs which this worker holds and which somebody wants cancelled. Each is told until the worker settles it.
    async fn to_cancel(&self, worker: Uuid, queues: &[Arc<str>]) -> Result<Vec<JobId>, Error>;

    /// Removes what is remembered for longer than it should be: completed and cancelled jobs past their time, dead letters past theirs; of
    /// each of the two what is beyond the number that a queue may have, those first whose time ends first; and marks of uniqueness that
    /// nobody needs. A bounded number; returns it, and whether there may be more.
    async fn prune(&self, queues: &[Arc<str>], retention: Retention) -> Result<(u64, bool), Error>;
}
