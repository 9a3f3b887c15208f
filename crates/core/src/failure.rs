use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Why a piece of work did not succeed, and what is to become of it.
///
/// Job handlers, consumers and start-up functions return it, so that `?` works on every error. It is no
/// [`Error`] itself, since otherwise `?` could not take all of them.
///
/// ```
/// # use shared_core::{Failure, NextStep};
/// fn parse(text: &str) -> Result<u32, Failure> {
///     if text.is_empty() {
///         return Err(Failure::dead("an empty text will never become a number"));
///     }
///     Ok(text.parse()?)
/// }
/// assert_eq!(parse("").unwrap_err().next_step(), NextStep::Dead);
/// assert_eq!(parse("x").unwrap_err().next_step(), NextStep::Retry);
/// ```
pub struct Failure {
    message: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
    next: NextStep,
}

/// What a [`Failure`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NextStep {
    /// Try again after the usual back-off, as long as attempts are left.
    Retry,
    /// Try again after this time, as long as attempts are left.
    RetryIn(Duration),
    /// Never try again: keep it with the dead letters.
    Dead,
}

impl Failure {
    /// A failure in words, worth another attempt.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), source: None, next: NextStep::Retry }
    }

    /// A failure that no further attempt can mend.
    pub fn dead(message: impl Into<String>) -> Self {
        Self { next: NextStep::Dead, ..Self::new(message) }
    }

    /// A failure that is worth another attempt after `wait`, such as a server's own `Retry-After`.
    pub fn retry_in(wait: Duration, message: impl Into<String>) -> Self {
        Self { next: NextStep::RetryIn(wait), ..Self::new(message) }
    }

    /// Says what was attempted, in front of the cause.
    pub fn attempting(mut self, attempted: impl fmt::Display) -> Self {
        self.message = Some(match self.message {
            Some(message) => format!("{attempted}: {message}"),
            None => attempted.to_string(),
        });
        self
    }

    /// What is to become of the work.
    pub fn next_step(&self) -> NextStep {
        self.next
    }

    /// The error behind it, if there is one.
    pub fn source(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.source.as_deref()
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { message: None, source: Some(Box::new(error)), next: NextStep::Retry }
    }
}

/// The message and the whole chain of causes, on one line.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(message) = &self.message {
            f.write_str(message)?;
            separator = ": ";
        }
        let mut cause: Option<&(dyn Error + 'static)> = match &self.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        };
        while let Some(error) = cause {
            write!(f, "{separator}{error}")?;
            separator = ": ";
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failure({self}; next: {:?})", self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the disk said no")]
    struct Disk(#[source] std::num::ParseIntError);

    #[test]
    fn shows_what_was_attempted_and_every_cause() {
        let cause = Disk("x".parse::<u8>().unwrap_err());
        let failure = Failure::from(cause).attempting("indexing a note");
        assert_eq!(failure.to_string(), "indexing a note: the disk said no: invalid digit found in string");
    }
}
