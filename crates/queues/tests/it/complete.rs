//! The effect and the completion in one transaction.

use std::time::Duration;

use shared_core::Failure;
use shared_queues::{JobContext, Jobs, Worker};

use crate::support::{Note, WRITE, bench, config};

type Done = Result<(), Failure>;

#[tokio::test]
async fn once_committed_it_is_complete_whatever_the_handler_says() {
    let bench = bench().await;
    bench.enqueue_notes(0..5).await;
    let handler = async |job: Note, cx: JobContext| -> Done {
        cx.tx(async |tx| tx.execute(&WRITE, (cx.job_id(), job.n)).await).await?;
        Err(Failure::new("too late"))
    };
    let worker = Worker::start(&bench.db, (), Jobs::new().handle(handler), config()).await.unwrap();
    bench.settle().await;
    let report = worker.stop(Duration::from_secs(5)).await;
    assert_eq!((report.refused, bench.backlog().await.dead), (0, 0));
    assert_eq!(bench.ledger().await, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_second_time_is_refused_and_undone() {
    let bench = bench().await;
    bench.enqueue_notes(0..1).await;
    let handler = async |job: Note, cx: JobContext| -> Done {
        cx.tx(async |tx| tx.execute(&WRITE, (cx.job_id(), job.n)).await).await?;
        let again = cx.tx(async |tx| tx.execute(&WRITE, (cx.job_id(), 99)).await).await;
        assert_eq!(again.unwrap_err().code(), Some("SQ001"));
        Ok(())
    };
    let _worker = Worker::start(&bench.db, (), Jobs::new().handle(handler), config()).await.unwrap();
    bench.settle().await;
    assert_eq!(bench.ledger().await, [0]);
    assert_eq!(bench.backlog().await.dead, 0);
}
