//! Workers that die without a word.

use std::time::Duration;

use shared_queues::{Config, Reason};

use crate::support::{Act, bench, config, mortal, probe, until};
use crate::tables::attempts;

#[tokio::test]
async fn the_jobs_of_a_dead_worker_are_done_by_another() {
    let bench = bench().await;
    bench.enqueue_notes(0..20).await;
    let hanging = probe(Act::Hang);
    let dying = bench.worker(&hanging, mortal()).await;
    hanging.started(16).await;
    drop(dying);
    assert_eq!(bench.backlog().await.running, 16);

    let _worker = bench.worker(&probe(Act::Write), config()).await;
    bench.settle().await;
    assert_eq!(bench.ledger().await, (0..20).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_job_that_outlives_three_workers_is_dead() {
    let bench = bench().await;
    bench.enqueue_notes(0..1).await;
    for crash in 1..=3 {
        let hanging = probe(Act::Hang);
        let dying = bench.worker(&hanging, Config { crash_budget: 3, ..mortal() }).await;
        hanging.started(1).await;
        assert_eq!(hanging.runs()[0].attempt, 1, "a crash is not a failed attempt");
        drop(dying);
        // A worker of another queue would do as well: whoever looks, rescues.
        let other = shared_queues::Jobs::<()>::new();
        let rescuer = shared_queues::Worker::start(&bench.db, (), other, config()).await.unwrap();
        until("the job is rescued", async || bench.backlog().await.running == 0).await;
        rescuer.stop(Duration::from_secs(5)).await;
        assert_eq!(bench.backlog().await.dead, u64::from(crash == 3));
    }
    let letters = bench.queues.dead_letters(1).await.unwrap();
    assert_eq!((letters[0].reason, letters[0].crashes, letters[0].attempts), (Reason::Crashed, 3, 0));
    assert_eq!(letters[0].error, "3 workers died while they held this job");
    assert!(attempts(&bench).await.is_empty());
}
