//! The queues seen and steered from outside.

use std::time::Duration;

use shared_core::{Id, TenantId};

use super::Scenario;
use super::bench::{Bench, HOUR, Worker, dead, done, pause, retry, sorted};
use crate::backend::{Cancelled, Entry, Fate, JobFilter, Settled};
use crate::limit::Limit;
use crate::view::{QueueStatus, State};
use crate::{Priority, Progress};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("a paused queue gives nothing", |bench| Box::pin(paused(bench))),
    ("a paused tenant gets nothing", |bench| Box::pin(paused_tenant(bench))),
    ("a paused tenant takes no place in a limit", |bench| Box::pin(paused_behind_a_limit(bench))),
    ("a pending job is cancelled at once", |bench| Box::pin(cancelled(bench))),
    ("a running job's worker is told to cancel it", |bench| Box::pin(asked_to_cancel(bench))),
    ("a job that is to be cancelled is not tried again", |bench| Box::pin(asked_and_failed(bench))),
    ("a request to cancel that comes while a job fails is not lost", |bench| {
        Box::pin(asked_while_it_fails(bench))
    }),
    ("a job that is to be cancelled is not given back", |bench| Box::pin(asked_and_given_back(bench))),
    ("a job that is not due gets another time", |bench| Box::pin(rescheduled(bench))),
    ("an ordered job that is to be tried again gets another time", |bench| {
        Box::pin(rescheduled_in_its_lane(bench))
    }),
    ("progress is seen while a job runs", |bench| Box::pin(progress(bench))),
    ("a job is seen through its life", |bench| Box::pin(life(bench))),
    ("the jobs of a queue are counted", |bench| Box::pin(counted(bench))),
    ("jobs are found by what is known of them", |bench| Box::pin(found(bench))),
    ("jobs are found page by page", |bench| Box::pin(pages(bench))),
];

async fn paused(bench: Bench) {
    let mut worker = bench.worker().await;
    let running = bench.put(bench.entry()).await;
    assert_eq!(worker.claim(1).await, [running]);
    bench.backend.set_paused(&bench.queue, None, true).await.unwrap();
    let waiting = bench.put_all(vec![bench.entry(), bench.ordered("k")]).await;
    assert!(status(&bench).await.paused);
    bench.nothing_is_left().await;
    assert!(worker.settle(running, done()).await, "what runs goes on");
    bench.backend.set_paused(&bench.queue, None, false).await.unwrap();
    assert!(!status(&bench).await.paused);
    assert_eq!(sorted(worker.claim(10).await), sorted(waiting));
}

async fn paused_tenant(bench: Bench) {
    let other = bench.put(bench.of_tenant(TenantId::new())).await;
    let mine = bench.put_all(vec![bench.entry(), bench.ordered("k"), bench.limited("free")]).await;
    bench.backend.set_paused(&bench.queue, Some(bench.tenant), true).await.unwrap();
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim(10).await, [other]);
    bench.nothing_is_left().await;
    bench.backend.set_paused(&bench.queue, Some(bench.tenant), false).await.unwrap();
    assert_eq!(sorted(worker.claim(10).await), sorted(mine));
}

async fn paused_behind_a_limit(bench: Bench) {
    bench.set_limit("api", None, Limit::concurrency(1)).await;
    bench.backend.set_paused(&bench.queue, Some(bench.tenant), true).await.unwrap();
    let mine = bench.put(bench.limited("api")).await;
    let other = bench.put(Entry { tenant: TenantId::new(), ..bench.limited("api") }).await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim(10).await, [other]);
    bench.backend.set_paused(&bench.queue, Some(bench.tenant), false).await.unwrap();
    assert_eq!(worker.claim(10).await, []);
    worker.complete(&[other]).await;
    assert_eq!(worker.claim(10).await, [mine]);
}

async fn rescheduled(bench: Bench) {
    let mut worker = bench.worker().await;
    let delayed = |entry| Entry { delay: HOUR, ..entry };
    let entries = vec![delayed(bench.entry()), delayed(bench.ordered("k")), delayed(bench.limited("free"))];
    for job in bench.put_all(entries).await {
        let due = bench.view(job).await.unwrap().due_at;
        assert!(bench.backend.reschedule(job, HOUR * 2).await.unwrap());
        let view = bench.view(job).await.unwrap();
        assert_eq!(view.state, State::Scheduled);
        assert!((HOUR / 2..HOUR * 2).contains(&(view.due_at - due).unsigned_abs()), "an hour later");
        bench.nothing_is_left().await;
        assert!(bench.backend.reschedule(job, Duration::ZERO).await.unwrap());
        bench.promote().await;
        assert!(!bench.backend.reschedule(job, HOUR).await.unwrap(), "it is due");
        assert_eq!(worker.claim_soon().await, job);
        assert!(!bench.backend.reschedule(job, HOUR).await.unwrap(), "it runs");
        assert!(worker.settle(job, retry(HOUR)).await);
        assert!(bench.backend.reschedule(job, Duration::ZERO).await.unwrap(), "it is to be tried again");
        bench.promote().await;
        assert_eq!(worker.claim_soon().await, job);
        worker.complete(&[job]).await;
        assert!(!bench.backend.reschedule(job, HOUR).await.unwrap(), "it has ended");
    }
    assert!(!bench.backend.reschedule(Id::new(), HOUR).await.unwrap());
}

async fn rescheduled_in_its_lane(bench: Bench) {
    let jobs = bench.put_all(vec![bench.ordered("k"), bench.ordered("k")]).await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim_soon().await, jobs[0]);
    assert!(worker.settle(jobs[0], retry(HOUR)).await);
    // The lane is looked at, and waits for the time of its first job.
    bench.nothing_is_left().await;
    assert!(!bench.backend.reschedule(jobs[1], Duration::ZERO).await.unwrap(), "it is due, behind the first");
    assert!(bench.backend.reschedule(jobs[0], HOUR * 2).await.unwrap());
    bench.nothing_is_left().await;
    assert!(bench.backend.reschedule(jobs[0], Duration::ZERO).await.unwrap());
    assert_eq!(worker.claim_soon().await, jobs[0]);
    worker.complete(&[jobs[0]]).await;
    assert_eq!(worker.claim_soon().await, jobs[1]);
}

async fn cancelled(bench: Bench) {
    let entries =
        vec![bench.entry(), Entry { delay: HOUR, ..bench.entry() }, bench.ordered("k"), bench.ordered("k")];
    for job in bench.put_all(entries).await {
        assert_eq!(bench.backend.cancel(job).await.unwrap(), Cancelled::Removed);
        assert_eq!(bench.backend.cancel(job).await.unwrap(), Cancelled::NotFound);
        assert_eq!(bench.view(job).await, None);
    }
    bench.nothing_is_left().await;
    assert_eq!(bench.backend.cancel(Id::new()).await.unwrap(), Cancelled::NotFound);
    let mut worker = bench.worker().await;
    for fate in [dead(), Fate::Completed { result: None, keep: HOUR }] {
        let job = bench.put(bench.entry()).await;
        worker.claim_one().await;
        assert!(worker.settle(job, fate.clone()).await);
        assert_eq!(bench.backend.cancel(job).await.unwrap(), Cancelled::NotFound, "{fate:?}");
    }
}

async fn asked_to_cancel(bench: Bench) {
    let jobs = bench.put_all(bench.entries(2)).await;
    let (mut worker, other) = (bench.worker().await, bench.worker().await);
    worker.claim(2).await;
    assert_eq!(worker.to_cancel().await, []);
    for _ in 0..2 {
        assert_eq!(bench.backend.cancel(jobs[1]).await.unwrap(), Cancelled::Asked);
        assert_eq!(worker.to_cancel().await, [jobs[1]]);
    }
    assert_eq!(worker.to_cancel().await, [jobs[1]], "until it is settled");
    assert_eq!(other.to_cancel().await, []);
    assert!(worker.settle(jobs[1], Fate::Cancelled { keep: HOUR }).await);
    assert_eq!(worker.to_cancel().await, []);
    assert_eq!(bench.state(jobs[1]).await, Some(State::Cancelled));
}

async fn asked_and_failed(bench: Bench) {
    let asked = async |worker: &mut Worker, fate: &Fate| {
        let job = bench.put(Entry { order: Some("k".to_owned()), ..bench.limited("one") }).await;
        assert_eq!(worker.claim_soon().await, job);
        assert_eq!(bench.backend.cancel(job).await.unwrap(), Cancelled::Asked);
        assert!(worker.settle(job, fate.clone()).await);
        assert_eq!(bench.backend.cancel(job).await.unwrap(), Cancelled::NotFound, "{fate:?}");
        bench.view(job).await.unwrap()
    };
    bench.set_limit("one", None, Limit::concurrency(1)).await;
    let mut worker = bench.worker().await;
    for fate in [retry(Duration::ZERO), retry(HOUR), Fate::Later(Duration::ZERO), Fate::Later(HOUR), dead()] {
        let view = asked(&mut worker, &fate).await;
        let told = (view.state, view.attempts, view.error, view.result);
        assert_eq!(told, (State::Cancelled, 0, None, None), "{fate:?}");
    }
    let result = Some("[7]".to_owned());
    let view = asked(&mut worker, &Fate::Completed { result: result.clone(), keep: HOUR }).await;
    assert_eq!((view.state, view.result), (State::Completed, result), "it was done all the same");
    bench.nothing_is_left().await;
}

async fn asked_while_it_fails(bench: Bench) {
    let jobs = bench.put_all(bench.entries(100)).await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim(100).await, jobs);
    for job in jobs {
        let settled = [Settled { keep_cancelled: HOUR, ..Settled::new(worker.claims, job, retry(HOUR)) }];
        let settle = bench.backend.settle(worker.id, &bench.queue, &settled);
        let (refused, answer) = tokio::join!(settle, bench.backend.cancel(job));
        assert_eq!(refused.unwrap(), []);
        let left = match answer.unwrap() {
            Cancelled::Asked => Some(State::Cancelled),
            Cancelled::Removed => None,
            Cancelled::NotFound => panic!("it is there all the time"),
        };
        assert_eq!(bench.state(job).await, left);
    }
    bench.nothing_is_left().await;
}

async fn asked_and_given_back(bench: Bench) {
    let asked = async || {
        let job = bench.put(Entry { order: Some("k".to_owned()), ..bench.limited("one") }).await;
        let mut worker = bench.worker().await;
        assert_eq!(worker.claim_soon().await, job);
        assert_eq!(bench.backend.cancel(job).await.unwrap(), Cancelled::Asked);
        (worker, job)
    };
    bench.set_limit("one", None, Limit::concurrency(1)).await;
    let (worker, given_back) = asked().await;
    assert_eq!(worker.give_back(&[worker.claims]).await, 0);
    let (worker, retired) = asked().await;
    assert_eq!(worker.retire().await, 0);
    let (mortal, crashed) = asked().await;
    mortal.die().await;
    // One crash would be too many.
    let mut swept = bench.backend.sweep(&bench.queues(), 1).await.unwrap();
    while swept.expired == 0 {
        pause().await;
        swept = bench.backend.sweep(&bench.queues(), 1).await.unwrap();
    }
    assert_eq!((swept.rescued, swept.dead), (0, 0));
    for job in [given_back, retired, crashed] {
        assert_eq!(bench.view(job).await, None, "as of one that waits nothing is left");
    }
    bench.nothing_is_left().await;
}

async fn progress(bench: Bench) {
    let jobs = bench.put_all(bench.entries(2)).await;
    let (mut worker, mut other) = (bench.worker().await, bench.worker().await);
    assert_eq!(worker.claim(1).await, [jobs[0]]);
    assert_eq!(other.claim(1).await, [jobs[1]]);
    let half = Progress::new(0.5, "half-way");
    let said = [(jobs[0], half.clone()), (jobs[1], Progress::new(0.9, "not its own"))];
    assert!(bench.backend.renew(worker.id, &bench.queues(), HOUR, &said).await.unwrap());
    assert_eq!(bench.view(jobs[0]).await.unwrap().progress, Some(half));
    assert_eq!(bench.view(jobs[1]).await.unwrap().progress, None);
    assert!(worker.settle(jobs[0], Fate::Later(Duration::ZERO)).await);
    assert_eq!(bench.view(jobs[0]).await.unwrap().progress, None);
}

async fn life(bench: Bench) {
    let entry =
        Entry { priority: Priority::Low, version: 3, delay: Duration::from_millis(1), ..bench.entry() };
    let job = bench.put(entry).await;
    let view = bench.view(job).await.unwrap();
    assert_eq!((view.job_id, view.tenant, view.queue), (job, bench.tenant, bench.queue.to_string()));
    assert_eq!((&*view.name, view.version, view.priority), ("test:note", 3, Priority::Low));
    assert_eq!((view.attempts, view.crashes, view.worker, view.ended_at), (0, 0, None, None));
    assert!(view.due_at > view.enqueued_at);
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim_soon().await, job);
    let view = bench.view(job).await.unwrap();
    assert_eq!((view.state, view.worker), (State::Running, Some(worker.id.to_string())));
    assert!(worker.settle(job, dead()).await);
    let view = bench.view(job).await.unwrap();
    assert_eq!((view.state, view.worker, view.error.as_deref()), (State::Dead, None, Some("never")));
    assert!(view.ended_at.is_some());
}

pub(super) async fn status(bench: &Bench) -> QueueStatus {
    let all = bench.backend.queues().await.unwrap();
    all.into_iter().find(|status| *status.queue == *bench.queue).unwrap()
}

async fn counted(bench: Bench) {
    let mut worker = bench.worker().await;
    let first = bench.put_all(bench.entries(3)).await;
    assert_eq!(worker.claim(3).await, first);
    assert!(worker.settle(first[0], dead()).await);
    bench.put_all(vec![bench.ordered("k"), bench.ordered("k"), Entry { delay: HOUR, ..bench.entry() }]).await;
    bench.put(bench.of_tenant(TenantId::new())).await;
    let status = status(&bench).await;
    assert_eq!((status.ready, status.waiting, status.scheduled), (1, 2, 1));
    assert_eq!((status.running, status.dead), (2, 1));
    assert!(status.oldest.is_some_and(|age| age < HOUR));
    bench.backend.set_paused(&bench.other_queue, None, true).await.unwrap();
    let all = bench.backend.queues().await.unwrap();
    let other = all.iter().find(|status| *status.queue == *bench.other_queue).unwrap();
    assert!(other.paused && other.oldest.is_none());
}

async fn found(bench: Bench) {
    let tenant = TenantId::new();
    let entries = vec![
        bench.entry(),
        Entry { name: "test:other".into(), ..bench.entry() },
        Entry { delay: HOUR, ..bench.entry() },
        bench.of_tenant(tenant),
        bench.ordered("k"),
    ];
    let jobs = bench.put_all(entries).await;
    let there = bench.put(Entry { queue: bench.other_queue.to_string().into(), ..bench.entry() }).await;
    let here = JobFilter { queue: Some(bench.queue.to_string()), ..JobFilter::default() };
    let search = async |filter: JobFilter, most| -> Vec<_> {
        bench.backend.search(&filter, most).await.unwrap().into_iter().map(|view| view.job_id).collect()
    };
    assert_eq!(
        search(here.clone(), 10).await,
        jobs.iter().rev().copied().collect::<Vec<_>>(),
        "the latest first"
    );
    assert_eq!(search(here.clone(), 2).await, [jobs[4], jobs[3]]);
    assert_eq!(
        search(JobFilter { name: Some("test:other".to_owned()), ..here.clone() }, 10).await,
        [jobs[1]]
    );
    assert_eq!(search(JobFilter { tenant: Some(tenant), ..here.clone() }, 10).await, [jobs[3]]);
    assert_eq!(search(JobFilter { state: Some(State::Scheduled), ..here.clone() }, 10).await, [jobs[2]]);
    assert_eq!(search(JobFilter { state: Some(State::Waiting), ..here.clone() }, 10).await, [jobs[4]]);
    let mine = JobFilter { tenant: Some(bench.tenant), ..JobFilter::default() };
    assert_eq!(sorted(search(mine, 10).await), sorted([jobs[0], jobs[1], jobs[2], jobs[4], there]));
    let mut worker = bench.worker().await;
    let claimed = worker.claim(10).await;
    assert!(worker.settle(claimed[0], Fate::Completed { result: None, keep: HOUR }).await);
    assert!(worker.settle(claimed[1], dead()).await);
    for (state, expected) in
        [(State::Completed, &claimed[..1]), (State::Dead, &claimed[1..2]), (State::Running, &claimed[2..])]
    {
        let found = search(JobFilter { state: Some(state), ..here.clone() }, 10).await;
        assert_eq!(sorted(found), sorted(expected.iter().copied()), "{state:?}");
    }
}

async fn pages(bench: Bench) {
    let jobs = bench.put_all(bench.entries(7)).await;
    let mut worker = bench.worker().await;
    let claimed = worker.claim(4).await;
    assert!(worker.settle(claimed[0], Fate::Completed { result: None, keep: HOUR }).await);
    assert!(worker.settle(claimed[1], dead()).await);
    let mut filter = JobFilter { queue: Some(bench.queue.to_string()), ..JobFilter::default() };
    let mut seen = Vec::new();
    loop {
        let page = bench.backend.search(&filter, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        filter.after = Some(last.job_id);
        seen.extend(page.iter().map(|view| view.job_id));
        // One that is gone is a place all the same.
        bench.backend.cancel(seen[1]).await.unwrap();
    }
    assert_eq!(seen, jobs.into_iter().rev().collect::<Vec<_>>(), "each once, the latest first");
}
