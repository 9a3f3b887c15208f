//! Limits: checked when a job is claimed, counted over all workers and queues.

use std::time::Duration;

use super::Scenario;
use super::bench::{Bench, HOUR, INSTANT, Worker, done, pause, sorted};
use crate::JobId;
use crate::backend::Entry;
use crate::limit::{Limit, LimitStatus};
use crate::view::State;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("so many at once", |bench| Box::pin(concurrency(bench))),
    ("so many in a time", |bench| Box::pin(rate(bench))),
    ("each key has a bucket of its own", |bench| Box::pin(bucket_of_a_key(bench))),
    ("a bucket holds its burst, and no more", |bench| Box::pin(burst(bench))),
    ("tokens come back with time", |bench| Box::pin(tokens_come_back(bench))),
    ("keys count each by itself", |bench| Box::pin(keys(bench))),
    ("a key's own limit goes before the name's", |bench| Box::pin(own_limit_of_a_key(bench))),
    ("a name that nobody set limits nothing", |bench| Box::pin(unset(bench))),
    ("through all limits or through none", |bench| Box::pin(all_or_none(bench))),
    ("a held key waits, and others go on", |bench| Box::pin(held_key(bench))),
    ("a held name holds its keys", |bench| Box::pin(held_name(bench))),
    ("a hold ends", |bench| Box::pin(hold_ends(bench))),
    ("one limit over two queues", |bench| Box::pin(shared(bench))),
    ("claims of two queues at once stay within a limit", |bench| Box::pin(claims_at_once(bench))),
    ("two workers share a limit", |bench| Box::pin(two_workers(bench))),
    ("a limit is changed while jobs wait", |bench| Box::pin(changed(bench))),
    ("a limit for jobs of one key in their order", |bench| Box::pin(ordered(bench))),
    ("a queue's own limit", |bench| Box::pin(of_a_queue(bench))),
    ("a queue's own rate", |bench| Box::pin(rate_of_a_queue(bench))),
    ("limits and their use are shown", |bench| Box::pin(shown(bench))),
    ("limits are shown page by page", |bench| Box::pin(pages(bench))),
    ("a limited job waits in sight", |bench| Box::pin(waits_in_sight(bench))),
];

/// Jobs under the limit of this name.
async fn put(bench: &Bench, count: usize, name: &str) -> Vec<JobId> {
    bench.put_all((0..count).map(|_| bench.limited(name)).collect()).await
}

/// Looks until so many jobs are claimed: a backend may take a moment to notice that there is room.
async fn claim_in_all(worker: &mut Worker, count: usize) -> Vec<JobId> {
    let mut claimed = worker.claim(count).await;
    while claimed.len() < count {
        pause().await;
        claimed.extend(worker.claim(count - claimed.len()).await);
    }
    claimed
}

async fn concurrency(bench: Bench) {
    bench.set_limit("api", None, Limit::concurrency(2)).await;
    let jobs = put(&bench, 5, "api").await;
    let mut worker = bench.worker().await;
    let claimed = worker.claim(10).await;
    assert_eq!(claimed, jobs[..2]);
    assert_eq!(worker.claim(10).await, []);
    worker.complete(&claimed[..1]).await;
    assert_eq!(worker.claim(10).await, [jobs[2]]);
    assert_eq!(worker.claim(10).await, []);
    worker.complete(&[jobs[1], jobs[2]]).await;
    assert_eq!(worker.claim(10).await, jobs[3..]);
}

async fn rate(bench: Bench) {
    bench.set_limit("api", None, Limit::rate(3, HOUR)).await;
    let jobs = put(&bench, 5, "api").await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim(2).await, jobs[..2]);
    assert_eq!(worker.claim(10).await, [jobs[2]]);
    worker.complete(&jobs[..3]).await;
    bench.nothing_is_left().await;
}

async fn bucket_of_a_key(bench: Bench) {
    bench.set_limit("host", None, Limit::rate(2, HOUR)).await;
    let of = |key| bench.put_all((0..3).map(|_| bench.limited_by("host", key)).collect());
    let a = of("a").await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim(10).await, a[..2]);
    let b = of("b").await;
    assert_eq!(worker.claim(10).await, b[..2], "the first one's bucket is empty, and this one's is full");
    worker.complete(&[a[0], a[1], b[0], b[1]]).await;
    bench.nothing_is_left().await;
}

/// Be it larger or smaller than what flows in.
async fn burst(bench: Bench) {
    bench.set_limit("large", None, Limit::rate(2, HOUR).burst(5)).await;
    bench.set_limit("small", None, Limit::rate(5, HOUR).burst(2)).await;
    let (large, small) = (put(&bench, 7, "large").await, put(&bench, 7, "small").await);
    let mut worker = bench.worker().await;
    let expected = large[..5].iter().chain(&small[..2]).copied();
    assert_eq!(sorted(claim_in_all(&mut worker, 7).await), sorted(expected));
    assert_eq!(worker.claim(10).await, []);

    let other = bench.other_queue.clone();
    bench.backend.set_queue_limit(&other, Some(Limit::rate(5, HOUR).burst(2))).await.unwrap();
    let there = |_| Entry { queue: other.to_string().into(), ..bench.entry() };
    let jobs = bench.put_all((0..7).map(there).collect()).await;
    assert_eq!(worker.claim_from(&other, 10).await, jobs[..2]);
    assert_eq!(worker.claim_from(&other, 10).await, []);
}

async fn tokens_come_back(bench: Bench) {
    bench.set_limit("api", None, Limit::rate(1, Duration::from_millis(5))).await;
    let jobs = put(&bench, 4, "api").await;
    let mut worker = bench.worker().await;
    assert_eq!(claim_in_all(&mut worker, 4).await, jobs);
}

async fn keys(bench: Bench) {
    bench.set_limit("host", None, Limit::concurrency(1)).await;
    let of = |key| bench.put_all((0..3).map(|_| bench.limited_by("host", key)).collect());
    let (a, b) = (of("a").await, of("b").await);
    let unkeyed = put(&bench, 2, "host").await;
    let mut worker = bench.worker().await;
    assert_eq!(sorted(worker.claim(10).await), sorted([a[0], b[0], unkeyed[0]]));
    worker.complete(&[b[0]]).await;
    assert_eq!(worker.claim(10).await, [b[1]]);
}

async fn own_limit_of_a_key(bench: Bench) {
    bench.set_limit("host", None, Limit::concurrency(1)).await;
    bench.set_limit("host", Some("big"), Limit::concurrency(3)).await;
    let of = |key| bench.put_all((0..4).map(|_| bench.limited_by("host", key)).collect());
    let (big, small) = (of("big").await, of("small").await);
    let mut worker = bench.worker().await;
    let expected = big[..3].iter().chain(&small[..1]).copied();
    assert_eq!(sorted(worker.claim(10).await), sorted(expected));
    bench.set_limit("host", Some("big"), None).await;
    worker.complete(&big[..2]).await;
    assert_eq!(worker.claim(10).await, [], "the name's limit is full with the one that runs");
    worker.complete(&big[2..3]).await;
    assert_eq!(worker.claim(10).await, [big[3]]);
}

async fn unset(bench: Bench) {
    let jobs = put(&bench, 20, "free").await;
    assert_eq!(sorted(bench.worker().await.claim(100).await), sorted(jobs));
}

async fn all_or_none(bench: Bench) {
    bench.set_limit("a", None, Limit::concurrency(1)).await;
    bench.set_limit("b", None, Limit::rate(2, HOUR).and_concurrency(2)).await;
    let of_a = put(&bench, 1, "a").await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim(10).await, of_a);
    let limits = vec![bench.limit_key("a", None), bench.limit_key("b", None)];
    let both = bench.put(Entry { limits, ..bench.entry() }).await;
    for _ in 0..3 {
        assert_eq!(
            worker.claim(10).await,
            [],
            "it can't pass the first limit, so it takes nothing of the second"
        );
    }
    let of_b = put(&bench, 2, "b").await;
    assert_eq!(claim_in_all(&mut worker, 1).await, of_b[..1]);
    worker.complete(&[of_a[0], of_b[0]]).await;
    let last = claim_in_all(&mut worker, 1).await;
    assert!(last == [both] || last == of_b[1..]);
    worker.complete(&last).await;
    bench.nothing_is_left().await;
}

async fn held_key(bench: Bench) {
    let of = |key| bench.put(bench.limited_by("host", key));
    bench.hold("host", Some("slow"), HOUR).await;
    let (slow, quick) = (of("slow").await, of("quick").await);
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim(10).await, [quick]);
    assert_eq!(bench.state(slow).await, Some(State::Waiting));
    bench.nothing_is_left().await;
}

async fn held_name(bench: Bench) {
    bench.put(bench.limited_by("host", "a")).await;
    put(&bench, 1, "host").await;
    bench.hold("host", None, HOUR).await;
    let other = bench.put(bench.limited_by("other", "a")).await;
    assert_eq!(bench.worker().await.claim(10).await, [other]);
}

async fn hold_ends(bench: Bench) {
    bench.hold("api", None, Duration::from_millis(20)).await;
    let job = put(&bench, 1, "api").await[0];
    let mut worker = bench.worker().await;
    assert_eq!(claim_in_all(&mut worker, 1).await, [job]);
    bench.hold("api", None, HOUR).await;
    assert!(worker.settle(job, super::bench::retry(INSTANT)).await);
    bench.nothing_is_left().await;
    bench.hold("api", None, INSTANT).await;
    assert_eq!(worker.claim_soon().await, job);
}

async fn shared(bench: Bench) {
    bench.set_limit("api", None, Limit::concurrency(2)).await;
    let there = |_| Entry { queue: bench.other_queue.to_string().into(), ..bench.limited("api") };
    let others = bench.put_all((0..3).map(there).collect()).await;
    let here = put(&bench, 3, "api").await;
    let (mut worker, other_queue) = (bench.worker().await, bench.other_queue.clone());
    let mut running = worker.claim(10).await;
    assert_eq!(running, here[..2]);
    assert_eq!(worker.claim_from(&other_queue, 10).await, []);
    let mut left = others.len() + here.len() - running.len();
    while left > 0 {
        worker.complete(&running).await;
        // As workers do all the time: what a queue does not use any more, it gives back.
        bench.promote().await;
        running = worker.claim_from(&other_queue, 10).await;
        running.extend(worker.claim(10).await);
        assert!(running.len() <= 2, "{} at once in two queues", running.len());
        left -= running.len();
        pause().await;
    }
}

async fn claims_at_once(bench: Bench) {
    bench.set_limit("api", None, Limit::concurrency(5)).await;
    let queues = [bench.queue.clone(), bench.other_queue.clone()];
    for queue in &queues {
        let entry = |_| Entry { queue: queue.to_string().into(), ..bench.limited("api") };
        bench.put_all((0..30).map(entry).collect()).await;
    }
    let mut workers = Vec::new();
    for _ in 0..8 {
        workers.push(bench.worker().await);
    }
    let (mut running, mut completed) = (0, 0);
    while completed < 60 {
        let claims = workers.iter_mut().zip(queues.iter().cycle());
        let claims = claims.map(|(worker, queue)| worker.claim_from(queue, 3));
        running += futures_util::future::join_all(claims).await.concat().len();
        assert!(running <= 5, "{running} at once");
        for worker in &mut workers {
            if let Some(job) = worker.held.keys().next().copied() {
                worker.complete(&[job]).await;
                (running, completed) = (running - 1, completed + 1);
            }
        }
        pause().await;
    }
}

async fn two_workers(bench: Bench) {
    bench.set_limit("api", None, Limit::concurrency(3)).await;
    put(&bench, 30, "api").await;
    let (mut a, mut b) = (bench.worker().await, bench.worker().await);
    let mut completed = 0;
    while completed < 30 {
        let (of_a, of_b) = futures_util::join!(a.claim(2), b.claim(2));
        let running = of_a.len() + of_b.len();
        assert!((1..=3).contains(&running), "{running} at once");
        a.complete(&of_a).await;
        b.complete(&of_b).await;
        completed += running;
    }
}

async fn changed(bench: Bench) {
    bench.set_limit("api", None, Limit::concurrency(1)).await;
    let jobs = put(&bench, 10, "api").await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim(10).await, jobs[..1]);
    bench.set_limit("api", None, Limit::concurrency(3)).await;
    assert_eq!(claim_in_all(&mut worker, 2).await, jobs[1..3]);
    assert_eq!(worker.claim(10).await, []);
    bench.set_limit("api", None, Limit::concurrency(2)).await;
    worker.complete(&jobs[..2]).await;
    assert_eq!(claim_in_all(&mut worker, 1).await, jobs[3..4], "one still ran, so there is room for one");
    assert_eq!(worker.claim(10).await, []);
    bench.set_limit("api", None, Limit::rate(1, HOUR)).await;
    assert_eq!(claim_in_all(&mut worker, 1).await, jobs[4..5]);
    assert_eq!(worker.claim(10).await, []);
    bench.set_limit("api", None, None).await;
    assert_eq!(claim_in_all(&mut worker, 5).await, jobs[5..]);
}

async fn ordered(bench: Bench) {
    bench.set_limit("api", None, Limit::concurrency(2)).await;
    let of = |key: &str| Entry { order: Some(key.to_owned()), ..bench.limited("api") };
    let jobs = bench.put_all(["a", "a", "b", "b", "c", "c"].map(of).into()).await;
    let (firsts, mut worker) = ([jobs[0], jobs[2], jobs[4]], bench.worker().await);
    let claimed = worker.claim(10).await;
    assert_eq!(claimed.len(), 2);
    assert!(claimed.iter().all(|job| firsts.contains(job)));
    assert_eq!(worker.claim(10).await, []);
    let mut seen = claimed.clone();
    worker.complete(&claimed).await;
    while seen.len() < 6 {
        let claimed = worker.claim(10).await;
        assert_eq!(claimed.len(), 2);
        worker.complete(&claimed).await;
        seen.extend(claimed);
    }
    for (first, second) in [(0, 1), (2, 3), (4, 5)] {
        let at = |n: usize| seen.iter().position(|job| *job == jobs[n]);
        assert!(at(first) < at(second));
    }
}

async fn of_a_queue(bench: Bench) {
    bench.backend.set_queue_limit(&bench.queue, Some(Limit::concurrency(2))).await.unwrap();
    let jobs = bench.put_all(bench.entries(5)).await;
    let (mut a, mut b) = (bench.worker().await, bench.worker().await);
    assert_eq!(a.claim(1).await, jobs[..1]);
    assert_eq!(b.claim(10).await, jobs[1..2]);
    assert_eq!(a.claim(10).await, []);
    assert!(b.settle(jobs[1], done()).await);
    assert_eq!(a.claim(10).await, jobs[2..3]);
    bench.backend.set_queue_limit(&bench.queue, None).await.unwrap();
    assert_eq!(b.claim(10).await, jobs[3..]);
}

async fn rate_of_a_queue(bench: Bench) {
    bench.backend.set_queue_limit(&bench.queue, Some(Limit::rate(3, HOUR))).await.unwrap();
    let jobs = bench.put_all(bench.entries(5)).await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim(2).await, jobs[..2]);
    worker.complete(&jobs[..2]).await;
    assert_eq!(worker.claim(10).await, [jobs[2]]);
    bench.nothing_is_left().await;
}

async fn shown(bench: Bench) {
    let limit = Limit::rate(10, HOUR).and_concurrency(5);
    bench.set_limit("api", None, limit).await;
    bench.backend.set_queue_limit(&bench.queue, Some(Limit::concurrency(7))).await.unwrap();
    put(&bench, 2, "api").await;
    bench.worker().await.claim(10).await;
    bench.hold("api", None, HOUR).await;
    let all = bench.backend.limits(None, 10_000).await.unwrap();
    let find = |name: &str| -> &LimitStatus { all.iter().find(|status| status.name == name).unwrap() };
    let api = find(&bench.limit_name("api"));
    assert_eq!((api.limit, api.running, api.of_queue), (Some(limit), 2, false));
    assert!(api.tokens.is_some_and(|tokens| (7.9..=8.1).contains(&tokens)), "{:?}", api.tokens);
    assert!(api.held_for.is_some_and(|wait| wait <= HOUR && wait > HOUR / 2));
    let queue = find(&bench.queue);
    assert_eq!((queue.limit, queue.running, queue.of_queue), (Some(Limit::concurrency(7)), 2, true));
    assert_eq!(bench.backend.limits(None, 1).await.unwrap().len(), 1);
}

async fn pages(bench: Bench) {
    for key in [None, Some("b"), Some("a"), Some("\u{e4}")] {
        bench.set_limit("paged", key, Limit::concurrency(1)).await;
    }
    bench.backend.set_queue_limit(&bench.queue, Some(Limit::concurrency(7))).await.unwrap();
    bench.put(bench.limited_by("unset", "k")).await;
    assert_eq!(bench.worker().await.claim(10).await.len(), 1);
    let places = |all: &[LimitStatus]| all.iter().map(LimitStatus::place).collect::<Vec<_>>();
    let all = places(&bench.backend.limits(None, 10_000).await.unwrap());
    assert!(all.len() >= 6 && all.is_sorted());
    let mut seen = Vec::new();
    loop {
        let page = bench.backend.limits(seen.last(), 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(places(&page));
    }
    assert_eq!(seen, all);
}

async fn waits_in_sight(bench: Bench) {
    bench.set_limit("api", None, Limit::concurrency(1)).await;
    let jobs = put(&bench, 2, "api").await;
    assert_eq!(bench.worker().await.claim(10).await, jobs[..1]);
    assert_eq!(bench.state(jobs[0]).await, Some(State::Running));
    assert_eq!(bench.state(jobs[1]).await, Some(State::Waiting));
}
