//! Embeds the texts of calls that meet in one go.

use std::collections::{HashMap, VecDeque};
use std::error::Error as StdError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use shared_service::db::vector::Embedder;

/// Texts at once, unless a single call has more: full batches for both cores, and a question that comes meanwhile waits no
/// longer than these take, a second or two.
const AT_ONCE: usize = 48;

/// An embedder around another one. While it embeds, calls wait; then those that wait are embedded together, in their order. So
/// documents of a few chunks share the model's batches: a fifth less processor time for a whole run, measured.
pub(super) struct Batching {
    inner: Box<dyn Embedder>,
    calls: Mutex<Calls>,
    changed: Condvar,
}

#[derive(Default)]
struct Calls {
    last: u64,
    waiting: VecDeque<(u64, Vec<String>)>,
    answered: HashMap<u64, Answer>,
    /// One of the callers embeds for all.
    is_busy: bool,
}

type Answer = Result<Vec<Vec<f32>>, String>;

impl Batching {
    pub(super) fn new(inner: impl Embedder) -> Self {
        Self { inner: Box::new(inner), calls: Mutex::default(), changed: Condvar::new() }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answers to some calls, each under its number.
    fn answer(&self, calls: &[(u64, Vec<String>)]) -> Vec<(u64, Answer)> {
        let texts: Vec<&str> = calls.iter().flat_map(|(_, texts)| texts.iter().map(String::as_str)).collect();
        // A panic must not leave the others waiting.
        let embedded = catch_unwind(AssertUnwindSafe(|| self.inner.embed(&texts)));
        let embedded = embedded.unwrap_or_else(|_| Err("the embedder panicked".into()));
        let mut vectors = embedded.map(Vec::into_iter).map_err(|error| error.to_string());
        let own = |(call, texts): &(u64, Vec<String>)| {
            let vectors = vectors.as_mut().map_err(|why| why.clone());
            (*call, vectors.map(|vectors| vectors.take(texts.len()).collect()))
        };
        calls.iter().map(own).collect()
    }
}

impl Calls {
    fn enter(&mut self, texts: &[&str]) -> u64 {
        self.last += 1;
        self.waiting.push_back((self.last, texts.iter().map(|text| (*text).to_owned()).collect()));
        self.last
    }

    /// The next calls, as many as fit; at least one.
    fn take(&mut self) -> Vec<(u64, Vec<String>)> {
        let (mut taken, mut texts) = (Vec::new(), 0);
        while let Some(call) = self.waiting.pop_front() {
            texts += call.1.len();
            if texts > AT_ONCE && !taken.is_empty() {
                self.waiting.push_front(call);
                break;
            }
            taken.push(call);
        }
        taken
    }
}

impl Embedder for Batching {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn dimensions(&self) -> usize {
        self.inner.dimensions()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Box<dyn StdError + Send + Sync>> {
        let mut calls = self.calls();
        let own = calls.enter(texts);
        loop {
            if let Some(answer) = calls.answered.remove(&own) {
                return Ok(answer?);
            }
            if calls.is_busy {
                calls = self.changed.wait(calls).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let taken = calls.take();
            calls.is_busy = true;
            drop(calls);
            let answers = self.answer(&taken);
            calls = self.calls();
            calls.is_busy = false;
            calls.answered.extend(answers);
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use shared_service::db::vector::Hashing;

    use super::*;

    /// Counts its calls, and fails for a text that says so.
    struct Counting(Hashing, &'static AtomicUsize);

    impl Embedder for Counting {
        fn name(&self) -> &str {
            self.0.name()
        }
        fn dimensions(&self) -> usize {
            self.0.dimensions()
        }
        fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Box<dyn StdError + Send + Sync>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            assert!(!texts.contains(&"panic"), "as it was told");
            self.0.embed(texts)
        }
    }

    #[test]
    fn each_call_gets_its_own_vectors() {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        let alone = Hashing::new(64);
        let together = Batching::new(Counting(Hashing::new(64), &CALLS));
        thread::scope(|scope| {
            for caller in 0..64 {
                let (alone, together) = (&alone, &together);
                scope.spawn(move || {
                    let texts: Vec<String> =
                        (0..caller % 5).map(|text| format!("text {text} of {caller}")).collect();
                    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                    assert_eq!(together.embed(&texts).unwrap(), alone.embed(&texts).unwrap());
                });
            }
        });
        assert!(CALLS.load(Ordering::Relaxed) <= 64, "no call was embedded twice");
        assert!(together.calls().answered.is_empty() && together.calls().waiting.is_empty());
    }

    #[test]
    fn a_panic_is_an_error_and_the_next_call_succeeds() {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        let together = Batching::new(Counting(Hashing::new(64), &CALLS));
        assert_eq!(together.embed(&["panic"]).unwrap_err().to_string(), "the embedder panicked");
        assert_eq!(together.embed(&["fine"]).unwrap().len(), 1);
    }

    #[test]
    fn what_is_taken_fits_or_is_one_call() {
        let mut calls = Calls::default();
        for length in [AT_ONCE + 1, AT_ONCE - 1, 1, 1] {
            calls.enter(&vec!["text"; length]);
        }
        let lengths =
            |taken: Vec<(u64, Vec<String>)>| taken.iter().map(|(_, texts)| texts.len()).collect::<Vec<_>>();
        assert_eq!(lengths(calls.take()), [AT_ONCE + 1]);
        assert_eq!(lengths(calls.take()), [AT_ONCE - 1, 1]);
        assert_eq!(lengths(calls.take()), [1]);
        assert!(calls.take().is_empty());
    }
}
