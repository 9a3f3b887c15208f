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

    /// Waits until it is worth a round trip, and takes room for so many jobs. What is not [used](Self::unused) must be given
    /// back.
    pub(super) async fn room(&self) -> usize {
        loop {
            let freed = self.freed.notified();
            if let Some(room) = self.take_room() {
                return room;
            }
            freed.await;
        }
    }

    /// Room for so many jobs was not needed.
    pub(super) fn unused(&self, jobs: usize) {
        if jobs > 0 {
            self.held.fetch_sub(jobs, Ordering::AcqRel);
            self.freed.notify_one();
        }
    }

    fn take_room(&self) -> Option<usize> {
        let ahead = self.ahead();
        let mut taken = 0;
        let take = |held: usize| {
            let room = (self.concurrency + ahead).saturating_sub(held);
            taken = room.min(self.batch);
            (room >= (ahead / 2).max(1)).then_some(held + taken)
        };
        self.held.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).ok().map(|_| taken)
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

    /// Nothing is held, nor about to be.
    pub(super) fn is_empty(&self) -> bool {
        self.held.load(Ordering::Acquire) == 0
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

    async fn run(slots: &Slots, run: Duration) {
        let room = slots.room().await;
        slots.unused(room - 1);
        slots.started();
        slots.ended(run);
    }

    /// What it would take, and gives back.
    async fn room(slots: &Slots) -> usize {
        let room = slots.room().await;
        slots.unused(room);
        room
    }

    #[tokio::test]
    async fn a_new_worker_takes_what_it_can_run() {
        assert_eq!(room(&slots()).await, 10);
    }

    #[tokio::test]
    async fn quick_jobs_are_taken_ahead_and_slow_ones_are_not() {
        let slots = slots();
        run(&slots, Duration::from_micros(100)).await;
        assert_eq!(room(&slots).await, 50);
        for _ in 0..100 {
            run(&slots, Duration::from_secs(10)).await;
        }
        assert_eq!(room(&slots).await, 10);
    }

    #[tokio::test]
    async fn a_full_worker_waits_for_an_end() {
        let slots = slots();
        assert_eq!(slots.room().await, 10);
        let waiting = async {
            assert_eq!(slots.room().await, 1);
            assert!(!slots.is_empty());
        };
        let ending = async {
            tokio::task::yield_now().await;
            slots.started();
            slots.ended(Duration::from_secs(1));
        };
        futures_util::future::join(waiting, ending).await;
    }
}
