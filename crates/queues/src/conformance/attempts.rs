//! How attempts end, and what is counted.

use std::time::Duration;

use super::Scenario;
use super::bench::{Bench, CRASH_BUDGET, HOUR, INSTANT, done, pause, retry};
use crate::backend::{DeadFilter, Fate, JobFilter, Retention};
use crate::dead::Reason;
use crate::view::State;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("a failed attempt is followed by another", |bench| Box::pin(retried(bench))),
    ("another attempt waits for its time", |bench| Box::pin(retried_later(bench))),
    ("later is no attempt", |bench| Box::pin(later(bench))),
    ("a dead job leaves a letter", |bench| Box::pin(died(bench))),
    ("of a completed job nothing is left", |bench| Box::pin(gone(bench))),
    ("a result is remembered if it is to be", |bench| Box::pin(kept(bench))),
    ("what is remembered is pruned in its time", |bench| Box::pin(pruned(bench))),
    ("too many that are remembered are pruned, those first that end first", |bench| {
        Box::pin(pruned_by_number(bench))
    }),
    ("three dead workers make a dead job", |bench| Box::pin(crash_budget(bench))),
    ("crashes and failures are two accounts", |bench| Box::pin(two_accounts(bench))),
];

async fn retried(bench: Bench) {
    let job = bench.put(bench.entry()).await;
    let (mut worker, queue) = (bench.worker().await, bench.queue.clone());
    for attempts in 0..3 {
        let claimed = worker.claim_whole(&queue, 1).await;
        assert_eq!((claimed[0].job, claimed[0].attempts), (job, attempts));
        let error = format!("failure {attempts}");
        assert!(worker.settle(job, Fate::Retry { after: Duration::ZERO, error: error.clone() }).await);
        let view = bench.view(job).await.unwrap();
        assert_eq!((view.state, view.attempts, view.error), (State::Scheduled, attempts + 1, Some(error)));
        bench.promote().await;
    }
    assert_eq!(bench.state(job).await, Some(State::Ready));
}

async fn retried_later(bench: Bench) {
    bench.put(bench.entry()).await;
    let mut worker = bench.worker().await;
    let job = worker.claim_one().await;
    assert!(worker.settle(job, retry(HOUR)).await);
    bench.nothing_is_left().await;
    assert_eq!(bench.state(job).await, Some(State::Scheduled));
}

async fn later(bench: Bench) {
    let job = bench.put(bench.entry()).await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim_one().await, job);
    assert!(worker.settle(job, Fate::Later(INSTANT)).await);
    assert_eq!(worker.claim_soon().await, job);
    let view = bench.view(job).await.unwrap();
    assert_eq!((view.attempts, view.error), (0, None));
    assert!(worker.settle(job, Fate::Later(HOUR)).await);
    bench.nothing_is_left().await;
}

async fn died(bench: Bench) {
    let mut worker = bench.worker().await;
    for (reason, attempts) in [(Reason::Failed, 2), (Reason::Exhausted, 2), (Reason::Unreadable, 1)] {
        let job = bench.put(bench.entry()).await;
        assert_eq!(worker.claim_one().await, job);
        assert!(worker.settle(job, retry(Duration::ZERO)).await);
        bench.promote().await;
        assert_eq!(worker.claim_one().await, job);
        assert!(worker.settle(job, Fate::Dead(reason, "why".to_owned())).await);
        assert_eq!(bench.state(job).await, Some(State::Dead));
        let letters =
            bench.backend.dead(&DeadFilter { job: Some(job), ..DeadFilter::default() }, 10).await.unwrap();
        assert_eq!(letters.len(), 1);
        let letter = &letters[0];
        assert_eq!((letter.reason, &*letter.error, letter.attempts), (reason, "why", attempts));
        assert_eq!(
            (letter.tenant, &*letter.queue, &*letter.name),
            (bench.tenant, &*bench.queue, "test:note")
        );
    }
    bench.nothing_is_left().await;
}

async fn gone(bench: Bench) {
    let mut worker = bench.worker().await;
    let job = bench.put(bench.entry()).await;
    worker.claim_one().await;
    assert!(worker.settle(job, Fate::Completed { result: Some("7".to_owned()), keep: Duration::ZERO }).await);
    assert_eq!(bench.view(job).await, None);
    let job = bench.put(bench.entry()).await;
    worker.claim_one().await;
    assert!(worker.settle(job, Fate::Cancelled { keep: Duration::ZERO }).await);
    assert_eq!(bench.view(job).await, None);
    bench.nothing_is_left().await;
}

async fn kept(bench: Bench) {
    let mut worker = bench.worker().await;
    let job = bench.put(bench.entry()).await;
    worker.claim_one().await;
    assert!(worker.settle(job, Fate::Completed { result: Some("[7]".to_owned()), keep: HOUR }).await);
    let view = bench.view(job).await.unwrap();
    assert_eq!((view.state, view.result.as_deref()), (State::Completed, Some("[7]")));
    assert!(view.ended_at.is_some() && view.worker.is_none());
    let job = bench.put(bench.entry()).await;
    worker.claim_one().await;
    assert!(worker.settle(job, Fate::Cancelled { keep: HOUR }).await);
    let view = bench.view(job).await.unwrap();
    assert_eq!((view.state, view.result), (State::Cancelled, None));
    bench.nothing_is_left().await;
}

async fn pruned(bench: Bench) {
    let mut worker = bench.worker().await;
    let jobs = bench.put_all(bench.entries(4)).await;
    worker.claim(4).await;
    let done = |keep| Fate::Completed { result: Some("7".to_owned()), keep };
    let ends = [
        (done(INSTANT), None),
        (Fate::Cancelled { keep: INSTANT }, None),
        (done(HOUR), Some(State::Completed)),
        (Fate::Cancelled { keep: HOUR }, Some(State::Cancelled)),
    ];
    for (job, (fate, _)) in jobs.iter().zip(&ends) {
        assert!(worker.settle(*job, fate.clone()).await);
    }
    // Its time ends for those who look, and then it is removed.
    while bench.view(jobs[0]).await.is_some() || bench.view(jobs[1]).await.is_some() {
        pause().await;
    }
    let found = JobFilter { queue: Some(bench.queue.to_string()), ..JobFilter::default() };
    assert_eq!(bench.backend.search(&found, 10).await.unwrap().len(), 2);
    let mut removed = 0;
    while removed < 2 {
        removed += bench.prune().await.0;
    }
    for (job, (fate, left)) in jobs.into_iter().zip(ends) {
        assert_eq!(bench.state(job).await, left, "{fate:?}");
    }
}

async fn pruned_by_number(bench: Bench) {
    let mut worker = bench.worker().await;
    let jobs = bench.put_all(bench.entries(5)).await;
    worker.claim(5).await;
    for (job, hours) in jobs.iter().zip([4, 1, 5, 2, 3]) {
        assert!(worker.settle(*job, Fate::Completed { result: None, keep: HOUR * hours }).await);
    }
    let most = |kept_most| Retention { kept_most, ..Bench::KEEPS };
    let prune = async |most| bench.backend.prune(&bench.queues(), most).await.unwrap().0;
    assert_eq!((prune(most(5)).await, prune(most(3)).await), (0, 2));
    let mut left = Vec::new();
    for job in &jobs {
        left.extend(bench.view(*job).await.map(|view| view.job_id));
    }
    assert_eq!(left, [jobs[0], jobs[2], jobs[4]]);
    // The dead are another account.
    assert_eq!(prune(Retention { dead_most: 0, ..Bench::KEEPS }).await, 0);
}

async fn crash_budget(bench: Bench) {
    let job = bench.put(bench.entry()).await;
    for crashes in 1..=CRASH_BUDGET {
        let mut mortal = bench.worker().await;
        assert_eq!(mortal.claim_one().await, job);
        mortal.die().await;
        let swept = bench.sweep_until(1).await;
        let last = u64::from(crashes == CRASH_BUDGET);
        assert_eq!((swept.expired, swept.rescued, swept.dead), (1, 1 - last, last));
        let view = bench.view(job).await.unwrap();
        assert_eq!((view.attempts, view.crashes), (0, crashes));
    }
    let letters =
        bench.backend.dead(&DeadFilter { job: Some(job), ..DeadFilter::default() }, 1).await.unwrap();
    assert_eq!(
        (letters[0].reason, letters[0].crashes, letters[0].attempts),
        (Reason::Crashed, CRASH_BUDGET, 0)
    );
    bench.nothing_is_left().await;
}

async fn two_accounts(bench: Bench) {
    let job = bench.put(bench.entry()).await;
    let mut mortal = bench.worker().await;
    assert_eq!(mortal.claim_one().await, job);
    mortal.die().await;
    bench.sweep_until(1).await;
    let mut worker = bench.worker().await;
    assert_eq!(worker.claim_one().await, job);
    assert!(worker.settle(job, retry(Duration::ZERO)).await);
    let view = bench.view(job).await.unwrap();
    assert_eq!((view.attempts, view.crashes), (1, 1));
    bench.promote().await;
    assert_eq!(worker.claim_one().await, job);
    assert!(worker.settle(job, done()).await);
}
