//! Futures that are dropped at random awaits, and what they have left behind. A short storm in every test run; as long a one
//! as you like by `cargo xtask storm`.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use shared_db::Error;

/// As many futures, twelve at a time. The same seed cuts the same ones after as many polls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Storm {
    pub futures: u64,
    pub seed: u64,
}

/// That over Redis, and on other servers than the usual one.
pub(crate) const SHORT: Storm = Storm { futures: 2_000, seed: 1 };

/// What is given up by the clock, if not by a count of polls: statements that take longer.
const PATIENCE: Duration = Duration::from_millis(30);

/// What was done, and what it has left behind.
#[derive(Debug, Default)]
pub(crate) struct Aftermath {
    pub finished: u64,
    pub dropped: u64,
    /// Connections that were taken out of the pool for it.
    pub discarded: u64,
    /// Answers to another question, errors that nobody has caused, and connections that were lent with something of
    /// another's: a transaction, a lock, a temporary table.
    pub poisoned: Vec<String>,
    /// Connections that were lent with a setting of another's, such as a tenant.
    pub leaked: Vec<String>,
    /// What still ran on the server a second after the last one.
    pub running: Vec<String>,
}

impl Storm {
    /// A number that looks random.
    pub(crate) fn random(self, nonce: u64) -> u64 {
        scattered(scattered(self.seed).wrapping_add(nonce))
    }

    /// Starts `work` for each number and drops it after fewer polls than said. What it finds wrong with its answer it returns.
    pub(crate) async fn rage<W>(self, polls: u64, work: impl Fn(u64) -> W) -> Aftermath
    where
        W: Future<Output = Result<Result<(), String>, Error>> + Send + 'static,
    {
        let cut = |nonce| {
            let work = tokio::time::timeout(PATIENCE, work(nonce));
            let after = self.random(nonce) % polls;
            tokio::spawn(async move { cut_after(after, work).await.and_then(Result::ok) })
        };
        let mut ends = stream::iter((0..self.futures).map(cut)).buffer_unordered(12);
        let mut aftermath = Aftermath::default();
        while let Some(end) = ends.next().await {
            match end.unwrap() {
                None => aftermath.dropped += 1,
                Some(Ok(Ok(()))) => aftermath.finished += 1,
                Some(Ok(Err(wrong))) => aftermath.poisoned.push(wrong),
                Some(Err(error)) => aftermath.poisoned.push(error.to_string()),
            }
        }
        aftermath
    }
}

impl Aftermath {
    /// # Panics
    /// If anything is left, or nothing was tested.
    pub(crate) fn assert_clear(&self) {
        assert!(self.is_clear(), "{self:#?}");
        assert!(self.finished > 0 && self.dropped > 0 && self.discarded > 0, "that tests nothing: {self:?}");
    }

    pub(crate) fn is_clear(&self) -> bool {
        self.poisoned.is_empty() && self.leaked.is_empty() && self.running.is_empty()
    }

    /// Looks until there is nothing, for a second, and keeps what is there then.
    pub(crate) async fn keep_running(&mut self, look: impl AsyncFn() -> Vec<String>) {
        let second = tokio::time::Instant::now() + Duration::from_secs(1);
        loop {
            self.running = look().await;
            if self.running.is_empty() || tokio::time::Instant::now() > second {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await; // a condition is polled
        }
    }
}

/// Polls `work` so many times, then drops it.
pub(crate) async fn cut_after<T>(polls: u64, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut left = polls;
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Numbers that look random, the same in every run.
pub(crate) fn scattered(seed: u64) -> u64 {
    let mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 31)
}
