//! How many jobs a worker holds, and how many more it should take.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::Config;

/// How long a job should lie here unstarted at most. Taking quick jobs ahead hides the round trip of a claim; slow ones
/// would only be kept from workers that have time.
const AHEAD: Duration = Duration::from_millis(50);

pub(super) struct Slots {
    concurrency: usize,
    batch: usize,
    held: AtomicUsize,
    running: AtomicUsize,
    /// The mean run time of late, in microseconds; 0 before the first job.
    mean: AtomicU64,
    freed: Notify,
}

impl Slots {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            concurrency: config.concurrency as usize,
            batch: config.batch as usize,
            held: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            mean: AtomicU64::new(0),
            freed: Notify::new(),
        }
    }

    /// The most jobs that can be held.
    pub(super) fn most(&self) -> usize {
        self.concurrency + self.batch
    }

    /// Waits until it is worth a round trip, and returns how many jobs to take.
    pub(super) async fn room(&self) -> usize {
        loop {
            let freed = self.freed.notified();
            let ahead = self.ahead();
            let room = (self.concurrency + ahead).saturating_sub(self.held.load(Ordering::Acquire));
            if room >= (ahead / 2).max(1) {
                return room.min(self.batch);
            }
            freed.await;
        }
    }

    /// How many jobs to hold beyond those that run.
    fn ahead(&self) -> usize {
        match self.mean.load(Ordering::Relaxed) {
            0 => 0,
            mean => {
                let soon = AHEAD.as_micros() as u64 * self.concurrency as u64 / mean;
                usize::try_from(soon).unwrap_or(self.batch).min(self.batch)
            }
        }
    }

    pub(super) fn took(&self, jobs: usize) {
        self.held.fetch_add(jobs, Ordering::AcqRel);
    }

    pub(super) fn started(&self) {
        self.running.fetch_add(1, Ordering::AcqRel);
    }

    /// A job has ended, after this time.
    pub(super) fn ended(&self, run: Duration) {
        let run = u64::try_from(run.as_micros()).unwrap_or(u64::MAX).max(1);
        let mean = match self.mean.load(Ordering::Relaxed) {
            0 => run,
            mean => mean.saturating_mul(7).saturating_add(run) / 8,
        };
        self.mean.store(mean.max(1), Ordering::Relaxed);
        self.running.fetch_sub(1, Ordering::AcqRel);
        self.held.fetch_sub(1, Ordering::AcqRel);
        self.freed.notify_one();
    }

    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots() -> Slots {
        Slots::new(&Config { concurrency: 10, batch: 50, ..Config::default() })
    }

    fn run(slots: &Slots, run: Duration) {
        slots.took(1);
        slots.started();
        slots.ended(run);
    }

    #[tokio::test]
    async fn a_new_worker_takes_what_it_can_run() {
        assert_eq!(slots().room().await, 10);
    }

    #[tokio::test]
    async fn quick_jobs_are_taken_ahead_and_slow_ones_are_not() {
        let slots = slots();
        run(&slots, Duration::from_micros(100));
        assert_eq!(slots.room().await, 50);
        for _ in 0..100 {
            run(&slots, Duration::from_secs(10));
        }
        assert_eq!(slots.room().await, 10);
    }

    #[tokio::test]
    async fn a_full_worker_waits_for_an_end() {
        let slots = slots();
        slots.took(10);
        let waiting = async {
            assert_eq!(slots.room().await, 1);
        };
        let ending = async {
            tokio::task::yield_now().await;
            slots.started();
            slots.ended(Duration::from_secs(1));
        };
        futures_util::future::join(waiting, ending).await;
    }
}
