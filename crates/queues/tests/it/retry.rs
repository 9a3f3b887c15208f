//! Failures, panics and time-outs are attempts, and the worker goes on.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::Failure;
use shared_queues::{Job, JobContext, Jobs, Reason, Worker};
use validator::Validate;

use crate::support::{Act, Note, The, bench, config, probe};

#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:slow", timeout = "50ms", max_attempts = 2, retry = "exponential from 1ms to 1ms")]
struct Slow {}

#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:later")]
struct Later {}

#[tokio::test]
async fn a_failed_attempt_is_followed_by_another() {
    let bench = bench().await;
    let job = bench.enqueue(Note { n: 1 }).await;
    let probe = probe(Act::FailOnce);
    let _worker = bench.worker(&probe, config()).await;
    bench.settle().await;
    let runs: Vec<_> = probe.runs().iter().map(|run| (run.attempt, run.key.clone())).collect();
    assert_eq!(runs, [(1, job.to_string()), (2, job.to_string())]);
    assert_eq!(bench.backlog().await.dead, 0);
}

#[tokio::test]
async fn after_the_last_attempt_it_is_dead() {
    let bench = bench().await;
    let job = bench.enqueue(Note { n: 1 }).await;
    let probe = probe(Act::Fail);
    let _worker = bench.worker(&probe, config()).await;
    bench.settle().await;
    assert_eq!(probe.runs().iter().map(|run| run.attempt).collect::<Vec<_>>(), [1, 2, 3]);
    let letters = bench.queues.dead_letters(10).await.unwrap();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((letter.job_id, letter.reason, letter.attempts), (job, Reason::Exhausted, 3));
    assert_eq!(letter.error, "never");
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt_and_the_worker_goes_on() {
    let bench = bench().await;
    bench.enqueue_notes(0..10).await;
    let probe = probe(Act::PanicOnce);
    let worker = bench.worker(&probe, config()).await;
    bench.settle().await;
    assert_eq!(probe.runs().len(), 20);
    assert_eq!(bench.backlog().await.dead, 0);
    assert!(worker.stop(Duration::from_secs(5)).await.released);
}

#[tokio::test]
async fn a_time_out_is_a_failed_attempt_and_its_future_is_gone() {
    let bench = bench().await;
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
    let worker =
        Worker::start(&bench.db, The(alive.clone()), Jobs::new().handle(hang), config()).await.unwrap();
    bench.settle().await;
    let letters = bench.queues.dead_letters(1).await.unwrap();
    assert_eq!((letters[0].attempts, letters[0].reason), (2, Reason::Exhausted));
    assert_eq!(letters[0].error, "the attempt took longer than 50ms");
    worker.stop(Duration::from_secs(5)).await;
    assert_eq!(std::sync::Arc::strong_count(&alive), 1, "nothing of the worker is left");
}

#[tokio::test]
async fn a_handler_may_say_when() {
    let bench = bench().await;
    bench.enqueue(Later {}).await;
    let later = async |_: Later, cx: JobContext| match cx.attempt() {
        1 => Err(Failure::retry_in(Duration::from_secs(3600), "busy")),
        _ => Ok(()),
    };
    let worker = Worker::start(&bench.db, (), Jobs::new().handle(later), config()).await.unwrap();
    crate::support::until("it is scheduled", async || bench.backlog().await.scheduled == 1).await;
    worker.stop(Duration::from_secs(5)).await;
    let wait = crate::tables::next_due_in(&bench).await;
    assert!((3500.0..=3600.0).contains(&wait), "{wait}");
    assert_eq!(crate::tables::attempts(&bench).await, [1]);
}
