use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared_core::{Failure, Id};
use validator::Validate;

use crate::limit::LimitKey;
use crate::{Priority, Unique};

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
/// | `priority = "high"` | `high`, `normal` or `low`, see [`Priority`] | `normal` |
/// | `retry = ".."` | `exponential`, `exponential from 1s to 1h`, `never` | `exponential` |
/// | `max_attempts = 20` | after so many failed ones it is dead | 20 |
/// | `retry_for = "1d"` | no other attempt begins later than this after it was enqueued | none |
/// | `timeout = "30s"` | how long an attempt may take | `60s` |
/// | `keep = "1h"` | how long it is remembered, with its result, after it is done | not at all |
/// | `order_by = "account"` | jobs of a tenant with the same value run one after the other | none |
/// | `unique_by("account", "day")` | jobs of a tenant with the same values are the same job | none |
/// | `on_duplicate = ".."` | what becomes of it then: `existing`, `reject`, `throttle for 1h`, `debounce`, `keep latest`, see [`Unique`] | `existing` |
/// | `limit = "stripe"`, `limit = "host by domain"` | a [limit](LimitKey) that it counts against, one for each value of a field; repeatable | none |
/// | `version = 2` | of the payload: a worker leaves newer ones to newer workers | 1 |
/// | `upcast = "from_v1"` | the function that makes an older payload one of this version: `fn(u32, serde_json::Value) -> Result<serde_json::Value, Failure>` | as it is |
///
/// Keys are the fields' texts by [`Display`](std::fmt::Display). One field is taken as it is (`limit = "host by domain"` has the key
/// `example.com`); several are joined by `:`, unambiguously. Fields of fields have a dot: `order_by = "address.city"`.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use serde_json::Value;
/// use shared_core::Failure;
/// use shared_queues::{Job, LimitKey, Unique};
/// use validator::Validate;
///
/// #[derive(Serialize, Deserialize, Validate, Job)]
/// #[job(name = "shop:charge", version = 2, upcast = "with_currency", order_by = "account")]
/// #[job(unique_by("account", "invoice"), on_duplicate = "reject", limit = "stripe", limit = "bank by bank")]
/// pub struct Charge {
///     account: u64,
///     invoice: String,
///     bank: String,
///     currency: String,
/// }
///
/// /// Version 1 knew one currency only.
/// fn with_currency(_version: u32, mut payload: Value) -> Result<Value, Failure> {
///     payload["currency"] = "CHF".into();
///     Ok(payload)
/// }
///
/// let charge = Charge { account: 7, invoice: "2:a".into(), bank: "zkb".into(), currency: "EUR".into() };
/// assert_eq!(charge.order_key().as_deref(), Some("7"));
/// assert_eq!(charge.unique(), Some(Unique::reject(r"7:2\:a")));
/// assert_eq!(charge.limits(), [LimitKey::named("stripe"), LimitKey::by("bank", "zkb")]);
/// ```
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
/// Neither does a key of a field that is not there:
/// ```compile_fail,E0609
/// # use serde::{Deserialize, Serialize};
/// # use shared_queues::Job;
/// # use validator::Validate;
/// #[derive(Serialize, Deserialize, Validate, Job)]
/// #[job(name = "mail:welcome", order_by = "account")]
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

    /// Jobs of a tenant with the same ordering key in a queue run one after the other, in the order in which they were enqueued; the
    /// next one begins when the one before it is finished, dead or cancelled. Written by `order_by`.
    fn order_key(&self) -> Option<String> {
        None
    }

    /// When it counts as the same as one before it. Written by `unique_by` and `on_duplicate`.
    fn unique(&self) -> Option<Unique> {
        None
    }

    /// The limits that it counts against. Written by `limit`.
    fn limits(&self) -> Vec<LimitKey> {
        Vec::new()
    }

    /// Makes the payload of an older `version` one of this version. Written by `upcast`; without it, older payloads are read as
    /// they are.
    ///
    /// # Errors
    /// Whatever keeps it from being one; the job is a dead letter then.
    fn upcast(version: u32, payload: serde_json::Value) -> Result<serde_json::Value, Failure> {
        let _ = version;
        Ok(payload)
    }
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
    /// How urgent it is.
    pub priority: Priority,
    /// For how long after it was enqueued it is tried again at most; afterwards a failed attempt is the last.
    pub retry_for: Option<Duration>,
    /// For how long it is remembered, with its result, after it is done. By default not at all.
    pub keep: Duration,
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
        priority: Priority::Normal,
        retry_for: None,
        keep: Duration::ZERO,
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

    /// The same with another priority.
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// The same, tried again for so long at most.
    pub const fn retry_for(mut self, time: Duration) -> Self {
        self.retry_for = Some(time);
        self
    }

    /// The same, remembered for so long.
    pub const fn keep(mut self, time: Duration) -> Self {
        self.keep = time;
        self
    }
}

/// When a failed job is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retry {
    /// After a wait that grows, with decorrelated jitter: it is drawn between `first` and three times the wait before it, and is
    /// `longest` at most (M. Brooker, "Exponential Backoff And Jitter", 2015). So jobs that failed together don't come back
    /// together.
    Exponential {
        /// The shortest wait. The first one is up to three times as long.
        first: Duration,
        /// The longest.
        longest: Duration,
    },
    /// Never: the first failure is the last.
    Never,
}

/// From so many failed attempts on the wait is the same: all draws are repeated for it.
const LAST_DRAW: u32 = 64;

impl Retry {
    /// From 1 s to 1 h: quick after a hiccup, and gentle on a service that is down.
    pub const DEFAULT: Self =
        Self::Exponential { first: Duration::from_secs(1), longest: Duration::from_secs(3600) };

    /// The wait after this failed attempt of this job, counted from 1; `None` if there is no other. Each wait depends on the one
    /// before it, and none is stored: they are drawn again, always the same for a job.
    pub(crate) fn delay(self, job: JobId, attempt: u32) -> Option<Duration> {
        let Self::Exponential { first, longest } = self else { return None };
        let (high, low) = job.as_uuid().as_u64_pair();
        let mut draw = StdRng::seed_from_u64(high ^ low);
        let mut wait = first;
        for _ in 0..attempt.min(LAST_DRAW) {
            let ceiling = wait.saturating_mul(3).min(longest);
            wait = first + ceiling.saturating_sub(first).mul_f64(draw.random_range(0.0..=1.0));
        }
        Some(wait.min(longest))
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
        assert_eq!(Retry::Never.delay(JobId::new(), 1), None);
    }

    #[test]
    fn waits_grow_and_none_is_longer_than_the_longest() {
        let (first, longest) = (Duration::from_secs(10), Duration::from_secs(600));
        let retry = Retry::Exponential { first, longest };
        let mut grown = 0;
        for job in std::iter::repeat_with(JobId::new).take(100) {
            let waits: Vec<_> = (1..=100).filter_map(|attempt| retry.delay(job, attempt)).collect();
            assert!(waits[0] <= first * 3);
            assert!(waits.windows(2).all(|pair| pair[1] <= pair[0] * 3));
            assert!(waits.iter().all(|wait| (first..=longest).contains(wait)));
            grown += usize::from(waits.iter().any(|wait| *wait > longest / 2));
        }
        assert!(grown > 90, "of a hundred jobs' waits {grown} have come near the longest");
    }

    #[test]
    fn a_job_has_its_own_waits_and_always_the_same() {
        let (one, other) = (JobId::new(), JobId::new());
        assert_eq!(Retry::DEFAULT.delay(one, 5), Retry::DEFAULT.delay(one, 5));
        assert_ne!(Retry::DEFAULT.delay(one, 5), Retry::DEFAULT.delay(other, 5));
    }
}
