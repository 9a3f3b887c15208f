//! Whether a sink is worth trying: one answer for all lanes, so that a sink that is down is not asked sixteen times over.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared_core::Backoff;
use tokio::time::Instant;

/// The waits between the times that a sink is tried which takes nothing.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(10));

#[derive(Default)]
pub(super) struct Breaker(Mutex<State>);

/// The longest text of an error that is shown, in bytes: it goes to the database with each beat.
const LONGEST_WORDS: usize = 500;

#[derive(Default)]
struct State {
    failures: u32,
    until: Option<Instant>,
    /// What the sink said last.
    words: String,
}

impl Breaker {
    /// Waits until the sink may be tried.
    pub(super) async fn wait(&self) {
        let until = self.state().until;
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    /// It took something, or said why it never will.
    pub(super) fn answered(&self) {
        *self.state() = State::default();
    }

    /// It could not be reached, and said why. Lanes that fail together count once.
    pub(super) fn failed(&self, why: &str) {
        let mut state = self.state();
        why[..why.floor_char_boundary(LONGEST_WORDS)].clone_into(&mut state.words);
        if state.until.is_none_or(|until| until <= Instant::now()) {
            state.failures = state.failures.saturating_add(1);
            state.until = Some(Instant::now() + BACKOFF.delay(state.failures));
        }
    }

    /// Whether it waits.
    pub(super) fn is_open(&self) -> bool {
        self.state().until.is_some_and(|until| until > Instant::now())
    }

    /// What the sink said last, if it fails: until it answers again, also while it is tried.
    pub(super) fn words(&self) -> Option<String> {
        let state = self.state();
        (state.failures > 0).then(|| state.words.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(breaker: &Breaker) -> Duration {
        breaker.state().until.unwrap_or_else(Instant::now) - Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn lanes_that_fail_together_count_once_and_wait_together() {
        let breaker = Breaker::default();
        for lane in 0..16 {
            breaker.failed(&format!("lane {lane} was refused"));
        }
        assert_eq!(breaker.state().failures, 1);
        assert_eq!(breaker.words().as_deref(), Some("lane 15 was refused"));
        let wait = waits(&breaker);
        assert!(wait <= Duration::from_millis(50), "{wait:?}");
        let start = Instant::now();
        futures_util::future::join_all((0..16).map(|_| breaker.wait())).await;
        assert!(start.elapsed() >= wait && !breaker.is_open());
        assert!(breaker.words().is_some(), "it is tried, and has not answered");
    }

    #[tokio::test(start_paused = true)]
    async fn waits_grow_with_failures_up_to_a_bound_and_an_answer_ends_them() {
        let (mut longest, mut shortest) = ([Duration::ZERO; 16], Duration::MAX);
        for _ in 0..200 {
            let breaker = Breaker::default();
            for longest in &mut longest {
                breaker.failed("away");
                *longest = waits(&breaker).max(*longest);
                shortest = waits(&breaker).min(shortest);
                breaker.wait().await;
            }
            breaker.answered();
            assert!(!breaker.is_open() && breaker.words().is_none());
            assert_eq!(breaker.state().failures, 0, "the next failure is a first one");
        }
        // Full jitter: anywhere between nothing and a bound that doubles.
        assert!(shortest < Duration::from_millis(10), "{shortest:?}");
        assert!(longest[0] <= Duration::from_millis(50), "{longest:?}");
        assert!(
            longest[4] > Duration::from_millis(400) && longest[4] <= Duration::from_millis(800),
            "{longest:?}"
        );
        assert!(
            longest[15] > Duration::from_secs(5) && longest[15] <= Duration::from_secs(10),
            "{longest:?}"
        );
    }

    #[test]
    fn what_a_sink_says_is_cut_at_a_character() {
        let breaker = Breaker::default();
        breaker.failed(&"ä".repeat(1000));
        assert_eq!(breaker.words(), Some("ä".repeat(LONGEST_WORDS / 2)));
    }
}
