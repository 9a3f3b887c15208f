//! Dead letters: found, brought back, thrown away.

use std::time::Duration;

use shared_core::TenantId;

use super::Scenario;
use super::bench::{Bench, HOUR, pause};
use crate::JobId;
use crate::backend::{DeadFilter, Entry, Fate, Retention, Settled};
use crate::dead::Reason;
use crate::view::State;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("letters are found by what is known of them", |bench| Box::pin(found(bench))),
    ("letters are found page by page", |bench| Box::pin(pages(bench))),
    ("letters are brought back, the oldest first", |bench| Box::pin(redriven(bench))),
    ("a redriven job begins anew", |bench| Box::pin(begins_anew(bench))),
    ("a job that is brought back is found on its way", |bench| Box::pin(found_on_its_way(bench))),
    ("letters are brought back into another queue", |bench| Box::pin(redriven_elsewhere(bench))),
    ("letters are thrown away, the oldest first", |bench| Box::pin(discarded(bench))),
    ("old letters are pruned", |bench| Box::pin(pruned_by_age(bench))),
    ("too many letters are pruned, the oldest first", |bench| Box::pin(pruned_by_number(bench))),
    ("pruning goes on until all is pruned", |bench| Box::pin(pruned_in_steps(bench))),
];

/// One dead job after the other.
async fn bury(bench: &Bench, entries: Vec<Entry>) -> Vec<JobId> {
    let mut worker = bench.worker().await;
    let mut dead = Vec::new();
    for entry in entries {
        let job = bench.put(entry).await;
        assert_eq!(worker.claim_one().await, job);
        let reason = if dead.is_empty() { Reason::Exhausted } else { Reason::Failed };
        assert!(worker.settle(job, Fate::Dead(reason, "never".to_owned())).await);
        dead.push(job);
        // Two deaths at one moment of a coarse clock have no order.
        pause().await;
    }
    dead
}

fn here(bench: &Bench) -> DeadFilter {
    DeadFilter { queue: Some(bench.queue.to_string()), ..DeadFilter::default() }
}

async fn letters(bench: &Bench, filter: DeadFilter, most: u32) -> Vec<JobId> {
    let letters = bench.backend.dead(&filter, most).await.unwrap();
    letters.into_iter().map(|letter| letter.job_id).collect()
}

async fn found(bench: Bench) {
    let tenant = TenantId::new();
    let entries =
        vec![bench.entry(), Entry { name: "test:other".into(), ..bench.entry() }, bench.of_tenant(tenant)];
    let jobs = bury(&bench, entries).await;
    let here = here(&bench);
    assert_eq!(letters(&bench, here.clone(), 10).await, [jobs[2], jobs[1], jobs[0]], "the latest first");
    assert_eq!(letters(&bench, here.clone(), 2).await, [jobs[2], jobs[1]]);
    let by_name = DeadFilter { name: Some("test:other".to_owned()), ..here.clone() };
    assert_eq!(letters(&bench, by_name, 10).await, [jobs[1]]);
    assert_eq!(letters(&bench, DeadFilter { tenant: Some(tenant), ..here.clone() }, 10).await, [jobs[2]]);
    let by_reason = DeadFilter { reason: Some(Reason::Exhausted), ..here.clone() };
    assert_eq!(letters(&bench, by_reason, 10).await, [jobs[0]]);
    assert_eq!(
        letters(&bench, DeadFilter { job: Some(jobs[1]), ..DeadFilter::default() }, 10).await,
        [jobs[1]]
    );
    assert_eq!(letters(&bench, DeadFilter { older_than: Some(HOUR), ..here.clone() }, 10).await, []);
    let of_age = DeadFilter { older_than: Some(Duration::from_millis(1)), ..here };
    while letters(&bench, of_age.clone(), 10).await.len() < 3 {
        pause().await;
    }
}

async fn pages(bench: Bench) {
    let mut jobs = bury(&bench, bench.entries(2)).await;
    // And some of one moment.
    let more = bench.put_all(bench.entries(5)).await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim(5).await.len(), 5);
    let fate = super::bench::dead();
    let all: Vec<Settled> = more.iter().map(|job| Settled::new(1, *job, fate.clone())).collect();
    assert_eq!(bench.backend.settle(worker.id, &bench.queue, &all).await.unwrap(), []);
    jobs.extend(more);
    let (mut filter, mut seen) = (here(&bench), Vec::new());
    loop {
        let page = bench.backend.dead(&filter, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        filter = filter.after(last);
        seen.extend(page.iter().map(|letter| letter.job_id));
        // One that is gone is a place all the same.
        let gone = DeadFilter { job: Some(last.job_id), ..DeadFilter::default() };
        bench.backend.discard(&gone, 1).await.unwrap();
    }
    assert_eq!(seen, jobs.into_iter().rev().collect::<Vec<_>>(), "each once, the latest first");
}

async fn redriven(bench: Bench) {
    let jobs = bury(&bench, bench.entries(4)).await;
    let filter = here(&bench);
    let redrive = |most| bench.backend.redrive(&filter, None, most);
    let mut first = redrive(2).await.unwrap();
    first.sort();
    assert_eq!(first, jobs[..2]);
    assert_eq!(letters(&bench, here(&bench), 10).await, [jobs[3], jobs[2]]);
    let mut worker = bench.worker().await;
    let mut claimed = worker.claim(10).await;
    claimed.sort();
    assert_eq!(claimed, jobs[..2]);
    assert_eq!(redrive(10).await.unwrap().len(), 2);
    assert_eq!(redrive(10).await.unwrap(), []);
    assert_eq!(worker.claim(10).await.len(), 2);
}

async fn begins_anew(bench: Bench) {
    let job = bench.put(Entry { payload: "[7]".to_owned(), ..bench.entry() }).await;
    let mut mortal = bench.worker().await;
    assert_eq!(mortal.claim_one().await, job);
    mortal.die().await;
    bench.sweep_until(1).await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim_one().await, job);
    assert!(worker.settle(job, super::bench::dead()).await);
    let first = bench.view(job).await.unwrap().enqueued_at;
    pause().await;
    assert_eq!(bench.backend.redrive(&here(&bench), None, 10).await.unwrap(), [job]);
    let view = bench.view(job).await.unwrap();
    assert_eq!((view.state, view.attempts, view.crashes), (State::Ready, 0, 0));
    assert!(view.enqueued_at > first, "all its time is before it, too");
    let queue = bench.queue.clone();
    let claimed = worker.claim_whole(&queue, 1).await;
    assert_eq!((claimed[0].job, claimed[0].attempts, &*claimed[0].payload), (job, 0, "[7]"));
}

async fn redriven_elsewhere(bench: Bench) {
    let jobs = bury(&bench, vec![bench.ordered("k"), bench.entry()]).await;
    let other = bench.other_queue.clone();
    assert_eq!(bench.backend.redrive(&here(&bench), Some(&other), 10).await.unwrap().len(), 2);
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim(10).await, []);
    let mut claimed = worker.claim_from(&other, 10).await;
    claimed.sort();
    assert_eq!(claimed, jobs);
    assert_eq!(bench.view(jobs[0]).await.unwrap().queue, *other);
    worker.complete(&jobs).await;
}

/// Into the other queue and back, while some look for it all the time.
async fn found_on_its_way(bench: Bench) {
    let (mut worker, job) = (bench.worker().await, bench.put(bench.entry()).await);
    let letter = DeadFilter { job: Some(job), ..DeadFilter::default() };
    let (here, there) = (bench.queue.clone(), bench.other_queue.clone());
    let moves = async {
        for (from, into) in [(&here, &there), (&there, &here)].into_iter().cycle().take(4) {
            assert_eq!(worker.claim_from(from, 1).await, [job]);
            assert!(worker.settle(job, super::bench::dead()).await);
            assert_eq!(bench.backend.redrive(&letter, Some(into), 1).await.unwrap(), [job]);
        }
    };
    let look = || async {
        loop {
            assert!(bench.view(job).await.is_some(), "it is somewhere");
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = moves => {}
        () = look() => {}
        () = look() => {}
    }
}

async fn discarded(bench: Bench) {
    let jobs = bury(&bench, bench.entries(3)).await;
    assert_eq!(bench.backend.discard(&here(&bench), 1).await.unwrap(), 1);
    assert_eq!(letters(&bench, here(&bench), 10).await, [jobs[2], jobs[1]]);
    assert_eq!(bench.view(jobs[0]).await, None);
    assert_eq!(bench.backend.discard(&here(&bench), 10).await.unwrap(), 2);
    assert_eq!(bench.backend.discard(&here(&bench), 10).await.unwrap(), 0);
}

/// Prunes until nothing is left to prune, and returns how much that was.
async fn prune(bench: &Bench, dead_for: Duration, dead_most: u64) -> u64 {
    prune_to(bench, Retention { dead_for, dead_most, ..Bench::KEEPS }).await
}

async fn prune_to(bench: &Bench, retention: Retention) -> u64 {
    let mut all = 0;
    loop {
        let (removed, more) = bench.backend.prune(&bench.queues(), retention).await.unwrap();
        all += removed;
        if !more {
            return all;
        }
    }
}

async fn pruned_by_age(bench: Bench) {
    bury(&bench, bench.entries(3)).await;
    assert_eq!(prune(&bench, HOUR, 1000).await, 0);
    let mut removed = 0;
    while removed < 3 {
        pause().await;
        removed += prune(&bench, Duration::from_millis(1), 1000).await;
    }
    assert_eq!(letters(&bench, here(&bench), 10).await, []);
}

async fn pruned_by_number(bench: Bench) {
    let jobs = bury(&bench, bench.entries(5)).await;
    assert_eq!(prune(&bench, HOUR, 2).await, 3);
    assert_eq!(letters(&bench, here(&bench), 10).await, [jobs[4], jobs[3]]);
}

/// Of letters and of results there are more than any backend removes in one step.
async fn pruned_in_steps(bench: Bench) {
    const MANY: usize = 1100;
    let (queue, mut worker) = (bench.queue.clone(), bench.worker().await);
    let remembered = Fate::Completed { result: None, keep: HOUR };
    let no_letters = Retention { dead_most: 0, ..Bench::KEEPS };
    let no_results = Retention { kept_most: 0, ..Bench::KEEPS };
    for (fate, retention) in [(super::bench::dead(), no_letters), (remembered, no_results)] {
        bench.put_all(bench.entries(MANY)).await;
        while worker.held.len() < MANY {
            worker.claim(MANY).await;
        }
        let held = std::mem::take(&mut worker.held).into_iter();
        let ends: Vec<Settled> = held.map(|(job, claim)| Settled::new(claim, job, fate.clone())).collect();
        assert_eq!(bench.backend.settle(worker.id, &queue, &ends).await.unwrap(), []);
        assert_eq!(prune_to(&bench, retention).await, MANY as u64, "{fate:?}");
    }
}
