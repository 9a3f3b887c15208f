//! Workers that die without a word.

use std::time::Duration;

use shared_queues::{Config, Reason};

use crate::support::{Act, config, everywhere, mortal, probe, until};

#[tokio::test]
async fn the_jobs_of_a_dead_worker_are_done_by_another() {
    everywhere(async |bench| {
        bench.enqueue_notes(0..20).await;
        let hanging = probe(Act::Hang);
        let dying = bench.worker(&hanging, mortal()).await;
        hanging.started(16).await;
        drop(dying);
        assert_eq!(bench.backlog().await.running, 16);

        let _worker = bench.worker(&probe(Act::Write), config()).await;
        bench.settle().await;
        assert_eq!(bench.ledger().await, (0..20).collect::<Vec<i64>>());
    })
    .await;
}

#[tokio::test]
async fn a_job_that_outlives_three_workers_is_dead() {
    everywhere(async |bench| {
        bench.enqueue_notes(0..1).await;
        let queue = bench.queues.queue("default");
        for crash in 1..=3 {
            let hanging = probe(Act::Hang);
            let dying = bench.worker(&hanging, Config { crash_budget: 3, ..mortal() }).await;
            hanging.started(1).await;
            assert_eq!(hanging.runs()[0].attempt, 1, "a crash is not a failed attempt");
            drop(dying);
            // Whoever looks, rescues, also while claims are stopped.
            queue.pause().await.unwrap();
            let rescuer = bench.worker(&probe(Act::Fail), config()).await;
            until("the job is rescued", async || bench.backlog().await.running == 0).await;
            rescuer.stop(Duration::from_secs(5)).await;
            assert_eq!(bench.backlog().await.dead, u64::from(crash == 3));
            queue.resume().await.unwrap();
        }
        let letter = &bench.dead_letters().await[0];
        assert_eq!((letter.reason, letter.crashes, letter.attempts), (Reason::Crashed, 3, 0));
        assert!(letter.error.contains("died"), "{}", letter.error);
        assert!(bench.backlog().await.is_settled());
    })
    .await;
}
