//! Callers at once, with a writer that does what the test says.

mod postgres;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use futures_util::poll;
use shared_core::InTenant;
use shared_db::Error as Refusal;

use super::*;
use crate::NewJob;
use crate::fixture::{Mail, tenant};

/// What it has written, batch by batch. It waits for a permit each time.
struct Scribe {
    go: Semaphore,
    written: Mutex<Vec<Vec<Entry>>>,
    /// What it says to a batch with more than one job; and to one with the unwanted job.
    fails: Option<Refusal>,
    refuses: Option<(String, Refusal)>,
    asked: AtomicUsize,
}

impl Scribe {
    fn new() -> Self {
        let written = Mutex::default();
        Self { go: Semaphore::new(0), written, fails: None, refuses: None, asked: AtomicUsize::new(0) }
    }
}

impl Writer for Arc<Scribe> {
    async fn write(&self, jobs: &[Entry]) -> Result<Vec<Enqueued>, Refusal> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.go.acquire().await.unwrap().forget();
        if let Some(error) = self.fails.as_ref().filter(|_| jobs.len() > 1) {
            return Err(error.clone());
        }
        match &self.refuses {
            Some((payload, refusal)) if jobs.iter().any(|job| job.payload == *payload) => {
                return Err(refusal.clone());
            }
            _ => {}
        }
        lock(&self.written).push(jobs.to_vec());
        Ok(jobs.iter().map(|job| Enqueued::Inserted(job.job)).collect())
    }
}

fn entry(n: u64) -> Entry {
    NewJob::of(Mail { n }).entry(tenant().context()).unwrap()
}

fn sizes(scribe: &Scribe) -> Vec<usize> {
    lock(&scribe.written).iter().map(Vec::len).collect()
}

#[tokio::test]
async fn who_comes_while_two_are_under_way_shares_the_next_one() {
    let scribe = Arc::new(Scribe::new());
    let joined = Joined::new(scribe.clone());
    let jobs: Vec<Entry> = (0..600).map(entry).collect();
    let callers = join_all(jobs.iter().map(|job| joined.enqueue(job.clone())));
    let (answers, ()) = join(callers, async { scribe.go.add_permits(100) }).await;
    for (job, answer) in jobs.iter().zip(answers) {
        assert_eq!(answer.unwrap(), Enqueued::Inserted(job.job), "each has its own");
    }
    assert_eq!(sizes(&scribe), [1, 1, MOST_JOBS, MOST_JOBS, 98]);
}

#[tokio::test]
async fn a_batch_is_bounded_by_its_bytes_too() {
    let scribe = Arc::new(Scribe::new());
    let joined = Joined::new(scribe.clone());
    let large = |n| Entry { payload: "x".repeat(MOST_BYTES / 4), ..entry(n) };
    let callers = join_all((0..9).map(|n| joined.enqueue(large(n))));
    join(callers, async { scribe.go.add_permits(100) }).await;
    assert_eq!(sizes(&scribe), [1, 1, 3, 3, 1]);
}

#[tokio::test]
async fn who_goes_away_takes_nobody_elses_job_along() {
    let scribe = Arc::new(Scribe::new());
    let joined = Joined::new(scribe.clone());
    let mut callers: Vec<_> = (0..30).map(|n| Box::pin(joined.enqueue(entry(n)))).collect();
    for caller in &mut callers {
        assert!(poll!(caller).is_pending());
    }
    // Those that are under way, and the first of the batch, who leads it.
    let patient = callers.split_off(3);
    drop(callers);
    let (answers, ()) = join(join_all(patient), async { scribe.go.add_permits(100) }).await;
    assert!(answers.into_iter().all(|answer| answer.is_ok()));
    assert_eq!(sizes(&scribe), [28], "that of the first is in the batch");
}

#[tokio::test]
async fn a_batch_for_which_nobody_waits_is_not_written() {
    let scribe = Arc::new(Scribe::new());
    let joined = Joined::new(scribe.clone());
    let mut callers: Vec<_> = (0..4).map(|n| Box::pin(joined.enqueue(entry(n)))).collect();
    for caller in &mut callers {
        assert!(poll!(caller).is_pending());
    }
    drop(callers);
    scribe.go.add_permits(100);
    joined.enqueue(entry(9)).await.unwrap();
    assert_eq!(sizes(&scribe), [1]);
}

#[tokio::test]
async fn where_nobody_knows_whether_a_batch_is_there_it_is_not_tried_again() {
    // An error without a code of the server.
    let unknown = Refusal::Closed;
    let scribe = Arc::new(Scribe { fails: Some(unknown), ..Scribe::new() });
    let joined = Joined::new(scribe.clone());
    let callers = join_all((0..10).map(|n| joined.enqueue(entry(n))));
    let (answers, ()) = join(callers, async { scribe.go.add_permits(100) }).await;
    let failed = answers.iter().filter(|answer| matches!(answer, Err(Error::Database(Refusal::Closed))));
    assert_eq!((failed.count(), scribe.asked.load(Ordering::Relaxed)), (8, 3));
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn what_the_server_refuses_is_refused_to_the_one_whose_it_is() {
    let (redis, _part) = crate::conformance::redis().await;
    let refused = redis.command::<()>(&shared_db::redis::cmd("NOSUCHCOMMAND")).await.unwrap_err();
    let unwanted = entry(5);
    let refuses = Some((unwanted.payload.clone(), refused));
    let scribe = Arc::new(Scribe { refuses, ..Scribe::new() });
    let joined = Joined::new(scribe.clone());
    let callers = join_all((0..10).map(|n| joined.enqueue(entry(n))));
    let (answers, ()) = join(callers, async { scribe.go.add_permits(100) }).await;
    let failed: Vec<usize> =
        answers.iter().enumerate().filter(|(_, answer)| answer.is_err()).map(|(n, _)| n).collect();
    assert_eq!(failed, [5]);
    assert_eq!(sizes(&scribe), [1; 9], "each by itself");
}

/// The places are given to those who wait, in their order: nobody overtakes a batch for ever.
#[tokio::test]
async fn a_batch_has_its_turn_before_those_who_come_later() {
    let scribe = Arc::new(Scribe::new());
    let joined = Joined::new(scribe.clone());
    let early = join_all((0..5).map(|n| joined.enqueue(entry(n))));
    let late = async {
        while scribe.asked.load(Ordering::Relaxed) < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await; // a condition is polled
        }
        scribe.go.add_permits(1);
        tokio::task::yield_now().await;
        let late = joined.enqueue(entry(9));
        scribe.go.add_permits(100);
        late.await
    };
    let (answers, last) = join(early, late).await;
    assert!(answers.into_iter().chain([last]).all(|answer| answer.is_ok()));
    let batches: Vec<Vec<Entry>> = std::mem::take(&mut *lock(&scribe.written));
    let place = |n| batches.iter().position(|batch| batch.iter().any(|job| job.payload == entry(n).payload));
    assert!(place(4) <= place(9), "{:?}", sizes(&scribe));
}
