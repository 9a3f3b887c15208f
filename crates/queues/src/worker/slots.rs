//! How many jobs a worker holds, and how many more it should take.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::Config;

/// For how many claims' time jobs are taken ahead: the half of them is left when the next claim is begun, and lasts until it is there.
const CLAIMS_AHEAD: u64 = 2;

/// The least and the most time for which jobs are taken ahead, in microseconds. A job that is claimed stands behind all that lie here
/// unstarted, whoever's turn it is; so no more than that hides a claim. But claims for one quick job each would cost more than
/// the jobs; and slow jobs would only be kept from workers that have time.
const LEAST_AHEAD: u64 = 2_000;
const MOST_AHEAD: u64 = 50_000;

pub(super) struct Slots {
    concurrency: usize,
    batch: usize,
    held: AtomicUsize,
    running: AtomicUsize,
    /// Of the jobs of late.
    run: Mean,
    /// Of the claims of late that found any.
    claim: Mean,
    freed: Notify,
}

/// A moving mean of times.
#[derive(Default)]
struct Mean(AtomicU64);

impl Mean {
    /// In microseconds; 0 before the first.
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Of two that are told at once one may be lost.
    fn tell(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
        let mean = match self.get() {
            0 => time,
            mean => mean.saturating_mul(7).saturating_add(time) / 8,
        };
        self.0.store(mean.max(1), Ordering::Relaxed);
    }
}

impl Slots {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            concurrency: config.concurrency as usize,
            batch: config.batch as usize,
            held: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            run: Mean::default(),
            claim: Mean::default(),
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

    /// How many jobs to hold beyond those that run: as many as will begin within the time of two claims.
    fn ahead(&self) -> usize {
        let run = self.run.get();
        if run == 0 {
            return 0;
        }
        let begun_within = |time: u64| time.saturating_mul(self.concurrency as u64);
        let time = self.claim.get().saturating_mul(CLAIMS_AHEAD).clamp(LEAST_AHEAD, MOST_AHEAD);
        // One more rather than a slot that waits, unless it would lie here for too long.
        let soon = begun_within(time).div_ceil(run).min(begun_within(MOST_AHEAD) / run);
        usize::try_from(soon).unwrap_or(self.batch).min(self.batch)
    }

    /// A claim has found jobs, after this time.
    pub(super) fn claimed(&self, took: Duration) {
        self.claim.tell(took);
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
        self.run.tell(run);
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
    async fn jobs_are_taken_ahead_for_the_time_of_two_claims() {
        let slots = slots();
        run(&slots, Duration::from_millis(5)).await;
        let ahead = |slots: &Slots| slots.ahead();
        assert_eq!(ahead(&slots), 4, "10 slots begin 4 jobs in 2 ms");
        slots.claimed(Duration::from_micros(300));
        assert_eq!(ahead(&slots), 4, "a quick claim changes nothing");
        for (claim, expected) in [(4, 16), (15, 50), (1000, 50), (1, 4)] {
            (0..200).for_each(|_| slots.claimed(Duration::from_millis(claim)));
            assert_eq!(ahead(&slots), expected, "claims take {claim} ms");
        }
        for (job, expected) in [(45, 1), (400, 1), (600, 0)] {
            for _ in 0..200 {
                run(&slots, Duration::from_millis(job)).await;
            }
            assert_eq!(ahead(&slots), expected, "jobs take {job} ms");
        }
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
