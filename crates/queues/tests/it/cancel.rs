//! A running job that somebody cancels from elsewhere, and how far it was.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::Failure;
use shared_queues::{Cancellation, Cancelled, Config, Job, JobContext, Jobs, State};
use tokio::sync::Notify;
use validator::Validate;

use crate::support::{Act, Note, The, config, everywhere, gated, probe, the, until};

#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:long", keep = "1h")]
struct Long {}

const GRACE: Duration = Duration::from_millis(50);

#[tokio::test]
async fn its_handler_hears_why_and_may_come_to_an_end() {
    everywhere(async |bench| {
        let (job, begun) = (bench.enqueue(Long {}).await, the(Notify::new()));
        let handler = async |_: Long, cx: JobContext, begun: The<Notify>| -> Result<(), Failure> {
            begun.notify_one();
            assert_eq!(cx.cancelled().await, Cancellation::Asked);
            Err(Failure::new("saved where it was"))
        };
        let worker = bench.start(begun.clone(), Jobs::new().handle(handler), config()).await;
        begun.notified().await;
        assert_eq!(bench.queues.cancel(job).await.unwrap(), Cancelled::Asked);
        bench.settle().await;
        assert_eq!(bench.job(job).await.state, State::Cancelled);
        assert_eq!(worker.stop(Duration::from_secs(5)).await.aborted, 0);
    })
    .await;
}

#[tokio::test]
async fn one_that_takes_no_notice_is_broken_off_after_a_grace() {
    everywhere(async |bench| {
        let job = bench.enqueue(Note { n: 1 }).await;
        let hanging = probe(Act::Hang);
        let _worker = bench.worker(&hanging, Config { cancel_grace: GRACE, ..config() }).await;
        hanging.started(1).await;
        assert_eq!(bench.queues.cancel(job).await.unwrap(), Cancelled::Asked);
        bench.settle().await;
        assert_eq!(bench.queues.cancel(job).await.unwrap(), Cancelled::NotFound);
        assert_eq!((hanging.runs().len(), bench.backlog().await.dead), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn one_that_was_done_all_the_same_is_complete() {
    everywhere(async |bench| {
        let (job, begun) = (bench.enqueue(Long {}).await, the(Notify::new()));
        let handler = async |_: Long, cx: JobContext, begun: The<Notify>| -> Result<(), Failure> {
            begun.notify_one();
            cx.cancelled().await;
            Ok(())
        };
        let _worker = bench.start(begun.clone(), Jobs::new().handle(handler), config()).await;
        begun.notified().await;
        bench.queues.cancel(job).await.unwrap();
        bench.settle().await;
        assert_eq!(bench.job(job).await.state, State::Completed);
    })
    .await;
}

#[tokio::test]
async fn one_that_fails_before_its_worker_has_heard_is_not_tried_again() {
    everywhere(async |bench| {
        let (job, steps) = (bench.enqueue(Long {}).await, the((Notify::new(), Notify::new())));
        let handler = async |_: Long, steps: The<(Notify, Notify)>| -> Result<(), Failure> {
            let (begun, goes_on) = &*steps;
            begun.notify_one();
            goes_on.notified().await;
            Err(Failure::new("not today"))
        };
        let deaf = Config { poll: Duration::from_secs(60), ..config() };
        let _worker = bench.start(steps.clone(), Jobs::new().handle(handler), deaf).await;
        let (begun, goes_on) = &*steps;
        begun.notified().await;
        assert_eq!(bench.queues.cancel(job).await.unwrap(), Cancelled::Asked);
        goes_on.notify_one();
        bench.settle().await;
        assert_eq!(bench.job(job).await.state, State::Cancelled);
    })
    .await;
}

#[tokio::test]
async fn one_that_waits_behind_others_in_its_worker_does_not_begin() {
    everywhere(async |bench| {
        let gated = gated(Act::Write);
        // A quick start makes the worker take jobs ahead.
        gated.gate.add_permits(50);
        bench.enqueue_notes(0..50).await;
        let worker = bench.worker(&gated, Config { concurrency: 1, cancel_grace: GRACE, ..config() }).await;
        bench.settle().await;
        let running = bench.enqueue(Note { n: 50 }).await;
        gated.started(51).await;
        let behind = bench.enqueue(Note { n: 51 }).await;
        until("both are in hand", async || bench.backlog().await.running == 2).await;

        assert_eq!(bench.queues.cancel(behind).await.unwrap(), Cancelled::Asked);
        assert_eq!(bench.queues.cancel(running).await.unwrap(), Cancelled::Asked);
        bench.settle().await;
        assert!(gated.runs().iter().all(|run| run.job != behind));
        assert_eq!(worker.stop(Duration::from_secs(5)).await.aborted, 0);
    })
    .await;
}

#[tokio::test]
async fn progress_is_seen_while_it_runs() {
    everywhere(async |bench| {
        let job = bench.enqueue(Long {}).await;
        let handler = async |_: Long, cx: JobContext| -> Result<(), Failure> {
            cx.progress(0.25, "a quarter");
            cx.progress(0.5, "half of it");
            cx.cancelled().await;
            Ok(())
        };
        let worker = bench.start((), Jobs::new().handle(handler), config()).await;
        let progress = async || bench.job(job).await.progress;
        until("it is told", async || progress().await.is_some()).await;
        let told = progress().await.unwrap();
        assert_eq!((told.part, told.note.as_str()), (0.5, "half of it"));
        worker.stop(Duration::from_secs(5)).await;
    })
    .await;
}
