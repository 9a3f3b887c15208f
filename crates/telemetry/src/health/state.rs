//! What is known about the checks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::checks::Part;

/// A runtime without a heartbeat for so long is stuck: long enough for a pause of the whole machine, short enough for
/// a restart to help.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// The results of all checks, the heartbeat, and whether the process is leaving.
pub(super) struct State {
    draining: AtomicBool,
    heartbeat: Mutex<Instant>,
    known: Mutex<Vec<Known>>,
    parts: Vec<Part>,
    /// A result older than this counts as a failure: the task that renews it does not run any more.
    stale_after: Duration,
}

/// What is known about one check.
struct Known {
    name: &'static str,
    required: bool,
    last: Option<Answer>,
}

pub(super) struct Answer {
    pub(super) result: Result<(), String>,
    pub(super) at: Instant,
    pub(super) took: Duration,
}

impl State {
    pub(super) fn new(
        checks: impl Iterator<Item = (&'static str, bool)>,
        parts: Vec<Part>,
        stale_after: Duration,
    ) -> Self {
        let known = checks.map(|(name, required)| Known { name, required, last: None }).collect();
        Self {
            draining: AtomicBool::new(false),
            heartbeat: Mutex::new(Instant::now()),
            known: Mutex::new(known),
            parts,
            stale_after,
        }
    }

    pub(super) fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(super) fn beat(&self) {
        *self.heartbeat.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    pub(super) fn beats(&self, now: Instant) -> bool {
        let last = *self.heartbeat.lock().unwrap_or_else(PoisonError::into_inner);
        now.saturating_duration_since(last) < STUCK_AFTER
    }

    /// The parts of the process that have ended, although it goes on.
    pub(super) fn ended(&self) -> Vec<&'static str> {
        self.parts.iter().filter(|part| !(part.works)()).map(|part| part.name).collect()
    }

    /// Notes the answer of the check at `index`, and says in the log when it is another than before.
    pub(super) fn note(&self, index: usize, answer: Answer) {
        let mut known = self.known();
        let Some(check) = known.get_mut(index) else { return };
        let failed_before = check.last.as_ref().is_some_and(|last| last.result.is_err());
        match &answer.result {
            Err(reason) if !failed_before => tracing::warn!(check = check.name, reason, "health check fails"),
            Ok(()) if failed_before => tracing::info!(check = check.name, "health check passes again"),
            _ => {}
        }
        check.last = Some(answer);
    }

    /// One word, and the required checks that fail.
    pub(super) fn readiness(&self, now: Instant) -> (&'static str, Vec<&'static str>) {
        let known = self.known();
        let required = || known.iter().filter(|check| check.required);
        let failing: Vec<_> =
            required().filter(|check| self.failure(check, now).is_some()).map(|check| check.name).collect();
        let status = if self.draining.load(Ordering::Relaxed) {
            "draining"
        } else if !failing.is_empty() {
            "failing"
        } else if required().any(|check| check.last.is_none()) {
            "starting"
        } else {
            "ready"
        };
        (status, failing)
    }

    pub(super) fn details(&self, now: Instant) -> Vec<Value> {
        self.known().iter().map(|check| self.detail(check, now)).collect()
    }

    fn detail(&self, check: &Known, now: Instant) -> Value {
        let failure = self.failure(check, now);
        let status = match (&check.last, failure) {
            (None, _) => "starting",
            (_, None) => "passing",
            (_, Some(_)) => "failing",
        };
        let last = check.last.as_ref();
        json!({
            "name": check.name,
            "required": check.required,
            "status": status,
            "reason": failure,
            "age_ms": last.map(|last| millis(now.saturating_duration_since(last.at))),
            "took_ms": last.map(|last| millis(last.took)),
        })
    }

    fn failure<'a>(&self, check: &'a Known, now: Instant) -> Option<&'a str> {
        let last = check.last.as_ref()?;
        match &last.result {
            Err(reason) => Some(reason),
            Ok(()) if now.saturating_duration_since(last.at) > self.stale_after => {
                Some("has not been checked lately")
            }
            Ok(()) => None,
        }
    }

    fn known(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
