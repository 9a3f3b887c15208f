//! A process that is killed with -9, wherever that comes. This test is its own victim.

use std::collections::BTreeSet;
use std::env;
use std::time::Duration;

use shared_core::InTenant;
use shared_devkit::child::{self, Child, Matrix, Outcome, Program};
use shared_queues::{Jobs, Queues, Worker};

#[cfg(feature = "redis")]
use crate::support::redis_queues;
use crate::support::{Act, Backend, Bench, bench_on, config, connect, mortal, note, probe};

/// The URL of the database in which the victim works.
const DATABASE: &str = "QUEUES_TEST_DATABASE";

/// The URL and the prefix of its queues, if they are in Redis.
#[cfg(feature = "redis")]
const REDIS: [&str; 2] = ["QUEUES_TEST_REDIS", "QUEUES_TEST_PREFIX"];

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
        return be_killed(Queues::postgres(&db)).await;
    }
    let victim = |bench: &Bench| {
        let victim = Child::test_function("kill::jobs_survive_kill_9_wherever_it_comes");
        victim.env(DATABASE, &bench.url)
    };
    kill_and_count(Backend::Postgres, victim).await;
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn jobs_in_redis_survive_it_too() {
    let [url, prefix] = REDIS;
    if child::enter().unwrap().is_some() {
        let db = connect(&env::var(DATABASE).unwrap()).await;
        let queues = redis_queues(&env::var(url).unwrap(), &env::var(prefix).unwrap()).await;
        return be_killed(queues.with_db(&db)).await;
    }
    let victim = |bench: &Bench| {
        let victim = Child::test_function("kill::jobs_in_redis_survive_it_too").env(DATABASE, &bench.url);
        victim.env(url, bench.part.url()).env(prefix, bench.part.prefix())
    };
    kill_and_count(Backend::Redis, victim).await;
}

/// What the victim does.
async fn be_killed(queues: Queues) {
    let jobs = Jobs::new().handle(note);
    let _worker = Worker::start(&queues, probe(Act::WriteAndComplete), jobs, mortal()).await.unwrap();
    std::future::pending().await
}

async fn kill_and_count(backend: Backend, victim: impl Fn(&Bench) -> Program) {
    let kills = Matrix::new(POINTS).moments(4, Duration::ZERO..Duration::from_millis(100), 7);
    let scenario = async |kill| {
        let bench = bench_on(backend).await;
        let program = victim(&bench).kill(kill);
        a_worker_is_killed_and_another_goes_on(bench, program).await
    };
    let report = kills.run(scenario).await.unwrap();
    assert_eq!(report.total("done"), 10 * JOBS);
}

async fn a_worker_is_killed_and_another_goes_on(bench: Bench, victim: Program) -> Outcome {
    bench.enqueue_notes(0..JOBS as i64).await;
    let mut victim = victim.start().unwrap();
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
