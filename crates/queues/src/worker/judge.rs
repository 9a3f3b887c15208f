//! What becomes of a job after an attempt.

use std::time::Duration;

use shared_core::{Failure, NextStep};

use crate::JobId;
use crate::backend::Fate;
use crate::dead::Reason;
use crate::job::Options;
use crate::meters::METERS;
use crate::outcome::{Ending, Outcome};

/// The longest wait that a handler can ask for: a year.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The longest text of an error that is kept, in bytes.
const LONGEST_ERROR: usize = 2000;

/// What stands for the error of an attempt that asked for another one.
const ASKED: &str = "the handler asked for another attempt";

/// How an attempt ended.
pub(super) enum Ended {
    Returned(Outcome),
    /// It failed, panicked, or took too long.
    Failed(Failure),
    /// The payload or the context can't be read.
    Unreadable(String),
    /// Somebody had asked for it.
    Cancelled,
}

/// An attempt that is to be judged.
pub(super) struct Case<'a> {
    pub(super) name: &'static str,
    pub(super) options: &'a Options,
    pub(super) job: JobId,
    /// From 1.
    pub(super) attempt: u32,
    /// Of the job.
    pub(super) age: Duration,
}

impl Case<'_> {
    pub(super) fn judge(&self, ended: Ended) -> Fate {
        let (fate, outcome) = match ended {
            Ended::Returned(Outcome(Ending::Done(result))) => {
                (Fate::Completed { result, keep: self.options.keep }, "completed")
            }
            Ended::Returned(Outcome(Ending::Snooze(wait))) => {
                (Fate::Later(wait.min(LONGEST_WAIT)), "snoozed")
            }
            Ended::Returned(Outcome(Ending::Retry(wait))) => self.again(wait),
            Ended::Returned(Outcome(Ending::Cancel(reason))) => {
                tracing::info!(job.name = self.name, reason, "a job was cancelled by its handler");
                (Fate::Cancelled { keep: self.options.keep }, "cancelled")
            }
            Ended::Cancelled => (Fate::Cancelled { keep: self.options.keep }, "cancelled"),
            Ended::Unreadable(why) => {
                // The reason may quote the payload, so it is no matter for the log.
                tracing::error!(job.name = self.name, "a job can't be read; see its dead letter");
                (Fate::Dead(Reason::Unreadable, cut(why)), "dead")
            }
            Ended::Failed(failure) => self.failed(&failure),
        };
        METERS.settled(self.name, outcome);
        fate
    }

    /// The handler asked for another attempt without having failed.
    fn again(&self, wait: Duration) -> (Fate, &'static str) {
        match self.wait(NextStep::RetryIn(wait)) {
            Ok(after) => (Fate::Retry { after, error: ASKED.to_owned() }, "retried"),
            Err(reason) => {
                tracing::error!(job.name = self.name, self.attempt, error = ASKED, %reason, "a job is dead");
                (Fate::Dead(reason, ASKED.to_owned()), "dead")
            }
        }
    }

    fn failed(&self, failure: &Failure) -> (Fate, &'static str) {
        METERS.failed(self.name);
        let error = cut(failure.to_string());
        match self.wait(failure.next_step()) {
            Ok(after) => {
                tracing::warn!(job.name = self.name, self.attempt, error, wait = ?after, "an attempt failed; there will be another");
                (Fate::Retry { after, error }, "retried")
            }
            Err(reason) => {
                tracing::error!(job.name = self.name, self.attempt, error, %reason, "a job is dead");
                (Fate::Dead(reason, error), "dead")
            }
        }
    }

    /// How long to wait for another attempt, or why there is none.
    fn wait(&self, next: NextStep) -> Result<Duration, Reason> {
        let usual = || self.options.retry.delay(self.job, self.attempt).ok_or(Reason::Exhausted);
        let wait = match next {
            NextStep::Dead => return Err(Reason::Failed),
            NextStep::RetryIn(wait) => usual().map(|_| wait.min(LONGEST_WAIT)),
            _ => usual(),
        }?;
        let in_time = self.options.retry_for.is_none_or(|time| self.age.saturating_add(wait) <= time);
        if self.attempt < self.options.max_attempts && in_time { Ok(wait) } else { Err(Reason::Exhausted) }
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(LONGEST_ERROR));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Retry;

    const HOUR: Duration = Duration::from_secs(3600);

    fn judge(options: Options, attempt: u32, age: Duration, ended: Ended) -> Fate {
        Case { name: "a:b", options: &options, job: JobId::new(), attempt, age }.judge(ended)
    }

    fn failed(options: Options, attempt: u32, age: Duration, failure: Failure) -> Fate {
        judge(options, attempt, age, Ended::Failed(failure))
    }

    #[test]
    fn what_fails_is_retried_until_its_attempts_or_its_time_are_spent() {
        let options = Options::DEFAULT.max_attempts(3).retry_for(HOUR * 2);
        let fate = |attempt, age| failed(options, attempt, age, Failure::new("no"));
        assert!(matches!(fate(2, HOUR), Fate::Retry { error, .. } if error == "no"));
        assert_eq!(fate(3, HOUR), Fate::Dead(Reason::Exhausted, "no".to_owned()));
        assert_eq!(fate(1, HOUR * 2), Fate::Dead(Reason::Exhausted, "no".to_owned()));
    }

    #[test]
    fn a_failure_decides_for_itself() {
        let options = Options::DEFAULT.retry_for(HOUR);
        let busy = |wait| failed(options, 1, Duration::ZERO, Failure::retry_in(wait, "busy"));
        assert_eq!(busy(HOUR), Fate::Retry { after: HOUR, error: "busy".to_owned() });
        assert_eq!(busy(HOUR * 2), Fate::Dead(Reason::Exhausted, "busy".to_owned()), "it would be too late");
        let hopeless = failed(options, 1, Duration::ZERO, Failure::dead("hopeless"));
        assert_eq!(hopeless, Fate::Dead(Reason::Failed, "hopeless".to_owned()));
        let never = options.retry(Retry::Never);
        let refused = failed(never, 1, Duration::ZERO, Failure::retry_in(HOUR, "busy"));
        assert_eq!(refused, Fate::Dead(Reason::Exhausted, "busy".to_owned()), "never means never");
    }

    #[test]
    fn an_outcome_says_more_than_done() {
        let options = Options::DEFAULT.keep(HOUR);
        let fate = |outcome| judge(options, 1, Duration::ZERO, Ended::Returned(outcome));
        assert_eq!(fate(Outcome::done()), Fate::Completed { result: None, keep: HOUR });
        let result = Some("[7]".to_owned());
        assert_eq!(fate(Outcome::with(&[7]).unwrap()), Fate::Completed { result, keep: HOUR });
        assert_eq!(fate(Outcome::snooze(HOUR)), Fate::Later(HOUR));
        assert_eq!(fate(Outcome::snooze(Duration::MAX)), Fate::Later(LONGEST_WAIT));
        assert_eq!(fate(Outcome::retry_in(HOUR)), Fate::Retry { after: HOUR, error: ASKED.to_owned() });
        assert_eq!(fate(Outcome::cancel("the order is gone")), Fate::Cancelled { keep: HOUR });
    }

    #[test]
    fn a_long_error_is_cut_at_a_character() {
        let fate = failed(Options::DEFAULT, 1, Duration::ZERO, Failure::new("ä".repeat(2000)));
        assert!(matches!(fate, Fate::Retry { error, .. } if error == "ä".repeat(1000)));
    }
}
