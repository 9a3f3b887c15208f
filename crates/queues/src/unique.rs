use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, JobId};

/// When a job counts as the same as one before it, and what happens then.
///
/// Jobs are the same if queue, tenant, name and this key are. It is decided by the backend, in the transaction or script that
/// writes the job, so it holds between producers that run at once, and within a batch.
///
/// ```
/// use std::time::Duration;
/// use shared_queues::Unique;
///
/// let once_a_minute = Unique::throttle("report:7", Duration::from_secs(60));
/// let the_newest = Unique::keep_latest("index:42");
/// # let _ = (once_a_minute, the_newest);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unique {
    pub(crate) key: String,
    pub(crate) on_duplicate: OnDuplicate,
}

/// What happens to a job that is the same as one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnDuplicate {
    Reject,
    Existing,
    Throttle(Duration),
    Debounce,
    KeepLatest,
}

impl OnDuplicate {
    /// Whether a later job may replace the text of this one.
    #[cfg(feature = "redis")]
    pub(crate) const fn replaces(self) -> bool {
        matches!(self, Self::Debounce | Self::KeepLatest)
    }
}

impl Unique {
    /// While the same job waits or runs, enqueueing it fails with [`Error::Duplicate`](crate::Error::Duplicate).
    pub fn reject(key: impl Into<String>) -> Self {
        Self { key: key.into(), on_duplicate: OnDuplicate::Reject }
    }

    /// While the same job waits or runs, that one is [returned](Enqueued::Existing).
    pub fn existing(key: impl Into<String>) -> Self {
        Self { key: key.into(), on_duplicate: OnDuplicate::Existing }
    }

    /// At most one is enqueued in each such period, whatever becomes of it; later ones return it.
    pub fn throttle(key: impl Into<String>, period: Duration) -> Self {
        Self { key: key.into(), on_duplicate: OnDuplicate::Throttle(period) }
    }

    /// While the same job waits, its payload is [replaced](Enqueued::Replaced) and its delay begins anew: it runs once things have
    /// been quiet for as long as the delay of the last one.
    pub fn debounce(key: impl Into<String>) -> Self {
        Self { key: key.into(), on_duplicate: OnDuplicate::Debounce }
    }

    /// One runs, and one waits behind it, with the payload of the latest. They never run at once: the key is their ordering key,
    /// before any that the job has itself.
    pub fn keep_latest(key: impl Into<String>) -> Self {
        Self { key: key.into(), on_duplicate: OnDuplicate::KeepLatest }
    }
}

/// What became of a job that was enqueued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// It is a job of its own.
    Inserted(JobId),
    /// There was [the same](Unique) already; nothing was written.
    Existing(JobId),
    /// [The same](Unique) was waiting, and has the new payload.
    Replaced(JobId),
}

impl Enqueued {
    /// The job that will run.
    pub const fn job_id(self) -> JobId {
        match self {
            Self::Inserted(job) | Self::Existing(job) | Self::Replaced(job) => job,
        }
    }

    /// Whether it is a job of its own.
    pub const fn is_inserted(self) -> bool {
        matches!(self, Self::Inserted(_))
    }

    /// The same, or the error that [`Unique::reject`] asks for.
    pub(crate) fn or_rejected(self, job: &'static str, rejects: bool) -> Result<Self, Error> {
        match self {
            Self::Existing(existing) if rejects => Err(Error::Duplicate { job, existing }),
            other => Ok(other),
        }
    }
}
