//! Claims: what, in which order, and of whom.

use std::ops::RangeInclusive;
use std::time::Duration;

use shared_core::TenantId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Scenario;
use super::bench::{Bench, HOUR, INSTANT, done, pause, sorted};
use super::control::status;
use crate::backend::{Claim, Entry, Fate};
use crate::view::State;
use crate::{JobId, Priority};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("a job comes out as it went in", |bench| Box::pin(as_it_went_in(bench))),
    ("a claim says how long a job has waited", |bench| Box::pin(says_how_long(bench))),
    ("no job is claimed twice", |bench| Box::pin(not_twice(bench))),
    ("the oldest job first", |bench| Box::pin(oldest_first(bench))),
    ("the most urgent job first", |bench| Box::pin(urgent_first(bench))),
    ("one claim in sixteen begins with the lowest priority", |bench| Box::pin(lowest_first_at_times(bench))),
    ("a stranger gets nothing", |bench| Box::pin(strangers_get_nothing(bench))),
    ("queues are apart", |bench| Box::pin(queues_are_apart(bench))),
    ("a delayed job waits for its time", |bench| Box::pin(delayed(bench))),
    ("many jobs go in and out in one call", |bench| Box::pin(many_at_once(bench))),
    ("many due jobs are made ready in steps", |bench| Box::pin(many_due(bench))),
    ("who waits is woken by a job", |bench| Box::pin(woken(bench))),
    ("a wait ends by itself", |bench| Box::pin(wait_ends(bench))),
    ("tenants take turns", |bench| Box::pin(tenants_take_turns(bench))),
    ("one tenant alone gets everything", |bench| Box::pin(one_tenant_alone(bench))),
    ("a tenant's share is its weight", |bench| Box::pin(weights(bench))),
    ("tenants take turns within a priority", |bench| Box::pin(turns_within_a_priority(bench))),
];

async fn as_it_went_in(bench: Bench) {
    let entry = Entry {
        name: "mail:send".into(),
        version: 7,
        payload: r#"{"to":"ä@b.example"}"#.to_owned(),
        context: r#"{"actor":"me"}"#.to_owned(),
        priority: Priority::High,
        ..bench.entry()
    };
    let job = bench.put(entry.clone()).await;
    let queue = bench.queue.clone();
    let claimed = bench.worker().await.claim_whole(&queue, 10).await;
    assert_eq!(claimed.len(), 1);
    let found = &claimed[0];
    assert_eq!((found.job, found.tenant, &*found.name, found.version), (job, bench.tenant, "mail:send", 7));
    assert_eq!((&found.payload, &found.context, found.attempts), (&entry.payload, &entry.context, 0));
}

/// From when it was due, and of its age; and whether it had to be let through. However long the calls take: the backend's own clock is
/// read around them.
async fn says_how_long(bench: Bench) {
    const LONG: Duration = Duration::from_millis(40);
    let put_at = clock(&bench).await;
    let first = bench.put(bench.entry()).await;
    let delayed = bench.put(Entry { delay: LONG / 4, ..bench.entry() }).await;
    let laned = bench.put_all(vec![bench.ordered("k"), bench.limited("free")]).await;
    let put = put_at..=clock(&bench).await;
    while status(&bench).await.oldest < Some(LONG) {
        pause().await;
    }
    bench.promote().await;
    let (mut worker, queue) = (bench.worker().await, bench.queue.clone());
    let claimed_at = clock(&bench).await;
    let all = worker.claim_whole(&queue, 10).await;
    let claimed = claimed_at..=clock(&bench).await;
    assert_eq!(all.len(), 4);
    for job in &all {
        let delay = if job.job == delayed { LONG / 4 } else { Duration::ZERO };
        assert!(lies_between(job.age, Duration::ZERO, &put, &claimed), "{put:?} {claimed:?} {job:?}");
        assert!(lies_between(job.waited, delay, &put, &claimed), "{put:?} {claimed:?} {job:?}");
        assert_eq!(job.is_laned, laned.contains(&job.job));
    }
    assert!(all.iter().any(|job| job.job == first && job.waited >= LONG));
    // It is due anew, and as old as before.
    let settled_at = clock(&bench).await;
    assert!(worker.settle(first, Fate::Later(INSTANT)).await);
    let settled = settled_at..=clock(&bench).await;
    let (again, claimed) = loop {
        bench.promote().await;
        let claimed_at = clock(&bench).await;
        if let Some(again) = worker.claim_whole(&queue, 1).await.pop() {
            break (again, claimed_at..=clock(&bench).await);
        }
        pause().await;
    };
    assert_eq!(again.job, first);
    assert!(lies_between(again.age, Duration::ZERO, &put, &claimed), "{put:?} {claimed:?} {again:?}");
    assert!(lies_between(again.waited, INSTANT, &settled, &claimed), "{settled:?} {claimed:?} {again:?}");
}

/// The backend's.
async fn clock(bench: &Bench) -> OffsetDateTime {
    bench.backend.due_schedules(&bench.queue).await.unwrap().0
}

/// Whether it may be the time from so long after one call to another one. Clocks of backends are no finer than a millisecond.
fn lies_between(
    time: Duration,
    after: Duration,
    from: &RangeInclusive<OffsetDateTime>,
    to: &RangeInclusive<OffsetDateTime>,
) -> bool {
    const FINEST: Duration = Duration::from_millis(1);
    let least = *to.start() - *from.end() - after - FINEST;
    let most = *to.end() - *from.start() - after + FINEST;
    least <= time && most >= time
}

async fn not_twice(bench: Bench) {
    let jobs = bench.put_all(bench.entries(100)).await;
    let (mut a, mut b, mut seen) = (bench.worker().await, bench.worker().await, Vec::new());
    loop {
        let (of_a, of_b) = futures_util::join!(a.claim(7), b.claim(7));
        if of_a.is_empty() && of_b.is_empty() {
            break;
        }
        seen.extend(of_a);
        seen.extend(of_b);
    }
    assert_eq!(sorted(seen), sorted(jobs));
}

async fn oldest_first(bench: Bench) {
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.extend(bench.put_all(bench.entries(5)).await);
    }
    let mut worker = bench.worker().await;
    let mut seen = Vec::new();
    for most in [1, 7, 3, 100] {
        seen.extend(worker.claim(most).await);
    }
    assert_eq!(seen, jobs);
}

/// One job of each priority, the lowest first.
async fn one_of_each(bench: &Bench) -> [JobId; 3] {
    let of = |priority| Entry { priority, ..bench.entry() };
    let jobs = bench.put_all([Priority::Low, Priority::Normal, Priority::High].map(of).into()).await;
    [jobs[0], jobs[1], jobs[2]]
}

async fn urgent_first(bench: Bench) {
    let [low, normal, high] = one_of_each(&bench).await;
    let [later_low, later_normal, later_high] = one_of_each(&bench).await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim(1).await, [high]);
    assert_eq!(sorted(worker.claim(2).await), sorted([later_high, normal]));
    assert_eq!(sorted(worker.claim(10).await), sorted([later_normal, low, later_low]));
}

async fn lowest_first_at_times(bench: Bench) {
    let [low, normal, high] = one_of_each(&bench).await;
    let mut worker = bench.worker().await;
    worker.claims = Claim::LOWEST_FIRST_EVERY - 1;
    assert_eq!(worker.claim(1).await, [low]);
    assert_eq!(worker.claim(1).await, [high]);
    assert_eq!(worker.claim(1).await, [normal]);
}

async fn strangers_get_nothing(bench: Bench) {
    bench.put(bench.entry()).await;
    let claim = Claim { queue: &bench.queue, most: 10, worker: Uuid::new_v4(), number: 1 };
    assert_eq!(bench.backend.claim(claim).await.unwrap(), []);
    let mut worker = bench.worker().await;
    worker.retire().await;
    assert_eq!(worker.claim(10).await, []);
}

async fn queues_are_apart(bench: Bench) {
    let here = bench.put(bench.entry()).await;
    let there = bench.put(Entry { queue: bench.other_queue.to_string().into(), ..bench.entry() }).await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim(10).await, [here]);
    let other = bench.other_queue.clone();
    assert_eq!(worker.claim_from(&other, 10).await, [there]);
    assert!(worker.settle(here, done()).await && worker.settle(there, done()).await);
}

async fn delayed(bench: Bench) {
    let later = bench.put(Entry { delay: HOUR, ..bench.entry() }).await;
    let soon = bench.put(Entry { delay: INSTANT, ..bench.entry() }).await;
    assert_eq!(bench.state(later).await, Some(State::Scheduled));
    assert_eq!(bench.worker().await.claim_soon().await, soon);
    bench.nothing_is_left().await;
    assert_eq!(bench.state(later).await, Some(State::Scheduled));
}

async fn many_at_once(bench: Bench) {
    let jobs = bench.put_all(bench.entries(2500)).await;
    let mut worker = bench.worker().await;
    let mut seen = Vec::new();
    while seen.len() < 2500 {
        let claimed = worker.claim(1000).await;
        assert!(!claimed.is_empty());
        seen.extend(claimed);
    }
    assert_eq!(seen, jobs);
}

async fn many_due(bench: Bench) {
    let soon = Entry { delay: INSTANT, ..bench.entry() };
    let entries = bench.entries(2500).into_iter().map(|entry| Entry { job: entry.job, ..soon.clone() });
    let jobs = bench.put_all(entries.collect()).await;
    let mut worker = bench.worker().await;
    let mut seen = vec![worker.claim_soon().await];
    bench.promote().await;
    while let claimed = worker.claim(1000).await
        && !claimed.is_empty()
    {
        seen.extend(claimed);
    }
    assert_eq!(sorted(seen), sorted(jobs));
}

async fn woken(bench: Bench) {
    let queues = bench.queues();
    let wait = bench.backend.wait(&queues, HOUR);
    // It may miss some.
    let enqueue = async {
        loop {
            bench.put(bench.entry()).await;
            pause().await;
        }
    };
    tokio::select! {
        () = wait => {}
        () = enqueue => {}
    }
}

async fn wait_ends(bench: Bench) {
    bench.backend.wait(&bench.queues(), Duration::from_millis(20)).await;
}

/// Two tenants with a few jobs that come behind a third with many.
async fn a_flood_and_two_others(bench: &Bench, few: usize) -> (Vec<JobId>, Vec<JobId>) {
    let flood = bench.put_all(bench.entries(100)).await;
    let mut others = Vec::new();
    for tenant in [TenantId::new(), TenantId::new()] {
        others.extend(bench.put_all((0..few).map(|_| bench.of_tenant(tenant)).collect()).await);
    }
    (flood, others)
}

async fn tenants_take_turns(bench: Bench) {
    let (flood, others) = a_flood_and_two_others(&bench, 5).await;
    let mut worker = bench.worker().await;
    let first = worker.claim(30).await;
    assert_eq!(first.len(), 30);
    let of_others = first.iter().filter(|job| others.contains(job)).count();
    assert!(of_others >= 6, "{of_others} of the first 30 jobs are not of the tenant with most jobs");
    let mut seen = first;
    seen.extend(worker.claim(30).await);
    assert!(others.iter().all(|job| seen.contains(job)), "the other tenants wait for the flood");
    seen.extend(worker.claim(100).await);
    assert_eq!(sorted(seen), sorted(flood.into_iter().chain(others)));
}

async fn one_tenant_alone(bench: Bench) {
    let jobs = bench.put_all(bench.entries(100)).await;
    assert_eq!(bench.worker().await.claim(80).await, jobs[..80]);
}

async fn weights(bench: Bench) {
    let heavy = TenantId::new();
    bench.backend.set_weight(&bench.queue, heavy, 4).await.unwrap();
    bench.put_all(bench.entries(200)).await;
    let of_heavy = bench.put_all((0..200).map(|_| bench.of_tenant(heavy)).collect()).await;
    let mut worker = bench.worker().await;
    let mut share = 0;
    for _ in 0..10 {
        let claimed = worker.claim(10).await;
        assert_eq!(claimed.len(), 10);
        share += claimed.iter().filter(|job| of_heavy.contains(job)).count();
    }
    assert!((70..=90).contains(&share), "{share} % instead of 80 %");
}

async fn turns_within_a_priority(bench: Bench) {
    let normal = bench.put_all((0..10).map(|_| bench.of_tenant(TenantId::new())).collect()).await;
    let urgent =
        bench.put_all((0..10).map(|_| Entry { priority: Priority::High, ..bench.entry() }).collect()).await;
    let mut worker = bench.worker().await;
    assert_eq!(sorted(worker.claim(10).await), sorted(urgent));
    assert_eq!(sorted(worker.claim(10).await), sorted(normal));
}
