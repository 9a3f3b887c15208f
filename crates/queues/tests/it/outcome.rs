//! What a handler can say besides that it is done or has failed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::Failure;
use shared_queues::{Job, JobContext, Jobs, Outcome, State};
use time::OffsetDateTime;
use validator::Validate;

use crate::support::{config, everywhere, until};

#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:report", keep = "1h", retry = "exponential from 1ms to 1ms", max_attempts = 2)]
struct Report {
    pages: u32,
}

#[tokio::test]
async fn a_result_is_remembered() {
    everywhere(async |bench| {
        let job = bench.enqueue(Report { pages: 3 }).await;
        let handler = async |job: Report| Outcome::with(&[job.pages, 7]);
        let _worker = bench.start((), Jobs::new().handle(handler), config()).await;
        bench.settle().await;
        let view = bench.job(job).await;
        assert_eq!((view.state, view.result.as_deref(), view.attempts), (State::Completed, Some("[3,7]"), 0));
        assert!(view.ended_at.is_some());
    })
    .await;
}

#[tokio::test]
async fn who_was_early_comes_again_and_no_attempt_is_counted() {
    everywhere(async |bench| {
        let job = bench.enqueue(Report { pages: 0 }).await;
        let handler = async |_: Report, cx: JobContext| -> Result<Outcome, Failure> {
            assert_eq!(cx.attempt(), 1);
            Ok(Outcome::snooze(Duration::from_secs(3600)))
        };
        let worker = bench.start((), Jobs::new().handle(handler), config()).await;
        until("it is scheduled", async || bench.backlog().await.scheduled == 1).await;
        worker.stop(Duration::from_secs(5)).await;
        assert_eq!(bench.job(job).await.attempts, 0);
    })
    .await;
}

#[tokio::test]
async fn another_attempt_on_request_is_counted() {
    everywhere(async |bench| {
        let job = bench.enqueue(Report { pages: 0 }).await;
        let handler = async |_: Report, cx: JobContext| -> Result<Outcome, Failure> {
            Ok(if cx.attempt() == 1 { Outcome::retry_in(Duration::ZERO) } else { Outcome::done() })
        };
        let _worker = bench.start((), Jobs::new().handle(handler), config()).await;
        bench.settle().await;
        let view = bench.job(job).await;
        assert_eq!((view.state, view.attempts, view.result), (State::Completed, 1, None));
    })
    .await;
}

#[tokio::test]
async fn another_attempt_at_a_time_waits_for_it() {
    everywhere(async |bench| {
        let job = bench.enqueue(Report { pages: 0 }).await;
        let tomorrow = OffsetDateTime::now_utc() + time::Duration::DAY;
        let handler = move |_: Report| async move { Ok::<_, Failure>(Outcome::retry_at(tomorrow)) };
        let worker = bench.start((), Jobs::new().handle(handler), config()).await;
        until("it has run", async || bench.job(job).await.attempts > 0).await;
        worker.stop(Duration::from_secs(5)).await;
        let view = bench.job(job).await;
        assert_eq!((view.state, view.attempts), (State::Scheduled, 1));
        // All clocks are this machine's.
        assert!((view.due_at - tomorrow).abs() < time::Duration::MINUTE, "{view:?}");
    })
    .await;
}

#[tokio::test]
async fn what_need_not_be_done_is_cancelled() {
    everywhere(async |bench| {
        let job = bench.enqueue(Report { pages: 0 }).await;
        let handler = async |_: Report| Ok::<_, Failure>(Outcome::cancel("the order is gone"));
        let _worker = bench.start((), Jobs::new().handle(handler), config()).await;
        bench.settle().await;
        assert_eq!(bench.job(job).await.state, State::Cancelled);
        assert_eq!(bench.backlog().await.dead, 0);
    })
    .await;
}
