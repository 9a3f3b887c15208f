use shared_core::Problem;

/// What can go wrong with the queues themselves. How a job's own work fails is a [`Failure`](shared_core::Failure).
///
/// No variant shows a payload.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The job breaks a rule of its type, so it was not enqueued.
    #[error("job `{job}` was not enqueued: {rules}")]
    #[non_exhaustive]
    Invalid {
        /// The job's name.
        job: &'static str,
        /// The fields and the rules that they break; no values.
        rules: String,
    },
    /// The job's payload is too large, so it was not enqueued.
    #[error(
        "job `{job}` was not enqueued: its payload has {size} bytes, and {limit} are the limit; store the data and enqueue its id"
    )]
    #[non_exhaustive]
    PayloadTooLarge {
        /// The job's name.
        job: &'static str,
        /// Of the JSON text, in bytes.
        size: usize,
        /// [`MAX_PAYLOAD`](crate::MAX_PAYLOAD).
        limit: usize,
    },
    /// The job can't be written as JSON, so it was not enqueued.
    #[error("job `{job}` was not enqueued: it can't be written as JSON")]
    #[non_exhaustive]
    Unwritable {
        /// The job's name.
        job: &'static str,
        /// What serde said.
        source: serde_json::Error,
    },
    /// The transaction has enqueued as many jobs as it may.
    #[error("job `{job}` was not enqueued: {limit} jobs are the limit of a transaction; begin another one")]
    #[non_exhaustive]
    TooManyJobs {
        /// The job's name.
        job: &'static str,
        /// [`MAX_JOBS_PER_TRANSACTION`](crate::MAX_JOBS_PER_TRANSACTION).
        limit: usize,
    },
    /// Two handlers were given for one job.
    #[error("two handlers are registered for job `{job}`; keep one")]
    #[non_exhaustive]
    TwoHandlers {
        /// The job's name.
        job: &'static str,
    },
    /// The same job waits or runs already, and [`Unique::reject`](crate::Unique::reject) was asked for.
    #[error("job `{job}` was not enqueued: the same one, {existing}, waits or runs already")]
    #[non_exhaustive]
    Duplicate {
        /// The job's name.
        job: &'static str,
        /// The one that is there.
        existing: crate::JobId,
    },
    /// A handler asked for its tenant's rows, but the queues are not in a database and were not given one.
    #[error(
        "a job asked for its tenant's rows, and the queues have no database; give them one by `Queues::with_db`"
    )]
    NoDatabase,
    /// The job is complete already, or is another worker's by now: nothing was committed.
    #[error("the transaction was rolled back: the job is complete already, or no longer this worker's")]
    #[non_exhaustive]
    NotYours {
        /// What the database said, where it was the one to say so.
        source: Option<shared_db::Error>,
    },
    /// The result of [`JobContext::once`](crate::JobContext::once) can't be recorded or read again.
    #[error("the result of the effect `{name}` can't be {what}: {why}")]
    #[non_exhaustive]
    Effect {
        /// The name of the effect.
        name: String,
        /// `recorded` or `read`.
        what: &'static str,
        /// Without the result itself.
        why: String,
    },
    /// A key, a name or a delay of the job is none that can be stored, so it was not enqueued.
    #[error("job `{job}` was not enqueued: {part}: {problem}")]
    #[non_exhaustive]
    Unfit {
        /// The job's name.
        job: &'static str,
        /// What it is that does not fit.
        part: &'static str,
        /// Why, and what would.
        problem: &'static str,
    },
    /// The job would go into the tables of the transaction's database, and the program has no queues there: those that it has are in Redis or
    /// in memory, and their workers would never see it.
    #[error(
        "job `{job}` was not enqueued: this program has no queues in the database of the transaction, so none of its workers might find the \
         job; make `Queues::postgres(&db)` where they are to be there; for others enqueue by `queues.tenant(..)`, or make them by \
         `Queues::with_outbox`"
    )]
    #[non_exhaustive]
    NoQueues {
        /// The job's name.
        job: &'static str,
    },
    /// The transaction's queues are [elsewhere](crate::Queues::with_outbox), and the outbox that leads there does not take the job.
    #[error("job `{job}` was not enqueued: the outbox refused it: {reason}")]
    #[non_exhaustive]
    Outbox {
        /// The job's name.
        job: &'static str,
        /// What the outbox said.
        reason: String,
    },
    /// A schedule can't be followed, so it was not written.
    #[error("schedule `{schedule}` was not written: {problem}")]
    #[non_exhaustive]
    Schedule {
        /// Its name.
        schedule: String,
        /// What is wrong with it.
        problem: String,
    },
    /// What was asked of the queues is out of bounds, so nothing was done.
    #[error("{attempted} failed: {problem}")]
    #[non_exhaustive]
    Refused {
        /// What was asked.
        attempted: &'static str,
        /// What is wrong with it, and what would be right.
        problem: &'static str,
    },
    /// The settings of a worker can't work.
    #[error("the worker can't start with these settings: {0}")]
    Config(String),
    /// The database refused or did not answer.
    #[error(transparent)]
    Database(#[from] shared_db::Error),
}

impl Error {
    /// The same call may succeed when it is made again.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_retryable())
    }
}

impl From<Error> for Problem {
    /// What a caller of an HTTP API may know: of a job that could not be enqueued, nothing.
    fn from(error: Error) -> Self {
        match error {
            Error::Database(error) => error.into(),
            other => {
                tracing::error!(error = %other, "a request failed at the queues");
                Self::internal()
            }
        }
    }
}
