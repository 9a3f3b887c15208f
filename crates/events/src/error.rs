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
    /// A consumer was named that this program does not have.
    #[error("there is no consumer `{consumer}` in this program; run it where the consumer is registered")]
    #[non_exhaustive]
    UnknownConsumer {
        /// The name that was given.
        consumer: String,
    },
    /// The database refused, or could not be reached.
    #[error(transparent)]
    Database(#[from] shared_db::Error),
}

impl Error {
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
