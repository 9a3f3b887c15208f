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
