//! A process that is killed with -9, wherever that comes. This test is its own victim.

use std::collections::BTreeSet;
use std::env;
use std::time::Duration;

use shared_core::InTenant;
use shared_devkit::child::{self, Child, Kill, Matrix, Outcome};
use shared_queues::{Jobs, Worker};

use crate::support::{Act, bench, config, connect, mortal, note, probe};

/// The URL of the database in which the victim works.
const DATABASE: &str = "QUEUES_TEST_DATABASE";

const POINTS: [&str; 6] = [
    "queues.worker.claimed",
    "db.commit.sending",
    "db.commit.answered",
    "queues.worker.handled",
    "queues.worker.settling",
    "queues.worker.settled",
];

const JOBS: usize = 16;

#[tokio::test]
async fn jobs_survive_kill_9_wherever_it_comes() {
    if child::enter().unwrap().is_some() {
        let db = connect(&env::var(DATABASE).unwrap()).await;
        let jobs = Jobs::new().handle(note);
        let _worker = Worker::start(&db, probe(Act::WriteAndComplete), jobs, mortal()).await.unwrap();
        return std::future::pending().await;
    }
    let kills = Matrix::new(POINTS).moments(4, Duration::ZERO..Duration::from_millis(100), 7);
    let report = kills.run(a_worker_is_killed_and_another_goes_on).await.unwrap();
    assert_eq!(report.total("done"), 10 * JOBS);
}

async fn a_worker_is_killed_and_another_goes_on(kill: Kill) -> Outcome {
    let bench = bench().await;
    bench.enqueue_notes(0..JOBS as i64).await;
    let victim = Child::test_function("kill::jobs_survive_kill_9_wherever_it_comes");
    let mut victim = victim.env(DATABASE, &bench.url).kill(kill).start().unwrap();
    victim.killed().await.unwrap();
    let left = bench.backlog().await;

    let probe = probe(Act::WriteAndComplete);
    let worker = bench.worker(&probe, config()).await;
    bench.settle().await;
    assert_eq!(worker.stop(Duration::from_secs(5)).await.refused, 0);
    assert!(probe.runs().iter().all(|run| run.tenant == bench.tenant.context().tenant()));
    let ledger = bench.ledger().await;
    let done = ledger.iter().collect::<BTreeSet<_>>().len();
    Outcome::new()
        .count("held", left.running as usize)
        .count("waiting", left.ready as usize)
        .count("done", done)
        .wrong("lost", JOBS - done)
        .wrong("doubled", ledger.len() - done)
}
