//! Fences: a job's state is changed by whom it belongs to, and by nobody else.

use super::Scenario;
use super::bench::{Bench, fates, retry, sorted};
use crate::backend::{Fate, Settled};
use crate::limit::Limit;
use crate::view::State;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("only the holder settles a job, and once", |bench| Box::pin(only_the_holder(bench))),
    ("another claim's number is refused", |bench| Box::pin(another_claim(bench))),
    ("a rescued worker is refused whatever it says", |bench| Box::pin(rescued(bench))),
    ("a job that came back has a new fence", |bench| Box::pin(came_back(bench))),
    ("of a batch the stale ones are refused", |bench| Box::pin(some_of_a_batch(bench))),
    ("single claims are given back", |bench| Box::pin(given_back(bench))),
    ("what a worker holds is known, and put back as nobody's attempt", |bench| Box::pin(held(bench))),
    ("a worker that retires gives everything back", |bench| Box::pin(retired(bench))),
    ("a worker that renews keeps its jobs", |bench| Box::pin(renewed(bench))),
    ("a dead worker's jobs are rescued once", |bench| Box::pin(rescued_once(bench))),
    ("a worker that lost one queue has lost all", |bench| Box::pin(lost_in_one_queue(bench))),
];

async fn only_the_holder(bench: Bench) {
    let (mut holder, stranger) = (bench.worker().await, bench.worker().await);
    for fate in fates() {
        bench.put(bench.entry()).await;
        let job = holder.claim_one().await;
        let claim = holder.claims;
        assert!(!stranger.settle_as(claim, job, fate.clone()).await, "a stranger: {fate:?}");
        assert_eq!(bench.state(job).await, Some(State::Running), "{fate:?}");
        assert!(holder.settle(job, fate.clone()).await, "the holder: {fate:?}");
        let after = bench.view(job).await;
        for repeated in fates() {
            assert!(!holder.settle_as(claim, job, repeated.clone()).await, "{fate:?}, then {repeated:?}");
        }
        assert_eq!(bench.view(job).await, after, "{fate:?}");
        bench.backend.cancel(job).await.unwrap();
    }
}

async fn another_claim(bench: Bench) {
    bench.put_all(bench.entries(2)).await;
    let mut worker = bench.worker().await;
    let (first, second) = (worker.claim_one().await, worker.claim_one().await);
    for fate in fates() {
        assert!(!worker.settle_as(worker.claims, first, fate.clone()).await, "{fate:?}");
        assert!(!worker.settle_as(worker.claims - 1, second, fate.clone()).await, "{fate:?}");
        assert!(!worker.settle_as(worker.claims + 1, second, fate).await);
    }
    worker.complete(&[first, second]).await;
}

async fn rescued(bench: Bench) {
    let job = bench.put(bench.entry()).await;
    let mut stale = bench.worker().await;
    assert_eq!(stale.claim_one().await, job);
    stale.die().await;
    bench.sweep_until(1).await;
    assert!(!stale.lives().await);
    assert_eq!(stale.claim(10).await, []);
    for fate in fates() {
        assert!(!stale.settle_as(1, job, fate.clone()).await, "{fate:?}");
        assert_eq!(bench.state(job).await, Some(State::Ready), "{fate:?}");
    }
    let mut next = bench.worker().await;
    assert_eq!(next.claim_one().await, job);
    for fate in fates() {
        assert!(!stale.settle_as(1, job, fate.clone()).await, "{fate:?}");
    }
    assert_eq!((stale.give_back(&[1]).await, stale.retire().await), (0, 0));
    next.complete(&[job]).await;
}

async fn came_back(bench: Bench) {
    let job = bench.put(bench.entry()).await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim_one().await, job);
    assert_eq!(worker.give_back(&[1]).await, 1);
    assert_eq!(worker.claim_one().await, job);
    assert!(!worker.settle_as(1, job, super::bench::done()).await);
    assert!(worker.settle(job, retry(std::time::Duration::ZERO)).await);
    bench.promote().await;
    assert_eq!(worker.claim_one().await, job);
    assert!(!worker.settle_as(2, job, super::bench::done()).await);
    worker.complete(&[job]).await;
}

async fn some_of_a_batch(bench: Bench) {
    let fates = fates();
    let jobs = bench.put_all(bench.entries(fates.len() * 2)).await;
    let (mut worker, mut other) = (bench.worker().await, bench.worker().await);
    let mine = worker.claim(fates.len()).await;
    let others = other.claim(fates.len()).await;
    assert_eq!(sorted(mine.iter().chain(&others).copied()), sorted(jobs));
    let both = mine.iter().zip(&fates).chain(others.iter().zip(&fates));
    let all: Vec<Settled> = both.map(|(job, fate)| Settled::new(1, *job, fate.clone())).collect();
    let refused = bench.backend.settle(worker.id, &bench.queue, &all).await.unwrap();
    assert_eq!(sorted(refused), sorted(others.clone()));
    other.complete(&others).await;
}

async fn given_back(bench: Bench) {
    let jobs = bench.put_all(bench.entries(6)).await;
    let mut worker = bench.worker().await;
    for _ in 0..3 {
        worker.claim(2).await;
    }
    assert_eq!(worker.give_back(&[1, 3, 99]).await, 4);
    assert_eq!(worker.give_back(&[1, 3]).await, 0);
    let again = worker.claim(10).await;
    assert_eq!(sorted(again.clone()), sorted([jobs[0], jobs[1], jobs[4], jobs[5]]));
    let view = bench.view(jobs[0]).await.unwrap();
    assert_eq!((view.attempts, view.crashes), (0, 0));
    worker.complete(&jobs).await;
}

async fn held(bench: Bench) {
    bench.set_limit("one", None, Limit::concurrency(1)).await;
    let limited = bench.put_all(vec![bench.limited("one"), bench.limited("one")]).await;
    let plain = bench.put_all(bench.entries(3)).await;
    let (mut worker, stranger) = (bench.worker().await, bench.worker().await);
    assert_eq!(worker.held().await, []);
    let first = worker.claim(3).await;
    let second = worker.claim(1).await;
    let all = first.iter().map(|job| (*job, 1)).chain(second.iter().map(|job| (*job, 2)));
    assert_eq!(worker.held().await, sorted(all));
    assert_eq!(stranger.held().await, []);

    // All are put back, and the place in the limit is free.
    for job in [first, second].concat() {
        assert!(worker.settle(job, Fate::Later(std::time::Duration::ZERO)).await);
    }
    assert_eq!(worker.held().await, []);
    let mut again = Vec::new();
    while again.len() < 5 {
        let job = worker.claim_soon().await;
        let view = bench.view(job).await.unwrap();
        assert_eq!((view.attempts, view.crashes), (0, 0));
        worker.complete(&[job]).await;
        again.push(job);
    }
    assert_eq!(sorted(again), sorted([limited, plain].concat()));
}

async fn retired(bench: Bench) {
    let jobs = bench.put_all(bench.entries(5)).await;
    let mut worker = bench.worker().await;
    worker.claim(2).await;
    worker.claim(3).await;
    let other = crate::backend::Entry { queue: bench.other_queue.to_string().into(), ..bench.entry() };
    let elsewhere = bench.put(other).await;
    let other_queue = bench.other_queue.clone();
    worker.claim_from(&other_queue, 1).await;
    assert_eq!(worker.retire().await, 6);
    assert_eq!(worker.retire().await, 0);
    assert!(!worker.lives().await);
    assert!(!worker.settle_as(1, jobs[0], super::bench::done()).await);
    let mut next = bench.worker().await;
    assert_eq!(next.claim(10).await, jobs);
    assert_eq!(next.claim_from(&other_queue, 10).await, [elsewhere]);
    let view = bench.view(jobs[0]).await.unwrap();
    assert_eq!((view.attempts, view.crashes), (0, 0));
}

async fn renewed(bench: Bench) {
    bench.put_all(bench.entries(2)).await;
    let (mut mortal, mut living) = (bench.worker().await, bench.worker().await);
    mortal.claim_one().await;
    let job = living.claim_one().await;
    living.die().await;
    assert!(living.lives().await, "nobody had taken its jobs");
    mortal.die().await;
    assert_eq!(bench.sweep_until(1).await.rescued, 1);
    assert!(living.lives().await);
    assert!(living.settle(job, Fate::Later(std::time::Duration::ZERO)).await);
}

async fn rescued_once(bench: Bench) {
    let jobs = bench.put_all(bench.entries(40)).await;
    let mut mortal = bench.worker().await;
    for _ in 0..8 {
        mortal.claim(5).await;
    }
    mortal.die().await;
    let mut rescued = 0;
    while rescued < 40 {
        let swept = futures_util::future::join_all((0..4).map(|_| bench.sweep())).await;
        rescued += swept.iter().map(|swept| swept.rescued).sum::<u64>();
        super::bench::pause().await;
    }
    assert_eq!(rescued, 40);
    assert_eq!(sorted(bench.worker().await.claim(100).await), sorted(jobs));
}

async fn lost_in_one_queue(bench: Bench) {
    let here = bench.put(bench.entry()).await;
    let other = crate::backend::Entry { queue: bench.other_queue.to_string().into(), ..bench.entry() };
    let there = bench.put(other).await;
    let mut mortal = bench.worker().await;
    let (queue, other_queue) = (bench.queue.clone(), bench.other_queue.clone());
    assert_eq!(mortal.claim(1).await, [here]);
    assert_eq!(mortal.claim_from(&other_queue, 1).await, [there]);
    mortal.die().await;
    let one = [queue];
    while bench.backend.sweep(&one, 3).await.unwrap().rescued == 0 {
        super::bench::pause().await;
    }
    assert!(!mortal.lives().await);
    mortal.retire().await;
    let mut next = bench.worker().await;
    assert_eq!(next.claim(1).await, [here]);
    assert_eq!(next.claim_from(&other_queue, 1).await, [there]);
}
