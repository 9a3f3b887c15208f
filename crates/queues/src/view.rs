//! What the queues look like from outside.

use std::time::Duration;

use shared_core::TenantId;
use time::OffsetDateTime;

use crate::{JobId, Priority, Progress};

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// It waits for a worker.
    Ready,
    /// It waits behind a limit, or behind another job of its ordering key.
    Waiting,
    /// It waits for its time: delayed, or to be tried again.
    Scheduled,
    /// A worker has it.
    Running,
    /// Done, and remembered for a while.
    Completed,
    /// Cancelled, and remembered for a while.
    Cancelled,
    /// A dead letter.
    Dead,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Ready,
        Self::Waiting,
        Self::Scheduled,
        Self::Running,
        Self::Completed,
        Self::Cancelled,
        Self::Dead,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }

    /// The state of this word.
    pub(crate) fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// A job as operators see it. Its payload is not shown: it may hold what operators must not read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct JobView {
    /// The job.
    pub job_id: JobId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its queue.
    pub queue: String,
    /// Its name, `domain:action`.
    pub name: String,
    /// Of the payload.
    pub version: u32,
    /// Where it is.
    pub state: State,
    /// How urgent.
    pub priority: Priority,
    /// Failed attempts.
    pub attempts: u32,
    /// Workers that died while they held it.
    pub crashes: u32,
    /// When it was enqueued.
    pub enqueued_at: OffsetDateTime,
    /// When it may start, or could have for the first time.
    pub due_at: OffsetDateTime,
    /// The incarnation that has it, while it runs.
    pub worker: Option<String>,
    /// How far it is, while it runs and where its handler says so.
    pub progress: Option<Progress>,
    /// The text of the last error.
    pub error: Option<String>,
    /// What its handler returned, as JSON, while that is remembered.
    pub result: Option<String>,
    /// When it ended.
    pub ended_at: Option<OffsetDateTime>,
}

/// A queue at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct QueueStatus {
    /// Its name.
    pub queue: String,
    /// Whether claims are stopped.
    pub paused: bool,
    /// Jobs that wait for a worker.
    pub ready: u64,
    /// Jobs that wait behind limits and ordering keys.
    pub waiting: u64,
    /// Jobs that wait for their time.
    pub scheduled: u64,
    /// Jobs that workers have.
    pub running: u64,
    /// Dead letters.
    pub dead: u64,
    /// For how long the oldest of the ready jobs has been due. `None` if there is none.
    pub oldest: Option<Duration>,
}
