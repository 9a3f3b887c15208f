//! Whether a sink is worth trying: one answer for all lanes, so that a sink that is down is not asked sixteen times over.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shared_core::Backoff;
use tokio::time::Instant;

/// The waits between the times that a sink is tried which takes nothing.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(10));

#[derive(Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    until: Option<Instant>,
}

impl Breaker {
    /// Waits until the sink may be tried.
    pub(super) async fn wait(&self) {
        let until = self.0.lock().unwrap_or_else(PoisonError::into_inner).until;
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    /// It took something, or said why it never will.
    pub(super) fn answered(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// It could not be reached. Lanes that fail together count once.
    pub(super) fn failed(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.until.is_none_or(|until| until <= Instant::now()) {
            state.failures = state.failures.saturating_add(1);
            state.until = Some(Instant::now() + BACKOFF.delay(state.failures));
        }
    }

    /// Whether it waits.
    pub(super) fn is_open(&self) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.until.is_some_and(|until| until > Instant::now())
    }
}
