//! A job is there if, and only if, its transaction committed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::InTenant;
use shared_queues::{Enqueue, Error, Job, MAX_JOBS_PER_TRANSACTION, MAX_PAYLOAD};
use validator::Validate;

use crate::support::{Act, Note, bench, config, probe};

#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:text")]
struct Text {
    text: String,
}

#[tokio::test]
async fn rolled_back_means_no_job() {
    let bench = bench().await;
    let mut tx = bench.db.tenant(&bench.tenant).begin().await.unwrap();
    tx.enqueue(Note { n: 1 }).await.unwrap();
    tx.rollback().await;

    let mut dropped = bench.db.tenant(&bench.tenant).begin().await.unwrap();
    dropped.enqueue(Note { n: 2 }).await.unwrap();
    drop(dropped);

    assert!(bench.backlog().await.is_settled());
}

#[tokio::test]
async fn committed_means_it_runs_once_in_its_tenant_and_context() {
    let bench = bench().await;
    let job = bench.enqueue(Note { n: 7 }).await;
    let probe = probe(Act::Write);
    let worker = bench.worker(&probe, config()).await;
    bench.settle().await;
    assert!(worker.stop(Duration::from_secs(5)).await.released);

    assert_eq!(bench.ledger().await, [7]);
    let runs = probe.runs();
    assert_eq!(runs.len(), 1);
    let run = &runs[0];
    assert_eq!((run.n, run.attempt, run.job, run.tenant), (7, 1, job, bench.tenant.context().tenant()));
    assert_eq!(run.key, job.to_string());
}

#[tokio::test]
async fn a_savepoint_that_is_undone_takes_its_jobs_along() {
    let bench = bench().await;
    let mut tx = bench.db.tenant(&bench.tenant).begin().await.unwrap();
    tx.enqueue(Note { n: 1 }).await.unwrap();
    let undone = tx.savepoint(async |tx| -> Result<(), Error> {
        tx.enqueue(Note { n: 2 }).await?;
        tx.enqueue(Note { n: -1 }).await.map(drop)
    });
    assert!(matches!(undone.await, Err(Error::Invalid { .. })));
    tx.enqueue(Note { n: 3 }).await.unwrap();
    tx.commit().await.unwrap();

    let probe = probe(Act::Write);
    let _worker = bench.worker(&probe, config()).await;
    bench.settle().await;
    assert_eq!(bench.ledger().await, [1, 3]);
}

#[tokio::test]
async fn a_delayed_job_waits_for_its_time() {
    let bench = bench().await;
    let enqueue =
        async |tx: &mut shared_db::TenantTx| tx.enqueue_in(Duration::from_millis(300), Note { n: 1 }).await;
    let start = std::time::Instant::now();
    bench.db.tenant(&bench.tenant).tx(enqueue).await.unwrap();
    assert_eq!(bench.backlog().await.scheduled, 1);

    let probe = probe(Act::Write);
    let _worker = bench.worker(&probe, config()).await;
    bench.settle().await;
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(bench.ledger().await, [1]);
}

#[tokio::test]
async fn what_breaks_a_rule_or_is_too_large_is_refused_before_it_is_sent() {
    let bench = bench().await;
    let mut tx = bench.db.tenant(&bench.tenant).begin().await.unwrap();
    let refused = tx.enqueue(Note { n: -1 }).await.unwrap_err();
    assert_eq!(refused.to_string(), "job `test:note` was not enqueued: `n` breaks the rule `range`");

    let text = "x".repeat(MAX_PAYLOAD);
    let refused = tx.enqueue(Text { text }).await.unwrap_err();
    assert!(matches!(refused, Error::PayloadTooLarge { size, limit: MAX_PAYLOAD, .. } if size > MAX_PAYLOAD));

    for _ in 0..MAX_JOBS_PER_TRANSACTION {
        tx.enqueue(Note { n: 1 }).await.unwrap();
    }
    assert!(matches!(tx.enqueue(Note { n: 1 }).await, Err(Error::TooManyJobs { .. })));
    tx.commit().await.unwrap();
    assert_eq!(bench.backlog().await.ready, MAX_JOBS_PER_TRANSACTION as u64);
}
