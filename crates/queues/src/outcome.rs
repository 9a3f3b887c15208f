use std::fmt;
use std::time::Duration;

use serde::Serialize;
use shared_core::Failure;
use time::OffsetDateTime;

use crate::MAX_PAYLOAD;

/// How an attempt ended that did not fail, where `()` does not say it all. Failures are a [`Failure`].
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use shared_core::Failure;
/// use shared_queues::{Job, JobContext, Jobs, Outcome};
/// use std::time::Duration;
/// use validator::Validate;
///
/// #[derive(Serialize, Deserialize, Validate, Job)]
/// #[job(name = "report:monthly", keep = "1d")]
/// struct Monthly { month: u8 }
///
/// async fn monthly(job: Monthly, cx: JobContext) -> Result<Outcome, Failure> {
///     if !books_are_closed(job.month) {
///         return Ok(Outcome::snooze(Duration::from_secs(3600)));
///     }
///     Outcome::with(&format!("reports/{}.pdf", cx.job_id()))
/// }
/// # fn books_are_closed(month: u8) -> bool { month > 0 }
/// let jobs: Jobs<()> = Jobs::new().handle(monthly);
/// ```
#[must_use = "an outcome takes effect when the handler returns it"]
pub struct Outcome(pub(crate) Ending);

pub(crate) enum Ending {
    /// With the result, as JSON.
    Done(Option<String>),
    Snooze(Duration),
    Retry(Duration),
    Cancel(String),
}

impl Outcome {
    /// It is done, as `()` says too.
    pub const fn done() -> Self {
        Self(Ending::Done(None))
    }

    /// It is done, and this is the result, which is remembered as JSON for as long as the job's
    /// [`keep`](crate::Options::keep) says; without `keep` it is forgotten.
    ///
    /// # Errors
    /// A failure without another attempt if it can't be written, or has more than [`MAX_PAYLOAD`] bytes.
    pub fn with(result: &(impl Serialize + ?Sized)) -> Result<Self, Failure> {
        let text = serde_json::to_string(result)
            .map_err(|error| Failure::dead(format!("the result can't be written as JSON: {error}")))?;
        if text.len() > MAX_PAYLOAD {
            let size = text.len();
            return Err(Failure::dead(format!(
                "the result has {size} bytes, and {MAX_PAYLOAD} are the limit; return where it is stored"
            )));
        }
        Ok(Self(Ending::Done(Some(text))))
    }

    /// It was too early: again after this time, and this attempt is not counted. A year at most.
    pub const fn snooze(wait: Duration) -> Self {
        Self(Ending::Snooze(wait))
    }

    /// Another attempt after this time, as long as attempts are left: this one is counted, like a failed one, but is no error
    /// in the log. A year at most.
    pub const fn retry_in(wait: Duration) -> Self {
        Self(Ending::Retry(wait))
    }

    /// The same at this time by this machine's clock; at once if that is over.
    pub fn retry_at(time: OffsetDateTime) -> Self {
        let wait = time - OffsetDateTime::now_utc();
        Self::retry_in(Duration::try_from(wait).unwrap_or_default())
    }

    /// It need not be done any more: it ends as cancelled. The reason goes into the log.
    pub fn cancel(reason: impl Into<String>) -> Self {
        Self(Ending::Cancel(reason.into()))
    }
}

/// Without the result.
impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ending::Done(_) => f.write_str("Done"),
            Ending::Snooze(wait) => write!(f, "Snooze({wait:?})"),
            Ending::Retry(wait) => write!(f, "Retry({wait:?})"),
            Ending::Cancel(reason) => write!(f, "Cancel({reason:?})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_over_is_now() {
        assert_eq!(format!("{:?}", Outcome::retry_at(OffsetDateTime::UNIX_EPOCH)), "Retry(0ns)");
    }

    #[test]
    fn a_time_to_come_is_waited_for() {
        let hour = Duration::from_secs(3600);
        let Outcome(Ending::Retry(wait)) = Outcome::retry_at(OffsetDateTime::now_utc() + hour) else {
            panic!("no retry")
        };
        assert!(wait <= hour && wait > hour / 2, "{wait:?}");
    }

    #[test]
    fn a_result_has_a_limit() {
        assert!(Outcome::with(&"x".repeat(MAX_PAYLOAD - 2)).is_ok());
        let refused = Outcome::with(&"x".repeat(MAX_PAYLOAD)).unwrap_err();
        assert_eq!(refused.next_step(), shared_core::NextStep::Dead);
    }
}
