use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::metrics::METRICS;

/// Absent keys that are remembered, 16 bytes each. Forgers name millions: what does not fit is not remembered, and the
/// cool-down holds all the same.
const MAX_ABSENT: usize = 1024;

/// How long a key stays absent without asking again: a key that appears after all is found by the next refresh.
const ABSENT_FOR: Duration = Duration::from_secs(600);

/// The question for keys that are not known. All that a flood of them can cause is one question in a cool-down.
pub(super) struct Lookup {
    cool_down: Duration,
    gate: Mutex<Gate>,
    wanted: Notify,
    /// Changes with every answer; whether the source was there to give it.
    answers: watch::Receiver<bool>,
    hasher: RandomState,
}

#[derive(Default)]
struct Gate {
    asking: bool,
    not_before: Option<Instant>,
    /// By a hash with a secret seed, so that nobody can choose names that collide.
    absent: HashMap<u64, Instant>,
}

impl Lookup {
    pub(super) fn new(cool_down: Duration) -> (Self, watch::Sender<bool>) {
        let (sender, answers) = watch::channel(false);
        let (gate, wanted, hasher) = (Mutex::default(), Notify::new(), RandomState::new());
        (Self { cool_down, gate, wanted, answers, hasher }, sender)
    }

    /// Waits for an answer of the source, if it may be asked for this key, and says whether there was one.
    pub(super) async fn ask(&self, id: &str) -> bool {
        let Some(mut answers) = self.may_ask(id) else { return false };
        // Without a sender the source is gone.
        answers.changed().await.is_ok() && *answers.borrow()
    }

    fn may_ask(&self, id: &str) -> Option<watch::Receiver<bool>> {
        let mut gate = self.gate();
        let now = Instant::now();
        let absent = gate.absent.get(&self.hasher.hash_one(id)).is_some_and(|until| now < *until);
        let cooling = gate.not_before.is_some_and(|not_before| now < not_before);
        let outcome = match (absent, gate.asking, cooling) {
            (true, _, _) => "absent",
            (_, true, _) => "joined",
            (_, _, true) => "cooling",
            _ => "asked",
        };
        METRICS.lookup(outcome);
        if outcome == "asked" {
            gate.asking = true;
            gate.not_before = now.checked_add(self.cool_down);
            self.wanted.notify_one();
        }
        // While the gate is held, an answer to this question can't have been given.
        matches!(outcome, "asked" | "joined").then(|| self.subscribed())
    }

    fn subscribed(&self) -> watch::Receiver<bool> {
        let mut answers = self.answers.clone();
        answers.mark_unchanged();
        answers
    }

    pub(super) fn remember_absent(&self, id: &str) {
        let mut gate = self.gate();
        let now = Instant::now();
        if gate.absent.len() >= MAX_ABSENT {
            gate.absent.retain(|_, until| now < *until);
        }
        if gate.absent.len() < MAX_ABSENT {
            gate.absent.insert(self.hasher.hash_one(id), now + ABSENT_FOR);
        }
    }

    /// Until somebody asks.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Answers everybody who has asked.
    pub(super) fn answer(&self, answers: &watch::Sender<bool>, heard: bool) {
        let mut gate = self.gate();
        gate.asking = false;
        answers.send_replace(heard);
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.gate().absent.len()
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        // Nothing under it panics.
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
