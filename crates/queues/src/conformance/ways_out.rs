//! However a job leaves its worker, its places in the limits are free again, once.

use futures_util::future::BoxFuture;

use super::Scenario;
use super::bench::{Bench, HOUR, INSTANT, Worker, dead, done, pause, retry, sorted};
use crate::backend::{Cancelled, DeadFilter, Entry, Fate};
use crate::limit::Limit;
use crate::view::State;
use crate::{Enqueued, JobId, Unique};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("a settled job gives its place back", |bench| Box::pin(settled(bench))),
    ("a job that came back gives its place back", |bench| Box::pin(came_back(bench))),
    ("a rescued job gives its place back", |bench| Box::pin(rescued(bench))),
    ("a job that crashed too often gives its place back", |bench| Box::pin(crashed(bench))),
    ("a job that waits again is limited again", |bench| Box::pin(limited_again(bench))),
    ("a limited job that is redriven is limited again", |bench| Box::pin(redriven(bench))),
    ("a token is spent for good", |bench| Box::pin(tokens_are_spent(bench))),
    ("an admitted job that is not yet claimed can be cancelled", |bench| {
        Box::pin(cancelled_after_admission(bench))
    }),
    ("an admitted job that is put off is admitted again", |bench| Box::pin(put_off_after_admission(bench))),
];

/// A limit of one at once, and a job that runs through it.
async fn one_runs(bench: &Bench) -> (Worker, JobId) {
    bench.set_limit("api", None, Limit::concurrency(1)).await;
    let job = bench.put(bench.limited("api")).await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim(10).await, [job]);
    (worker, job)
}

/// Exactly one place is free: one of two other jobs gets it.
async fn one_place_is_free(bench: &Bench) {
    let jobs = bench.put_all(vec![bench.limited("api"), bench.limited("api")]).await;
    let mut worker = bench.worker().await;
    let first = worker.claim(10).await;
    assert_eq!(first.len(), 1, "the place is not free, or there are two");
    for job in &jobs {
        if Some(job) != first.first() {
            bench.backend.cancel(*job).await.unwrap();
        }
    }
    worker.complete(&first).await;
}

async fn settled(bench: Bench) {
    let ends = [
        done(),
        Fate::Completed { result: None, keep: HOUR },
        retry(HOUR),
        Fate::Later(HOUR),
        Fate::Cancelled { keep: HOUR },
        dead(),
    ];
    for fate in ends {
        let (mut worker, job) = one_runs(&bench).await;
        assert!(worker.settle(job, fate.clone()).await);
        assert!(!worker.settle_as(1, job, fate).await);
        one_place_is_free(&bench).await;
    }
}

type WayBack = for<'a> fn(&'a Worker) -> BoxFuture<'a, u64>;

async fn came_back(bench: Bench) {
    let ways: [WayBack; 2] = [|worker| Box::pin(worker.give_back(&[1])), |worker| Box::pin(worker.retire())];
    for way in ways {
        let (worker, job) = one_runs(&bench).await;
        assert_eq!(way(&worker).await, 1);
        assert_eq!(way(&worker).await, 0);
        assert_eq!(
            bench.state(job).await,
            Some(State::Waiting),
            "it is not ready before it is admitted again"
        );
        let mut next = bench.worker().await;
        assert_eq!(next.claim(10).await, [job]);
        next.complete(&[job]).await;
        one_place_is_free(&bench).await;
    }
}

async fn rescued(bench: Bench) {
    let (mortal, job) = one_runs(&bench).await;
    mortal.die().await;
    assert_eq!(bench.sweep_until(1).await.rescued, 1);
    assert_eq!(bench.state(job).await, Some(State::Waiting));
    let mut next = bench.worker().await;
    assert_eq!(next.claim(10).await, [job]);
    next.complete(&[job]).await;
    one_place_is_free(&bench).await;
}

async fn crashed(bench: Bench) {
    let (mortal, job) = one_runs(&bench).await;
    mortal.die().await;
    while bench.backend.sweep(&bench.queues(), 1).await.unwrap().dead == 0 {
        pause().await;
    }
    assert_eq!(bench.state(job).await, Some(State::Dead));
    one_place_is_free(&bench).await;
}

async fn limited_again(bench: Bench) {
    let (mut worker, job) = one_runs(&bench).await;
    assert!(worker.settle(job, retry(INSTANT)).await);
    let second = bench.put(bench.limited("api")).await;
    assert_eq!(worker.claim(10).await, [second]);
    while bench.state(job).await == Some(State::Scheduled) {
        bench.promote().await;
        pause().await;
    }
    assert_eq!(bench.state(job).await, Some(State::Waiting));
    assert_eq!(worker.claim(10).await, []);
    worker.complete(&[second]).await;
    assert_eq!(worker.claim(10).await, [job]);
    worker.complete(&[job]).await;
    one_place_is_free(&bench).await;
}

async fn redriven(bench: Bench) {
    let (mut worker, job) = one_runs(&bench).await;
    assert!(worker.settle(job, dead()).await);
    let second = bench.put(bench.limited("api")).await;
    assert_eq!(worker.claim(10).await, [second]);
    let filter = DeadFilter { job: Some(job), ..DeadFilter::default() };
    assert_eq!(bench.backend.redrive(&filter, None, 1).await.unwrap(), [job]);
    assert_eq!(worker.claim(10).await, []);
    worker.complete(&[second]).await;
    assert_eq!(worker.claim(10).await, [job]);
}

async fn tokens_are_spent(bench: Bench) {
    bench.set_limit("api", None, Limit::rate(2, HOUR)).await;
    let job = bench.put(bench.limited("api")).await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim(10).await, [job]);
    assert_eq!(worker.give_back(&[1]).await, 1);
    assert_eq!(worker.claim(10).await, [job]);
    assert_eq!(worker.give_back(&[2]).await, 1);
    assert_eq!(worker.claim(10).await, []);
}

async fn cancelled_after_admission(bench: Bench) {
    bench.set_limit("api", None, Limit::concurrency(1)).await;
    let job = bench.put(Entry { priority: crate::Priority::Low, ..bench.limited("api") }).await;
    let urgent = bench.put(Entry { priority: crate::Priority::High, ..bench.entry() }).await;
    // Admits one job, and claims another.
    assert_eq!(bench.worker().await.claim(1).await, [urgent]);
    assert_eq!(bench.backend.cancel(job).await.unwrap(), Cancelled::Removed);
    let others = bench.put_all(vec![bench.limited("api"), bench.limited("api")]).await;
    let claimed = bench.worker().await.claim(10).await;
    assert_eq!(claimed.len(), 1);
    assert!(sorted(others).contains(&claimed[0]));
}

async fn put_off_after_admission(bench: Bench) {
    bench.set_limit("api", None, Limit::concurrency(1)).await;
    let limits = bench.limited("api").limits;
    let entry = || Entry {
        priority: crate::Priority::Low,
        limits: limits.clone(),
        ..bench.unique(Unique::debounce("a"))
    };
    let job = bench.put(entry()).await;
    let urgent = bench.put(Entry { priority: crate::Priority::High, ..bench.entry() }).await;
    assert_eq!(bench.worker().await.claim(1).await, [urgent]);
    assert_eq!(bench.state(job).await, Some(State::Ready));
    assert_eq!(bench.offer(Entry { delay: INSTANT, ..entry() }).await, Enqueued::Replaced(job));
    // It waits again before anybody has claimed.
    while bench.state(job).await == Some(State::Scheduled) {
        bench.promote().await;
        pause().await;
    }
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim_soon().await, job);
    worker.complete(&[job]).await;
    one_place_is_free(&bench).await;
    // Nobody needs its mark any more.
    while bench.prune().await.1 {}
}
