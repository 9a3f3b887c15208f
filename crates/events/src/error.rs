use std::error::Error as StdError;

/// What can go wrong with events.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The event can't be published; the transaction can go on without it.
    #[error("event `{event}` can't be published: {reason}")]
    #[non_exhaustive]
    Refused {
        /// The name of the event.
        event: &'static str,
        /// Which limit it breaks, or that it can't be written as JSON.
        reason: String,
        /// What the serialiser said.
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// The settings or the consumers can't work.
    #[error("the relay can't start: {0}")]
    Config(String),
    /// Reading this database could lose or disorder events.
    #[error("events can't be read safely here: {0}")]
    Unsafe(String),
    /// The member says too much or too little of itself.
    #[error("it can't be registered: {0}")]
    Unregistrable(String),
    /// The bus has stopped, and takes no events and no subscribers any more.
    #[error("the bus has stopped")]
    Stopped,
    /// The log is not what it was when it was sealed.
    #[error("seal {seal} does not fit the log: {reason}")]
    #[non_exhaustive]
    Tampered {
        /// The number of the seal.
        seal: i64,
        /// What does not fit.
        reason: String,
    },
    /// A consumer was named that this program does not have.
    #[error("there is no consumer `{consumer}` in this program; run it where the consumer is registered")]
    #[non_exhaustive]
    UnknownConsumer {
        /// The name that was given.
        consumer: String,
    },
    /// A broker refused, or could not be reached.
    #[error("the broker failed: {0}")]
    Broker(String),
    /// What an operator asked for is out of bounds: nothing was done.
    #[error("{attempted} failed: {reason}")]
    #[non_exhaustive]
    NotDone {
        /// What was asked.
        attempted: &'static str,
        /// Which bound it breaks.
        reason: String,
    },
    /// What an operator asked for is not possible as things stand: nothing was done.
    #[error("{attempted} failed: {reason}")]
    #[non_exhaustive]
    Conflict {
        /// What was asked.
        attempted: &'static str,
        /// What is in its way, and what to do.
        reason: String,
    },
    /// The database refused, or could not be reached.
    #[error(transparent)]
    Database(#[from] shared_db::Error),
}

impl Error {
    pub(crate) fn not_done(attempted: &'static str, reason: impl Into<String>) -> Self {
        Self::NotDone { attempted, reason: reason.into() }
    }

    pub(crate) fn conflict(attempted: &'static str, reason: impl Into<String>) -> Self {
        Self::Conflict { attempted, reason: reason.into() }
    }

    pub(crate) fn refused(event: &'static str, reason: impl Into<String>) -> Self {
        Self::Refused { event, reason: reason.into(), source: None }
    }

    /// As [`Unsafe`](Self::Unsafe), where the database says so.
    pub(crate) fn uncut(error: shared_db::Error) -> Self {
        match error {
            shared_db::Error::Uncut(reason) => Self::Unsafe(reason),
            error => error.into(),
        }
    }
}

impl From<Error> for shared_core::Problem {
    /// The database's errors as they are there; all others are the service's own fault.
    fn from(error: Error) -> Self {
        match error {
            Error::Database(error) => error.into(),
            error => {
                tracing::error!(error = %error, "a request failed at its events");
                Self::internal()
            }
        }
    }
}
