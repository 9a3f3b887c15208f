//! A worker that stops leaves nothing behind, and takes no attempt from anybody.

use std::time::{Duration, Instant};

use shared_core::Failure;
use shared_queues::{Cancellation, Config, JobContext, Jobs, Outcome};
use tokio::sync::{Notify, mpsc};

use crate::support::{Act, Bench, Note, The, config, everywhere, gated, probe, the, until};

/// Failed attempts of all jobs.
async fn attempts(bench: &Bench) -> Vec<u32> {
    bench.jobs().await.iter().map(|job| job.attempts).collect()
}

#[tokio::test]
async fn it_finishes_what_runs_and_hands_back_what_does_not() {
    everywhere(async |bench| {
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
    })
    .await;
}

#[tokio::test]
async fn what_does_not_end_in_time_is_broken_off_and_ready_again() {
    everywhere(async |bench| {
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
    })
    .await;
}

#[tokio::test]
async fn a_handler_hears_of_the_end() {
    everywhere(async |bench| {
        let (job, begun) = (bench.enqueue(Note { n: 1 }).await, the(Notify::new()));
        let handler = async |_: Note, cx: JobContext, begun: The<Notify>| -> Result<Outcome, Failure> {
            begun.notify_one();
            assert_eq!(cx.cancelled().await, Cancellation::Stopping);
            Ok(Outcome::snooze(Duration::from_secs(60)))
        };
        let worker = bench.start(begun.clone(), Jobs::new().handle(handler), config()).await;
        begun.notified().await;
        let report = worker.stop(Duration::from_secs(20)).await;
        assert_eq!((report.finished, report.aborted), (1, 0));
        assert_eq!((bench.backlog().await.scheduled, bench.job(job).await.attempts), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn what_an_attempt_left_running_hears_that_it_is_over() {
    everywhere(async |bench| {
        bench.enqueue(Note { n: 1 }).await;
        let (heard, mut ends) = mpsc::unbounded_channel();
        let handler = async |_: Note, cx: JobContext, heard: The<mpsc::UnboundedSender<Cancellation>>| {
            tokio::spawn(async move { heard.send(cx.cancelled().await) });
            Ok::<(), Failure>(())
        };
        let _worker = bench.start(the(heard), Jobs::new().handle(handler), config()).await;
        assert_eq!(ends.recv().await, Some(Cancellation::Over));
    })
    .await;
}
