//! A process that is killed with -9. This test binary is started again as the victim.

use std::env;
use std::process::{Command, Stdio};
use std::time::Duration;

use shared_core::InTenant;
use shared_queues::{Jobs, Worker};

use crate::support::{Act, bench, config, connect, mortal, note, probe, until};

/// The URL of the database in which the child works.
const CHILD: &str = "QUEUES_TEST_CHILD";

#[tokio::test]
async fn a_worker_does_its_jobs() {
    if let Ok(url) = env::var(CHILD) {
        // The victim: holds what it claims until it is killed.
        let db = connect(&url).await;
        let _worker = Worker::start(&db, probe(Act::Hang), Jobs::new().handle(note), mortal()).await.unwrap();
        return std::future::pending().await;
    }
    let bench = bench().await;
    bench.enqueue_notes(0..5).await;
    let _worker = bench.worker(&probe(Act::Write), config()).await;
    bench.settle().await;
    assert_eq!(bench.ledger().await, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn jobs_survive_kill_9() {
    let bench = bench().await;
    bench.enqueue_notes(0..16).await;
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--exact", "kill::a_worker_does_its_jobs"])
        .env(CHILD, &bench.url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the victim has claimed", async || bench.backlog().await.running == 16).await;
    victim.kill().unwrap();
    victim.wait().unwrap();

    let probe = probe(Act::WriteAndComplete);
    let worker = bench.worker(&probe, config()).await;
    bench.settle().await;
    assert_eq!(bench.ledger().await, (0..16).collect::<Vec<i64>>());
    assert_eq!(worker.stop(Duration::from_secs(5)).await.refused, 0);
    assert!(probe.runs().iter().all(|run| run.tenant == bench.tenant.context().tenant()));
}
