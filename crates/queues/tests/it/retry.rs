//! Failures, panics and time-outs are attempts, and the worker goes on.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::{Failure, panics};
use shared_queues::{Job, JobContext, Jobs, Reason, State};
use validator::Validate;

use crate::support::{Act, Note, The, config, everywhere, probe, until};

#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:slow", timeout = "50ms", max_attempts = 2, retry = "exponential from 1ms to 1ms")]
struct Slow {}

#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:later", retry_for = "2h")]
struct Later {}

#[tokio::test]
async fn a_failed_attempt_is_followed_by_another() {
    everywhere(async |bench| {
        let job = bench.enqueue(Note { n: 1 }).await;
        let probe = probe(Act::FailOnce);
        let _worker = bench.worker(&probe, config()).await;
        bench.settle().await;
        let runs: Vec<_> = probe.runs().iter().map(|run| (run.attempt, run.key.clone())).collect();
        assert_eq!(runs, [(1, job.to_string()), (2, job.to_string())]);
        assert_eq!(bench.backlog().await.dead, 0);
    })
    .await;
}

#[tokio::test]
async fn after_the_last_attempt_it_is_dead() {
    everywhere(async |bench| {
        let job = bench.enqueue(Note { n: 1 }).await;
        let probe = probe(Act::Fail);
        let _worker = bench.worker(&probe, config()).await;
        bench.settle().await;
        assert_eq!(probe.runs().iter().map(|run| run.attempt).collect::<Vec<_>>(), [1, 2, 3]);
        let letters = bench.dead_letters().await;
        assert_eq!(letters.len(), 1);
        let letter = &letters[0];
        assert_eq!((letter.job_id, letter.reason, letter.attempts), (job, Reason::Exhausted, 3));
        assert_eq!(letter.error, "never");
    })
    .await;
}

#[tokio::test]
async fn what_is_hopeless_is_dead_at_once_and_has_all_attempts_again_when_it_is_redriven() {
    everywhere(async |bench| {
        let job = bench.enqueue(Note { n: 4 }).await;
        let worker = bench.worker(&probe(Act::Die), config()).await;
        bench.settle().await;
        worker.stop(Duration::from_secs(5)).await;
        let letter = &bench.dead_letters().await[0];
        assert_eq!((letter.job_id, letter.reason, letter.attempts), (job, Reason::Failed, 1));
        assert_eq!(letter.error, "hopeless");

        assert_eq!(bench.queues.redrive(job).await.unwrap(), [job]);
        let probe = probe(Act::Write);
        let _worker = bench.worker(&probe, config()).await;
        bench.settle().await;
        assert_eq!((bench.ledger().await, bench.backlog().await.dead), (vec![4], 0));
        assert_eq!((probe.runs()[0].job, probe.runs()[0].attempt), (job, 1));
    })
    .await;
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt_and_the_worker_goes_on() {
    everywhere(async |bench| {
        bench.enqueue_notes(0..10).await;
        let probe = probe(Act::PanicOnce);
        let worker = bench.worker(&probe, config()).await;
        bench.settle().await;
        assert_eq!(probe.runs().len(), 20);
        assert_eq!(bench.backlog().await.dead, 0);
        assert!(worker.stop(Duration::from_secs(5)).await.released);
    })
    .await;
}

#[tokio::test]
async fn a_panic_is_told_with_its_place_and_without_its_words() {
    // As a program's telemetry does at its start.
    panics::remember();
    everywhere(async |bench| {
        bench.enqueue(Note { n: 42 }).await;
        const LINE: u32 = line!() + 2;
        let handler = async |job: Note| -> Result<(), Failure> {
            if job.n > 0 { panic!("no note {}", job.n) } else { Ok(()) }
        };
        let _worker = bench.start((), Jobs::new().handle(handler), config()).await;
        bench.settle().await;
        let letter = &bench.dead_letters().await[0];
        assert_eq!(letter.error, format!("the handler panicked at {}:{LINE}", file!()));
    })
    .await;
}

#[tokio::test]
async fn a_time_out_is_a_failed_attempt_and_its_future_is_gone() {
    everywhere(async |bench| {
        bench.enqueue(Slow {}).await;
        let alive = std::sync::Arc::new(());
        let held = alive.clone();
        let hang = move |_: Slow, _: JobContext| {
            let held = held.clone();
            async move {
                let _held = held;
                std::future::pending::<Result<(), Failure>>().await
            }
        };
        let worker = bench.start(The(alive.clone()), Jobs::new().handle(hang), config()).await;
        bench.settle().await;
        let letter = &bench.dead_letters().await[0];
        assert_eq!((letter.attempts, letter.reason), (2, Reason::Exhausted));
        assert_eq!(letter.error, "the attempt took longer than 50ms");
        worker.stop(Duration::from_secs(5)).await;
        assert_eq!(std::sync::Arc::strong_count(&alive), 1, "nothing of the worker is left");
    })
    .await;
}

#[tokio::test]
async fn a_handler_may_say_when() {
    everywhere(async |bench| {
        let job = bench.enqueue(Later {}).await;
        let later = async |_: Later| Err::<(), _>(Failure::retry_in(Duration::from_secs(3600), "busy"));
        let worker = bench.start((), Jobs::new().handle(later), config()).await;
        until("it is scheduled", async || bench.backlog().await.scheduled == 1).await;
        worker.stop(Duration::from_secs(5)).await;
        let view = bench.job(job).await;
        assert_eq!((view.state, view.attempts, view.error.as_deref()), (State::Scheduled, 1, Some("busy")));
        let wait = (view.due_at - view.enqueued_at).whole_seconds();
        assert!((3600..3700).contains(&wait), "{wait}");
    })
    .await;
}

#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:soon", retry_for = "3s", retry = "exponential from 100ms to 100ms", max_attempts = 100)]
struct Soon {}

#[tokio::test]
async fn what_is_redriven_has_all_its_time_before_it_again() {
    everywhere(async |bench| {
        let job = bench.enqueue(Soon {}).await;
        let fail = async |_: Soon| Err::<(), _>(Failure::new("never"));
        let worker = bench.start((), Jobs::new().handle(fail), config()).await;
        until("its time is over", async || bench.backlog().await.dead == 1).await;
        worker.stop(Duration::from_secs(5)).await;

        assert_eq!(bench.queues.redrive(job).await.unwrap(), [job]);
        let once = async |_: Soon, cx: JobContext| match cx.attempt() {
            1 => Err(Failure::new("once more")),
            _ => Ok(()),
        };
        let _worker = bench.start((), Jobs::new().handle(once), config()).await;
        bench.settle().await;
        assert_eq!(bench.dead_letters().await, []);
    })
    .await;
}

#[tokio::test]
async fn what_would_come_too_late_is_not_tried_again() {
    everywhere(async |bench| {
        bench.enqueue(Later {}).await;
        let later = async |_: Later| Err::<(), _>(Failure::retry_in(Duration::from_secs(3 * 3600), "busy"));
        let _worker = bench.start((), Jobs::new().handle(later), config()).await;
        bench.settle().await;
        let letter = &bench.dead_letters().await[0];
        assert_eq!((letter.reason, letter.attempts, letter.error.as_str()), (Reason::Exhausted, 1, "busy"));
    })
    .await;
}
