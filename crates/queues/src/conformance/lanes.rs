//! Ordering keys.

use std::time::Duration;

use futures_util::future::join_all;
use shared_core::TenantId;

use super::Scenario;
use super::bench::{Bench, HOUR, INSTANT, dead, done, retry, sorted};
use crate::JobId;
use crate::backend::{Cancelled, Entry, Fate};
use crate::view::State;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("jobs of a key run one after the other", |bench| Box::pin(one_after_the_other(bench))),
    ("keys, tenants and queues do not wait for each other", |bench| Box::pin(keys_are_apart(bench))),
    ("a big claim takes one job of each key", |bench| Box::pin(one_of_each_key(bench))),
    ("no job of a key overtakes one that failed", |bench| Box::pin(order_across_retry(bench))),
    ("a key waits with the job that waits", |bench| Box::pin(the_head_waits(bench))),
    ("order is kept when a worker dies", |bench| Box::pin(order_across_rescue(bench))),
    ("order is kept when jobs are given back", |bench| Box::pin(order_across_hand_back(bench))),
    ("a key goes on after a dead or cancelled job", |bench| Box::pin(goes_on(bench))),
    ("a waiting job leaves its lane when it is cancelled", |bench| Box::pin(cancelled_in_the_lane(bench))),
    ("a job whose time has come overtakes none behind a cancelled one", |bench| {
        Box::pin(behind_a_cancelled_one(bench))
    }),
    ("a delayed job of a key does not block it", |bench| Box::pin(delayed_in_a_lane(bench))),
    ("jobs without a key pass by lanes", |bench| Box::pin(others_pass_by(bench))),
];

async fn three_of_a_key(bench: &Bench) -> Vec<JobId> {
    bench.put_all((0..3).map(|_| bench.ordered("k")).collect()).await
}

async fn one_after_the_other(bench: Bench) {
    let jobs = three_of_a_key(&bench).await;
    assert_eq!(bench.state(jobs[1]).await, Some(State::Waiting));
    let (mut a, mut b) = (bench.worker().await, bench.worker().await);
    for job in jobs {
        assert_eq!(a.claim(10).await, [job]);
        assert_eq!(b.claim(10).await, []);
        assert!(a.settle(job, done()).await);
        std::mem::swap(&mut a, &mut b);
    }
    bench.nothing_is_left().await;
}

async fn keys_are_apart(bench: Bench) {
    let mut first = vec![three_of_a_key(&bench).await[0]];
    first.push(bench.put(bench.ordered("l")).await);
    first.push(bench.put(Entry { tenant: TenantId::new(), ..bench.ordered("k") }).await);
    let elsewhere =
        bench.put(Entry { queue: bench.other_queue.to_string().into(), ..bench.ordered("k") }).await;
    let mut worker = bench.worker().await;
    assert_eq!(sorted(worker.claim(10).await), sorted(first));
    let other = bench.other_queue.clone();
    assert_eq!(worker.claim_from(&other, 10).await, [elsewhere]);
}

async fn one_of_each_key(bench: Bench) {
    let mut waiting: Vec<Vec<JobId>> = Vec::new();
    for key in ["a", "b", "c", "d", "e"] {
        waiting.push(bench.put_all((0..4).map(|_| bench.ordered(key)).collect()).await);
    }
    let mut worker = bench.worker().await;
    for _ in 0..4 {
        let claimed = worker.claim(50).await;
        let heads = waiting.iter_mut().map(|jobs| jobs.remove(0));
        assert_eq!(sorted(claimed.clone()), sorted(heads));
        worker.complete(&claimed).await;
    }
}

async fn order_across_retry(bench: Bench) {
    let jobs = three_of_a_key(&bench).await;
    let mut worker = bench.worker().await;
    for fate in [retry(INSTANT), Fate::Later(INSTANT), retry(Duration::ZERO), Fate::Later(Duration::ZERO)] {
        assert_eq!(worker.claim_soon().await, jobs[0]);
        assert!(worker.settle(jobs[0], fate).await);
    }
    for job in jobs {
        assert_eq!(worker.claim_soon().await, job);
        assert!(worker.settle(job, done()).await);
    }
}

async fn the_head_waits(bench: Bench) {
    let jobs = three_of_a_key(&bench).await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim(10).await, [jobs[0]]);
    assert!(worker.settle(jobs[0], retry(HOUR)).await);
    bench.nothing_is_left().await;
    assert_eq!(bench.backend.cancel(jobs[0]).await.unwrap(), Cancelled::Removed);
    assert_eq!(worker.claim_soon().await, jobs[1]);
}

async fn order_across_rescue(bench: Bench) {
    let jobs = three_of_a_key(&bench).await;
    let mut mortal = bench.worker().await;
    assert_eq!(mortal.claim(10).await, [jobs[0]]);
    mortal.die().await;
    bench.sweep_until(1).await;
    let mut worker = bench.worker().await;
    for job in jobs {
        assert_eq!(worker.claim(10).await, [job]);
        assert!(worker.settle(job, done()).await);
    }
}

async fn order_across_hand_back(bench: Bench) {
    let jobs = three_of_a_key(&bench).await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim(10).await, [jobs[0]]);
    assert_eq!(worker.give_back(&[1]).await, 1);
    assert_eq!(worker.claim(10).await, [jobs[0]]);
    assert_eq!(worker.retire().await, 1);
    let mut next = bench.worker().await;
    for job in jobs {
        assert_eq!(next.claim(10).await, [job]);
        assert!(next.settle(job, done()).await);
    }
}

async fn goes_on(bench: Bench) {
    let jobs = bench.put_all((0..5).map(|_| bench.ordered("k")).collect()).await;
    let mut worker = bench.worker().await;
    let ends = [dead(), Fate::Cancelled { keep: HOUR }, Fate::Cancelled { keep: Duration::ZERO }];
    for (job, fate) in jobs.iter().zip(ends) {
        assert_eq!(worker.claim(10).await, [*job]);
        assert!(worker.settle(*job, fate).await);
    }
    let mut mortal = bench.worker().await;
    assert_eq!(mortal.claim(10).await, [jobs[3]]);
    mortal.die().await;
    while bench.backend.sweep(&bench.queues(), 1).await.unwrap().dead == 0 {
        super::bench::pause().await;
    }
    assert_eq!(worker.claim(10).await, [jobs[4]]);
}

async fn behind_a_cancelled_one(bench: Bench) {
    for cancelled in [1, 300] {
        let gone = bench.put_all((0..cancelled).map(|_| bench.ordered("k")).collect()).await;
        let older = bench.put(bench.ordered("k")).await;
        let delayed = bench.put(Entry { delay: HOUR, ..bench.ordered("k") }).await;
        let younger = bench.put(bench.ordered("k")).await;
        for some in gone.chunks(10) {
            let cancelled = join_all(some.iter().map(|job| bench.backend.cancel(*job))).await;
            assert!(cancelled.into_iter().all(|how| how.unwrap() == Cancelled::Removed));
        }
        assert!(bench.backend.reschedule(delayed, Duration::ZERO).await.unwrap());
        let mut worker = bench.worker().await;
        for job in [older, delayed, younger] {
            assert_eq!(worker.claim_soon().await, job);
            worker.complete(&[job]).await;
        }
        bench.nothing_is_left().await;
    }
}

async fn cancelled_in_the_lane(bench: Bench) {
    let jobs = three_of_a_key(&bench).await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim(10).await, [jobs[0]]);
    assert_eq!(bench.backend.cancel(jobs[1]).await.unwrap(), Cancelled::Removed);
    assert_eq!(worker.claim(10).await, []);
    assert!(worker.settle(jobs[0], done()).await);
    assert_eq!(worker.claim(10).await, [jobs[2]]);
    assert!(worker.settle(jobs[2], done()).await);
    bench.nothing_is_left().await;
}

async fn delayed_in_a_lane(bench: Bench) {
    let delayed = bench.put(Entry { delay: HOUR, ..bench.ordered("k") }).await;
    let soon = bench.put(Entry { delay: INSTANT, ..bench.ordered("k") }).await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim_soon().await, soon);
    assert_eq!(bench.state(delayed).await, Some(State::Scheduled));
    let next = bench.put(bench.ordered("k")).await;
    assert_eq!(worker.claim(10).await, []);
    assert!(worker.settle(soon, done()).await);
    assert_eq!(worker.claim(10).await, [next]);
}

async fn others_pass_by(bench: Bench) {
    let jobs = three_of_a_key(&bench).await;
    let others = bench.put_all(bench.entries(5)).await;
    let claimed = bench.worker().await.claim(10).await;
    assert_eq!(sorted(claimed), sorted(others.into_iter().chain([jobs[0]])));
}
