//! The effect and the completion in one transaction.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::Failure;
use shared_queues::{Error, Job, JobContext, Jobs, Limit, LimitKey, NewJob, Outcome, Queues, State};
use validator::Validate;

use crate::support::{Act, Note, WRITE, config, everywhere, mortal, probe};

type Done = Result<(), Failure>;

/// Writes a number in the transaction that completes the job.
async fn write(cx: &JobContext, n: i64) -> Result<u64, Error> {
    cx.tx(async |tx| Ok(tx.execute(&WRITE, (cx.job_id(), n)).await?)).await
}

#[tokio::test]
async fn once_committed_it_is_complete_whatever_the_handler_says() {
    everywhere(async |bench| {
        bench.enqueue_notes(0..5).await;
        let handler = async |job: Note, cx: JobContext| -> Done {
            write(&cx, job.n).await?;
            Err(Failure::new("too late"))
        };
        let worker = bench.start((), Jobs::new().handle(handler), config()).await;
        bench.settle().await;
        let report = worker.stop(Duration::from_secs(5)).await;
        assert_eq!((report.refused, bench.backlog().await.dead), (0, 0));
        assert_eq!(bench.ledger().await, [0, 1, 2, 3, 4]);
    })
    .await;
}

/// One that is remembered.
#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:kept", keep = "1h")]
struct Kept {
    n: i64,
}

#[tokio::test]
async fn a_job_that_is_remembered_keeps_the_result_that_its_handler_tells_afterwards() {
    everywhere(async |bench| {
        let [told, untold] = [bench.enqueue(Kept { n: 7 }).await, bench.enqueue(Kept { n: 8 }).await];
        let handler = async |job: Kept, cx: JobContext| -> Result<Outcome, Failure> {
            let rows = write(&cx, job.n).await?;
            if job.n == 7 { Outcome::with(&[job.n, rows as i64]) } else { Err(Failure::new("too late")) }
        };
        let worker = bench.start((), Jobs::new().handle(handler), config()).await;
        bench.settle().await;
        assert_eq!(worker.stop(Duration::from_secs(5)).await.refused, 0);
        assert_eq!(bench.ledger().await, [7, 8]);
        for (job, result) in [(told, Some("[7,1]")), (untold, None)] {
            let view = bench.job(job).await;
            assert_eq!((view.state, view.result.as_deref()), (State::Completed, result));
            assert!(view.ended_at.is_some());
        }
    })
    .await;
}

#[tokio::test]
async fn a_second_time_is_refused_and_undone() {
    everywhere(async |bench| {
        bench.enqueue_notes(0..1).await;
        let handler = async |job: Note, cx: JobContext| -> Done {
            write(&cx, job.n).await?;
            let again = write(&cx, 99).await;
            assert!(matches!(again, Err(Error::NotYours { .. })), "{again:?}");
            Ok(())
        };
        let _worker = bench.start((), Jobs::new().handle(handler), config()).await;
        bench.settle().await;
        assert_eq!(bench.ledger().await, [0]);
        assert_eq!(bench.backlog().await.dead, 0);
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_dies_between_the_commit_and_its_word_leaves_one_effect() {
    everywhere(async |bench| {
        bench.enqueue_notes(0..1).await;
        let hanging = probe(Act::WriteAndHang);
        let dying = bench.worker(&hanging, mortal()).await;
        crate::support::until("it is written", async || bench.ledger().await == [0]).await;
        drop(dying);

        let _worker = bench.worker(&probe(Act::WriteAndComplete), config()).await;
        bench.settle().await;
        assert_eq!((bench.ledger().await, bench.backlog().await.dead), (vec![0], 0));
    })
    .await;
}

#[tokio::test]
async fn what_it_held_is_free_for_the_next_one_once_it_is_settled() {
    everywhere(async |bench| {
        bench.queues.set_limit("one", None, Some(Limit::concurrency(1))).await.unwrap();
        let ordered = (0..4).map(|n| NewJob::of(Note { n }).order_by("key"));
        let limited = (4..8).map(|n| NewJob::of(Note { n }).limit(LimitKey::named("one")));
        bench.queues.tenant(&bench.tenant).enqueue_all(ordered.chain(limited)).await.unwrap();
        let worker = bench.worker(&probe(Act::WriteAndComplete), config()).await;
        bench.settle().await;
        assert_eq!(worker.stop(Duration::from_secs(5)).await.refused, 0);
        assert_eq!(bench.ledger().await, [0, 1, 2, 3, 4, 5, 6, 7]);
        crate::support::until("its places are free", async || {
            bench.queues.limits(None, 100).await.unwrap().iter().all(|limit| limit.running == 0)
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn without_a_database_there_are_no_rows_to_ask_for() {
    let queues = Queues::memory();
    let job = queues.tenant(&crate::support::tenant()).enqueue(Note { n: 1 }).await.unwrap().job_id();
    let handler = async |_: Note, cx: JobContext| -> Done {
        let refused = cx.tenant().map(drop).unwrap_err();
        Err(Failure::dead(refused.to_string()))
    };
    let _worker =
        shared_queues::Worker::start(&queues, (), Jobs::new().handle(handler), config()).await.unwrap();
    crate::support::until("it is dead", async || queues.backlog().await.unwrap().dead == 1).await;
    let letter = &queues.dead_letters(&shared_queues::DeadFilter::new().job(job), 1).await.unwrap()[0];
    assert!(letter.error.ends_with("give them one by `Queues::with_db`"), "{}", letter.error);
}
