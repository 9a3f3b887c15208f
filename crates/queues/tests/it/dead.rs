//! Dead letters come back when somebody says so.

use shared_queues::{JobId, Reason};

use crate::support::{Act, Note, bench, config, probe};

#[tokio::test]
async fn a_dead_letter_can_be_redriven() {
    let bench = bench().await;
    let job = bench.enqueue(Note { n: 4 }).await;
    let worker = bench.worker(&probe(Act::Die), config()).await;
    bench.settle().await;
    drop(worker);
    let letters = bench.queues.dead_letters(10).await.unwrap();
    assert_eq!((letters[0].job_id, letters[0].reason, letters[0].attempts), (job, Reason::Failed, 1));
    assert_eq!(letters[0].error, "hopeless");

    assert!(!bench.queues.redrive(JobId::new()).await.unwrap());
    assert!(bench.queues.redrive(job).await.unwrap());
    let probe = probe(Act::Write);
    let _worker = bench.worker(&probe, config()).await;
    bench.settle().await;
    assert_eq!((bench.ledger().await, bench.backlog().await.dead), (vec![4], 0));
    assert_eq!((probe.runs()[0].job, probe.runs()[0].attempt), (job, 1));
}

#[tokio::test]
async fn all_of_a_name_can_be_redriven_at_once() {
    let bench = bench().await;
    bench.enqueue_notes(0..1200).await;
    let worker = bench.worker(&probe(Act::Die), config()).await;
    bench.settle().await;
    drop(worker);
    assert_eq!(bench.backlog().await.dead, 1200);
    assert_eq!(bench.queues.redrive_all("test:other").await.unwrap(), 0);
    assert_eq!(bench.queues.redrive_all("test:note").await.unwrap(), 1200);
    let _worker = bench.worker(&probe(Act::Write), config()).await;
    bench.settle().await;
    assert_eq!(bench.ledger().await.len(), 1200);
}
