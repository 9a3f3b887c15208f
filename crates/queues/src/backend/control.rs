use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use shared_core::TenantId;

use crate::dead::DeadLetter;
use crate::filter::{DeadFilter, JobFilter};
use crate::limit::{Limit, LimitPlace, LimitStatus};
use crate::view::{JobView, QueueStatus};
use crate::{Error, JobId};

/// What became of a request to cancel a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancelled {
    /// It was waiting, and is gone.
    Removed,
    /// It is running: its worker is told, and its handler hears of it by [`JobContext::cancelled`](crate::JobContext::cancelled). This attempt
    /// is the last one: unless it completes the job, that is cancelled, or gone if its worker gives it back.
    Asked,
    /// There is no such job: it is finished or dead, or never was.
    NotFound,
}

/// The queues seen and steered from outside.
#[async_trait]
pub(crate) trait Control: fmt::Debug + Send + Sync + 'static {
    /// All queues that have ever had a job or a setting.
    async fn queues(&self) -> Result<Vec<QueueStatus>, Error>;
    async fn job(&self, job: JobId) -> Result<Option<JobView>, Error>;
    /// The latest first, at most this many; bounded work, so on a backend without an index it may look at the latest 10,000 of a
    /// state alone.
    async fn search(&self, filter: &JobFilter, most: u32) -> Result<Vec<JobView>, Error>;
    async fn cancel(&self, job: JobId) -> Result<Cancelled, Error>;
    /// Gives a job that is not due another time, so long from now: one that is scheduled, or one of an ordered lane that waits for another
    /// attempt. Whether there was one.
    async fn reschedule(&self, job: JobId, wait: Duration) -> Result<bool, Error>;

    /// The latest first.
    async fn dead(&self, filter: &DeadFilter, most: u32) -> Result<Vec<DeadLetter>, Error>;
    /// Makes dead jobs ready again, the oldest letters first, at most this many, into another queue if one is named; with all their
    /// attempts before them and no crash on their account. Returns the jobs.
    async fn redrive(&self, filter: &DeadFilter, into: Option<&str>, most: u32) -> Result<Vec<JobId>, Error>;
    /// Throws dead letters away, the oldest first, at most this many.
    async fn discard(&self, filter: &DeadFilter, most: u32) -> Result<u64, Error>;

    /// Stops claims from a queue, or of a tenant's jobs in it. What runs goes on.
    async fn set_paused(&self, queue: &str, tenant: Option<TenantId>, paused: bool) -> Result<(), Error>;
    /// The tenant's share against that of others in the queue; 1 for all that were never set. From 1 to 100.
    async fn set_weight(&self, queue: &str, tenant: TenantId, weight: u32) -> Result<(), Error>;

    /// Sets, or with `None` removes, a limit: of a name; or of one key of that name, before which the name's own steps back.
    async fn set_limit(&self, name: &str, key: Option<&str>, limit: Option<Limit>) -> Result<(), Error>;
    /// Sets, or removes, the limit of all jobs of a queue.
    async fn set_queue_limit(&self, queue: &str, limit: Option<Limit>) -> Result<(), Error>;
    /// Limits that are set, and the use of those with jobs at this moment, by their places; those behind `after`, at most this many.
    async fn limits(&self, after: Option<&LimitPlace>, most: u32) -> Result<Vec<LimitStatus>, Error>;
    /// Admits nothing through this limit, or this key of it, for so long: a server has asked for it (429).
    async fn hold(&self, name: &str, key: Option<&str>, wait: Duration) -> Result<(), Error>;
}
