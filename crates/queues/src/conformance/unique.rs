//! Jobs that are the same.

use std::time::Duration;

use futures_util::future::join_all;
use shared_core::TenantId;

use super::Scenario;
use super::bench::{Bench, HOUR, INSTANT, dead, done, pause, retry};
use crate::Enqueued::{Existing, Inserted, Replaced};
use crate::backend::{Cancelled, Entry, Fate};
use crate::unique::OnDuplicate;
use crate::view::State;
use crate::{Enqueued, JobId, Unique};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("the same job is not enqueued while one is there", |bench| Box::pin(while_one_is_there(bench))),
    ("the same is what agrees in queue, tenant, name and key", |bench| Box::pin(what_is_the_same(bench))),
    ("once in a period", |bench| Box::pin(throttled(bench))),
    ("a period ends", |bench| Box::pin(period_ends(bench))),
    ("a debounced job is put off", |bench| Box::pin(debounced(bench))),
    ("a debounced job that runs is left alone", |bench| Box::pin(debounced_while_running(bench))),
    ("a running job is not replaced, however it was enqueued", |bench| Box::pin(others_while_running(bench))),
    ("one runs and the latest waits", |bench| Box::pin(keep_latest(bench))),
    ("the latest keeps the time of the first", |bench| Box::pin(latest_keeps_the_time(bench))),
    ("what replaces a job that is to be cancelled runs", |bench| Box::pin(instead_of_a_cancelled_one(bench))),
    ("the same job twice in a batch", |bench| Box::pin(in_a_batch(bench))),
    ("of 32 producers one wins", |bench| Box::pin(race(bench))),
    ("of 32 producers that replace one inserts", |bench| Box::pin(race_to_replace(bench))),
    ("a job that comes again is no other one", |bench| Box::pin(comes_again(bench))),
    ("a mark that nobody needs is pruned", |bench| Box::pin(marks_are_pruned(bench))),
];

async fn while_one_is_there(bench: Bench) {
    let mut worker = bench.worker().await;
    for unique in [Unique::existing("a"), Unique::reject("b")] {
        let offer = || bench.offer(bench.unique(unique.clone()));
        let job = bench.put(bench.unique(unique.clone())).await;
        assert_eq!(offer().await, Existing(job), "ready");
        assert_eq!(worker.claim_one().await, job);
        assert_eq!(offer().await, Existing(job), "running");
        assert!(worker.settle(job, retry(INSTANT)).await);
        assert_eq!(offer().await, Existing(job), "to be tried again");
        assert_eq!(worker.claim_soon().await, job);
        assert!(worker.settle(job, done()).await);

        let second = offer().await.job_id();
        assert_ne!(second, job, "completed");
        assert_eq!(worker.claim_one().await, second);
        assert!(worker.settle(second, dead()).await);

        let third = offer().await;
        assert!(third.is_inserted(), "dead: {third:?}");
        bench.backend.cancel(third.job_id()).await.unwrap();
        let fourth = offer().await;
        assert!(fourth.is_inserted(), "cancelled: {fourth:?}");
        assert_eq!(worker.claim_one().await, fourth.job_id());
    }
}

async fn others_while_running(bench: Bench) {
    let mut worker = bench.worker().await;
    let entries = [bench.saying(1, Unique::existing("a")), bench.saying(1, Unique::existing("b"))];
    let [first, second] = entries;
    for entry in [first, Entry { limits: bench.limited("l").limits, ..second }] {
        let key = entry.unique.clone().map(|unique| unique.key).unwrap_or_default();
        let job = bench.put(entry).await;
        assert_eq!(worker.claim_one().await, job);
        let other = bench.offer(bench.saying(2, Unique::debounce(key))).await;
        assert!(other.is_inserted(), "{other:?}");
        assert_eq!(worker.claim_one().await, other.job_id());
        worker.complete(&[job, other.job_id()]).await;
    }
}

async fn comes_again(bench: Bench) {
    let mut worker = bench.worker().await;
    let entry = latest(&bench, 1);
    let (job, queue) = (entry.job, bench.queue.clone());
    let bring = async || bench.backend.enqueue_once(entry.clone(), HOUR).await.unwrap();
    assert_eq!(bring().await, Inserted(job));
    assert_eq!(bench.offer(latest(&bench, 2)).await, Replaced(job));
    assert_eq!(bring().await, Existing(job), "it waits");
    let claimed = worker.claim_whole(&queue, 10).await;
    assert_eq!(
        (claimed.len(), claimed[0].job, &*claimed[0].payload),
        (1, job, "2"),
        "what came again is older"
    );
    assert_eq!(bring().await, Existing(job), "it runs");
    assert!(worker.settle(job, done()).await);
}

async fn what_is_the_same(bench: Bench) {
    let one = bench.unique(Unique::existing("a"));
    bench.put(one.clone()).await;
    let others = [
        Entry { queue: bench.other_queue.to_string().into(), ..bench.unique(Unique::existing("a")) },
        Entry { tenant: TenantId::new(), ..bench.unique(Unique::existing("a")) },
        Entry { name: "test:other".into(), ..bench.unique(Unique::existing("a")) },
        bench.unique(Unique::existing("b")),
        bench.entry(),
    ];
    for other in others {
        bench.put(other).await;
    }
    let differing = Entry { payload: "7".to_owned(), version: 9, ..bench.unique(Unique::existing("a")) };
    assert_eq!(bench.offer(differing).await, Existing(one.job));
}

async fn throttled(bench: Bench) {
    let unique = Unique::throttle("a", HOUR);
    let offer = || bench.offer(bench.unique(unique.clone()));
    let job = bench.put(bench.unique(unique.clone())).await;
    assert_eq!(offer().await, Existing(job));
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim_one().await, job);
    assert_eq!(offer().await, Existing(job));
    assert!(worker.settle(job, done()).await);
    assert_eq!(offer().await, Existing(job), "whatever becomes of it");
    bench.prune().await;
    assert_eq!(offer().await, Existing(job), "its mark is still needed");
    bench.nothing_is_left().await;
}

async fn period_ends(bench: Bench) {
    let unique = Unique::throttle("a", INSTANT);
    let first = bench.put(bench.unique(unique.clone())).await;
    let second = loop {
        pause().await;
        let answer = bench.offer(bench.unique(unique.clone())).await;
        if answer != Existing(first) {
            break answer;
        }
    };
    assert!(second.is_inserted(), "{second:?}, though the first one still waits");
    assert_eq!(bench.worker().await.claim(10).await, [first, second.job_id()]);
}

/// What its worker gets of a job.
async fn payload_of(bench: &Bench, job: JobId) -> String {
    let (mut worker, queue) = (bench.worker().await, bench.queue.clone());
    let claimed = worker.claim_whole(&queue, 100).await;
    claimed.into_iter().find(|claimed| claimed.job == job).unwrap().payload
}

async fn debounced(bench: Bench) {
    let offer = |n, delay| bench.offer(Entry { delay, version: n, ..bench.saying(n, Unique::debounce("a")) });
    let job = offer(1, INSTANT).await.job_id();
    assert_eq!(offer(2, HOUR).await, Replaced(job));
    assert_eq!(offer(3, HOUR).await, Replaced(job));
    bench.nothing_is_left().await;
    assert_eq!(bench.state(job).await, Some(State::Scheduled));
    assert_eq!(offer(4, Duration::ZERO).await, Replaced(job));
    bench.promote().await;
    assert_eq!(bench.state(job).await, Some(State::Ready));
    assert_eq!(offer(5, HOUR).await, Replaced(job), "a ready one too");
    bench.nothing_is_left().await;
    assert_eq!(offer(6, Duration::ZERO).await, Replaced(job));
    bench.promote().await;
    assert_eq!(bench.view(job).await.unwrap().version, 6);
    assert_eq!(payload_of(&bench, job).await, "6");
}

async fn debounced_while_running(bench: Bench) {
    let offer = |n| bench.offer(bench.saying(n, Unique::debounce("a")));
    let first = offer(1).await.job_id();
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim_one().await, first);
    let second = offer(2).await;
    assert!(second.is_inserted() && second.job_id() != first);
    assert_eq!(offer(3).await, Replaced(second.job_id()));
    assert!(worker.settle(first, done()).await);
    assert_eq!(payload_of(&bench, second.job_id()).await, "3");
}

/// As producers send it: where the latest waits behind the one that runs, the key is the ordering key.
fn sent(bench: &Bench, n: u32, unique: Unique) -> Entry {
    let waits = unique.on_duplicate == OnDuplicate::KeepLatest;
    let order = waits.then(|| format!("unique:test:note:{}", unique.key));
    Entry { order, ..bench.saying(n, unique) }
}

fn latest(bench: &Bench, n: u32) -> Entry {
    sent(bench, n, Unique::keep_latest("a"))
}

async fn keep_latest(bench: Bench) {
    let first = bench.put(latest(&bench, 1)).await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim_one().await, first);
    let second = bench.put(latest(&bench, 2)).await;
    assert_eq!(bench.offer(latest(&bench, 3)).await, Replaced(second));
    assert_eq!(bench.offer(latest(&bench, 4)).await, Replaced(second));
    assert_eq!(worker.claim(10).await, [], "they never run at once");
    assert!(worker.settle(first, done()).await);
    let queue = bench.queue.clone();
    let claimed = worker.claim_whole(&queue, 10).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!((claimed[0].job, &*claimed[0].payload), (second, "4"));
}

async fn latest_keeps_the_time(bench: Bench) {
    let offer = |n, delay| bench.offer(Entry { delay, ..latest(&bench, n) });
    let job = offer(1, HOUR).await.job_id();
    let due = bench.view(job).await.unwrap().due_at;
    assert_eq!(offer(2, Duration::ZERO).await, Replaced(job));
    let view = bench.view(job).await.unwrap();
    assert_eq!((view.state, view.due_at), (State::Scheduled, due));
    bench.nothing_is_left().await;
}

async fn instead_of_a_cancelled_one(bench: Bench) {
    let mut worker = bench.worker().await;
    for unique in [Unique::debounce("a"), Unique::keep_latest("b")] {
        let offer = async |n| bench.offer(bench.saying(n, unique.clone())).await.job_id();
        let job = offer(1).await;
        assert_eq!(worker.claim_one().await, job);
        assert_eq!(bench.backend.cancel(job).await.unwrap(), Cancelled::Asked);
        assert!(worker.settle(job, Fate::Later(Duration::ZERO)).await);
        let latest = offer(2).await;
        assert_eq!(worker.claim_soon().await, latest);
        assert_eq!(worker.to_cancel().await, [], "nobody wants this one cancelled");
        worker.complete(&[latest]).await;
    }
}

async fn in_a_batch(bench: Bench) {
    let same = |n, unique| sent(&bench, n, unique);
    let batch = vec![
        same(1, Unique::existing("a")),
        same(2, Unique::existing("a")),
        same(3, Unique::debounce("b")),
        bench.entry(),
        same(4, Unique::debounce("b")),
        same(5, Unique::throttle("c", HOUR)),
        same(6, Unique::throttle("c", HOUR)),
        same(7, Unique::existing("a")),
        same(8, Unique::reject("d")),
        same(9, Unique::keep_latest("e")),
        same(10, Unique::reject("d")),
        same(11, Unique::keep_latest("e")),
    ];
    let jobs: Vec<JobId> = batch.iter().map(|entry| entry.job).collect();
    let (a, b, c, d, e) = (jobs[0], jobs[2], jobs[5], jobs[8], jobs[9]);
    let answers = bench.backend.enqueue(batch).await.unwrap();
    let expected = [
        Inserted(a),
        Existing(a),
        Inserted(b),
        Inserted(jobs[3]),
        Replaced(b),
        Inserted(c),
        Existing(c),
        Existing(a),
        Inserted(d),
        Inserted(e),
        Existing(d),
        Replaced(e),
    ];
    assert_eq!(answers, expected);
    let claimed = bench.worker().await.claim_whole(&bench.queue, 100).await;
    let payload = |job| &*claimed.iter().find(|claimed| claimed.job == job).unwrap().payload;
    assert_eq!([a, b, c, d, e].map(payload), ["1", "4", "5", "8", "11"], "replaced, or the first");
    assert_eq!(claimed.len(), 6);
}

/// What 32 producers are told that send a batch each at once.
async fn answers_of_32(bench: &Bench, unique: Unique) -> Vec<Enqueued> {
    let batch = |n: u32| {
        let entries = vec![bench.entry(), sent(bench, n, unique.clone()), sent(bench, n, unique.clone())];
        async { bench.backend.enqueue(entries).await.unwrap()[1..].to_vec() }
    };
    join_all((0..32).map(batch)).await.concat()
}

async fn race(bench: Bench) {
    for unique in [Unique::existing("a"), Unique::throttle("b", HOUR), Unique::reject("c")] {
        let answers = answers_of_32(&bench, unique.clone()).await;
        let winner = *answers.iter().find(|answer| answer.is_inserted()).unwrap();
        assert_eq!(answers.iter().filter(|answer| answer.is_inserted()).count(), 1, "{unique:?}");
        let others = answers.iter().filter(|answer| !answer.is_inserted());
        assert!(others.copied().all(|answer| answer == Existing(winner.job_id())), "{unique:?}");
    }
    assert_eq!(bench.worker().await.claim(1000).await.len(), 3 * 33);
}

async fn race_to_replace(bench: Bench) {
    for unique in [Unique::debounce("a"), Unique::keep_latest("b")] {
        let answers = answers_of_32(&bench, unique.clone()).await;
        let job = answers[0].job_id();
        let expected = |answer: &Enqueued| [Inserted(job), Replaced(job)].contains(answer);
        assert!(answers.iter().all(expected), "{unique:?}: {answers:?}");
        assert_eq!(answers.iter().filter(|answer| answer.is_inserted()).count(), 1, "{unique:?}");
        assert_eq!(bench.worker().await.claim(1000).await.len(), 33, "{unique:?}");
    }
}

async fn marks_are_pruned(bench: Bench) {
    let mut worker = bench.worker().await;
    let job = bench.put(bench.unique(Unique::throttle("a", INSTANT))).await;
    assert_eq!(worker.claim_one().await, job);
    assert!(worker.settle(job, done()).await);
    let kept = bench.put(bench.unique(Unique::existing("b"))).await;
    let mut removed = 0;
    while removed == 0 {
        pause().await;
        removed += bench.prune().await.0;
    }
    assert_eq!(bench.offer(bench.unique(Unique::existing("b"))).await, Existing(kept));
    assert!(bench.offer(bench.unique(Unique::existing("a"))).await.is_inserted());
}
