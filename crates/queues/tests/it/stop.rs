//! A worker that stops leaves nothing behind, and takes no attempt from anybody.

use std::time::{Duration, Instant};

use shared_queues::Config;

use crate::support::{Act, bench, config, gated, probe, until};
use crate::tables::attempts;

#[tokio::test]
async fn it_finishes_what_runs_and_hands_back_what_does_not() {
    let bench = bench().await;
    // A quick start makes the worker take jobs ahead.
    let gated = gated(Act::Write);
    gated.gate.add_permits(100);
    bench.enqueue_notes(0..100).await;
    let worker = bench.worker(&gated, Config { concurrency: 4, ..config() }).await;
    bench.settle().await;
    bench.enqueue_notes(100..200).await;
    gated.started(104).await;
    until("jobs were taken ahead", async || bench.backlog().await.running > 4).await;

    let stopping = tokio::spawn(worker.stop(Duration::from_secs(20)));
    gated.open();
    let report = stopping.await.unwrap();
    assert_eq!((report.finished, report.aborted, report.refused, report.released), (4, 0, 0, true));
    assert!(report.handed_back > 0);
    let backlog = bench.backlog().await;
    assert_eq!((backlog.running, backlog.ready, backlog.dead), (0, 96, 0));
    assert_eq!(attempts(&bench).await, [0; 96]);
    assert_eq!(bench.ledger().await.len(), 104);
}

#[tokio::test]
async fn what_does_not_end_in_time_is_broken_off_and_ready_again() {
    let bench = bench().await;
    bench.enqueue_notes(0..3).await;
    let hanging = probe(Act::Hang);
    let worker = bench.worker(&hanging, config()).await;
    hanging.started(3).await;
    let start = Instant::now();
    let report = worker.stop(Duration::from_millis(100)).await;
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!((report.finished, report.aborted, report.handed_back, report.released), (0, 3, 3, true));
    assert_eq!((bench.backlog().await.ready, attempts(&bench).await), (3, vec![0; 3]));

    let _worker = bench.worker(&probe(Act::Write), config()).await;
    bench.settle().await;
    assert_eq!(bench.ledger().await, [0, 1, 2]);
}

#[tokio::test]
async fn a_handler_hears_of_the_end() {
    let bench = bench().await;
    bench.enqueue_notes(0..1).await;
    let heard = std::sync::Arc::new(tokio::sync::Notify::new());
    let handler = {
        let heard = heard.clone();
        move |_: crate::support::Note, cx: shared_queues::JobContext| {
            let heard = heard.clone();
            async move {
                heard.notify_one();
                cx.cancelled().await;
                Err::<(), _>(shared_core::Failure::retry_in(Duration::from_secs(60), "saved where it was"))
            }
        }
    };
    let jobs = shared_queues::Jobs::new().handle(handler);
    let worker = shared_queues::Worker::start(&bench.db, (), jobs, config()).await.unwrap();
    heard.notified().await;
    let report = worker.stop(Duration::from_secs(20)).await;
    assert_eq!((report.finished, report.aborted), (1, 0));
    assert_eq!(bench.backlog().await.scheduled, 1);
}
