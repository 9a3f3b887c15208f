//! A worker that was silent for too long has lost its jobs, whatever it thinks.

use std::time::Duration;

use shared_queues::Config;

use crate::support::{Act, bench, config, gated, probe, until};
use crate::tables::expire_workers;

/// It beats so seldom that it does not notice in this test that it was taken out.
fn slow_beat() -> Config {
    Config { beat: Duration::from_secs(60), lease: Duration::from_secs(200), ..config() }
}

#[tokio::test]
async fn a_late_outcome_is_refused_and_counted() {
    let bench = bench().await;
    bench.enqueue_notes(0..1).await;
    let stale = gated(Act::FailOnce);
    let silent = bench.worker(&stale, slow_beat()).await;
    stale.started(1).await;
    expire_workers(&bench).await;

    let second = gated(Act::Write);
    let rescuer = bench.worker(&second, config()).await;
    second.started(1).await;

    // Now both hold the job. The first one says that it failed: that must not touch the second one's lease.
    stale.open();
    let report = silent.stop(Duration::from_secs(5)).await;
    assert_eq!((report.refused, report.handed_back, report.released), (1, 0, true));
    let backlog = bench.backlog().await;
    assert_eq!((backlog.running, backlog.scheduled, backlog.ready), (1, 0, 0));

    second.open();
    bench.settle().await;
    assert_eq!(bench.ledger().await, [0]);
    assert_eq!(rescuer.stop(Duration::from_secs(5)).await.refused, 0);
}

#[tokio::test]
async fn a_late_effect_is_rolled_back_with_its_completion() {
    let bench = bench().await;
    bench.enqueue_notes(0..1).await;
    let stale = gated(Act::WriteAndComplete);
    let silent = bench.worker(&stale, slow_beat()).await;
    stale.started(1).await;
    expire_workers(&bench).await;

    let second = gated(Act::WriteAndComplete);
    let _rescuer = bench.worker(&second, config()).await;
    second.started(1).await;
    stale.open();
    assert_eq!(silent.stop(Duration::from_secs(5)).await.refused, 1);
    assert_eq!(bench.ledger().await, Vec::<i64>::new(), "the stale worker's row was not committed");

    second.open();
    bench.settle().await;
    assert_eq!(bench.ledger().await, [0]);
}

#[tokio::test]
async fn a_worker_that_was_taken_out_breaks_off_its_jobs_and_begins_anew() {
    let bench = bench().await;
    bench.enqueue_notes(0..1).await;
    let probe = gated(Act::Write);
    let config = Config { beat: Duration::from_millis(200), crash_budget: 100, ..config() };
    let worker = bench.worker(&probe, config).await;
    probe.started(1).await;
    expire_workers(&bench).await;
    // The same worker, under another name, runs it again.
    probe.started(2).await;
    probe.open();
    bench.settle().await;
    assert_eq!(bench.ledger().await, [0]);
    assert!(worker.stop(Duration::from_secs(5)).await.released);
}

#[tokio::test]
async fn a_worker_that_is_taken_out_while_it_stops_does_not_wait_for_lost_jobs() {
    let bench = bench().await;
    bench.enqueue_notes(0..1).await;
    let hanging = gated(Act::Hang);
    let worker = bench.worker(&hanging, config()).await;
    hanging.started(1).await;
    let stopping = tokio::spawn(worker.stop(Duration::from_secs(600)));
    crate::tables::remove_workers(&bench).await;
    let report = stopping.await.unwrap();
    assert_eq!((report.finished, report.aborted, report.released), (0, 1, false));
}

#[tokio::test]
async fn a_worker_that_was_taken_out_claims_nothing() {
    let bench = bench().await;
    let idle = probe(Act::Write);
    let silent = bench.worker(&idle, slow_beat()).await;
    until("it is registered", async || crate::tables::workers(&bench).await == 1).await;
    crate::tables::remove_workers(&bench).await;
    bench.enqueue_notes(0..1).await;
    let report = silent.stop(Duration::from_secs(5)).await;
    assert_eq!((report.finished, idle.runs().len(), bench.backlog().await.ready), (0, 0, 1));
}
