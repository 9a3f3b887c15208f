use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use shared_core::{Backoff, Id};
use validator::Validate;

/// A piece of work as data. It is all that a producer needs to know of it.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use shared_queues::Job;
/// use validator::Validate;
///
/// #[derive(Serialize, Deserialize, Validate, Job)]
/// #[job(name = "mail:welcome", retry = "exponential from 10s to 1h", max_attempts = 10, timeout = "30s")]
/// pub struct Welcome {
///     #[validate(email)]
///     pub to: String,
/// }
/// assert_eq!(Welcome::NAME, "mail:welcome");
/// assert_eq!(Welcome::OPTIONS.max_attempts, 10);
/// ```
///
/// | attribute | meaning | default |
/// |---|---|---|
/// | `name = "mail:welcome"` | `domain:action`, unique in a program; a contract, like the fields | none |
/// | `queue = "bulk"` | the line in which it waits | `default` |
/// | `retry = ".."` | `exponential`, `exponential from 1s to 1h`, `never` | `exponential` |
/// | `max_attempts = 20` | after so many failed ones it is dead | 20 |
/// | `timeout = "30s"` | how long an attempt may take | `60s` |
/// | `version = 2` | of the payload: a worker leaves newer ones to newer workers | 1 |
///
/// A name of another shape does not compile:
/// ```compile_fail,E0080
/// # use serde::{Deserialize, Serialize};
/// # use shared_queues::Job;
/// # use validator::Validate;
/// #[derive(Serialize, Deserialize, Validate, Job)]
/// #[job(name = "welcome")]
/// pub struct Welcome { pub to: String }
/// ```
///
/// A new field needs `#[serde(default)]`, since jobs of the old shape may be waiting; a change that old workers can't
/// read needs a higher `version`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a job",
    note = "put `#[derive(Serialize, Deserialize, Validate, Job)]` and `#[job(name = \"domain:action\")]` on it"
)]
pub trait Job: Serialize + DeserializeOwned + Validate + Send + 'static {
    /// `domain:action`.
    const NAME: &'static str;
    /// How it is to be run.
    const OPTIONS: Options;
}

/// Marks [`JobId`].
#[derive(Debug)]
pub enum AnyJob {}

/// The identity of a job, known to the producer before the commit, and the same over all attempts.
pub type JobId = Id<AnyJob>;

/// How a job is to be run. Written by `#[job(..)]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The line in which it waits.
    pub queue: &'static str,
    /// When it is tried again.
    pub retry: Retry,
    /// Failed attempts after which it is dead.
    pub max_attempts: u32,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// The version of the payload.
    pub version: u32,
}

impl Options {
    /// Queue `default`; 20 attempts, which with the default back-off ride out an outage of some hours; 60 s for each,
    /// an age for a job and short enough that a hung one shows.
    pub const DEFAULT: Self = Self {
        queue: "default",
        retry: Retry::DEFAULT,
        max_attempts: 20,
        timeout: Duration::from_secs(60),
        version: 1,
    };

    /// The same in another queue.
    pub const fn queue(mut self, queue: &'static str) -> Self {
        self.queue = queue;
        self
    }

    /// The same with another rule for when to try again.
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same with another number of attempts.
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// The same with another time-out.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same with another version of the payload.
    pub const fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }
}

/// When a failed job is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retry {
    /// After a time drawn from zero to a ceiling that doubles from `first` to `longest`.
    Exponential {
        /// The ceiling of the first wait.
        first: Duration,
        /// The highest ceiling.
        longest: Duration,
    },
    /// Never: the first failure is the last.
    Never,
}

impl Retry {
    /// From 1 s to 1 h: quick after a hiccup, and gentle on a service that is down.
    pub const DEFAULT: Self =
        Self::Exponential { first: Duration::from_secs(1), longest: Duration::from_secs(3600) };

    /// The wait after this failed attempt, counted from 1; `None` if there is no other.
    pub(crate) fn delay(self, attempt: u32) -> Option<Duration> {
        match self {
            Self::Exponential { first, longest } => Some(Backoff::new(first, longest).delay(attempt)),
            Self::Never => None,
        }
    }
}

/// The longest name, in bytes.
const MAX_NAME: usize = 63;

/// Refuses a name that is not `domain:action`, each part of lower-case letters, digits, `-`, `_` and `.`, beginning
/// with a letter, 63 bytes in all. A `const` calls it, so that a bad name does not compile.
#[doc(hidden)]
pub const fn assert_job_name(name: &str) {
    let bytes = name.as_bytes();
    let (mut at, mut colons, mut fresh) = (0, 0, true);
    let mut sound = bytes.len() <= MAX_NAME;
    while at < bytes.len() {
        match bytes[at] {
            b'a'..=b'z' => fresh = false,
            b'0'..=b'9' | b'-' | b'_' | b'.' if !fresh => {}
            b':' if !fresh => {
                colons += 1;
                fresh = true;
            }
            _ => sound = false,
        }
        at += 1;
    }
    assert!(sound && colons == 1 && !fresh, "a job's name is `domain:action`, in lower case: `notes:index`");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_domain_and_action() {
        for good in ["notes:index", "a:b", "mail.v2:send-now_2"] {
            assert_job_name(good);
        }
        for bad in [
            "",
            ":",
            "notes",
            "notes:",
            ":index",
            "a:b:c",
            "Notes:index",
            "a b:c",
            "1a:b",
            "a:1",
            "a:\u{e4}",
            &"x:y".repeat(40),
        ] {
            assert!(std::panic::catch_unwind(|| assert_job_name(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn never_means_never() {
        assert_eq!(Retry::Never.delay(1), None);
        assert!(Retry::DEFAULT.delay(1).is_some_and(|wait| wait <= Duration::from_secs(1)));
    }
}
