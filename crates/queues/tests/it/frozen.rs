//! A process that stands still in the middle of its transaction for longer than its lease, and then goes on. Its queues are in Redis,
//! what its handler writes is in Postgres.

use std::env;
use std::time::Duration;

use shared_core::Failure;
use shared_db::statements;
use shared_devkit::child::{self, Child};
use shared_queues::{Config, JobContext, Jobs, Worker};

use crate::support::{
    Act, Backend, Bench, Note, WRITE, bench_on, config, connect, everywhere, mortal, probe, redis_queues,
    until,
};

const DATABASE: &str = "QUEUES_FROZEN_DATABASE";
const REDIS: &str = "QUEUES_FROZEN_REDIS";
const PREFIX: &str = "QUEUES_FROZEN_PREFIX";

/// What the frozen worker writes is told from what others do.
const FROZEN: i64 = 100;

statements! {
    const SLEEP: Statement<(f64,), ()> = "select pg_sleep($1)";
}

#[tokio::test]
async fn a_commit_that_was_held_up_beyond_the_lease_is_refused() {
    if child::enter().unwrap().is_some() {
        return freeze().await;
    }
    let bench = bench_on(Backend::Redis).await;
    assert_eq!(effects_of_a_frozen_worker(&bench).await, [1, FROZEN], "the frozen one's was not committed");
}

/// It is the deadline that refuses: where that is an hour later, the same worker commits what it did, long after its lease.
#[tokio::test]
async fn without_its_deadline_it_is_committed() {
    let bench = bench_on(Backend::Redis).await;
    let (admin, connection) = tokio_postgres::connect(&bench.url, tokio_postgres::NoTls).await.unwrap();
    let _driver = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let body = "select pg_get_functiondef('shared_queues.commit_before(bigint)'::regprocedure)";
    let function: String = admin.query_one(body, &[]).await.unwrap().get(0);
    let later = function.replace("> moment", "> moment + 3600000000");
    assert_ne!(function, later, "the comparison is written otherwise by now");
    admin.batch_execute(&later).await.unwrap();
    assert_eq!(effects_of_a_frozen_worker(&bench).await, [FROZEN, FROZEN + 1]);
}

/// What the frozen process does.
async fn freeze() {
    let db = connect(&env::var(DATABASE).unwrap()).await;
    let queues = redis_queues(&env::var(REDIS).unwrap(), &env::var(PREFIX).unwrap()).await.with_db(&db);
    let handler = async |job: Note, cx: JobContext| -> Result<(), Failure> {
        let n = FROZEN + job.n;
        cx.tx(async |tx| -> Result<_, Failure> { Ok(tx.execute(&WRITE, (cx.job_id(), n)).await?) }).await?;
        Ok(())
    };
    let config = Config { concurrency: 1, ..mortal() };
    let _worker = Worker::start(&queues, (), Jobs::new().handle(handler), config).await.unwrap();
    std::future::pending().await
}

/// One process stands still before its second COMMIT, until another has begun the same job; then it goes on. What both have written.
async fn effects_of_a_frozen_worker(bench: &Bench) -> Vec<i64> {
    bench.enqueue_notes(0..2).await;
    // At the second commit everything is prepared: when it goes on, its COMMIT leaves before the worker hears that it has lost the job.
    let program = Child::test_function("frozen::a_commit_that_was_held_up_beyond_the_lease_is_refused")
        .env(DATABASE, &bench.url)
        .env(REDIS, bench.part.url())
        .env(PREFIX, bench.part.prefix())
        .hold("db.commit.sending", 2);
    let mut frozen = program.start().unwrap();
    frozen.held().await.unwrap();

    // It has done everything but send its COMMIT. Another worker takes the job over when the lease has ended, and waits for the
    // transaction that says it is complete.
    let second = probe(Act::WriteAndComplete);
    let worker = bench.worker(&second, config()).await;
    until("the other one has begun it", async || second.runs().iter().any(|run| run.n == 1)).await;
    frozen.resume().unwrap();
    bench.settle().await;
    assert_eq!(bench.backlog().await.dead, 0);
    assert_eq!(worker.stop(Duration::from_secs(5)).await.refused, 0);
    frozen.kill().await.unwrap();
    bench.ledger().await
}

#[tokio::test]
async fn a_transaction_may_last_for_longer_than_the_lease() {
    everywhere(async |bench| {
        bench.enqueue_notes(0..1).await;
        let handler = async |job: Note, cx: JobContext| -> Result<(), Failure> {
            assert_eq!(cx.attempt(), 1);
            cx.tx(async |tx| -> Result<_, Failure> {
                tx.execute(&SLEEP, (2.0,)).await?;
                Ok(tx.execute(&WRITE, (cx.job_id(), job.n)).await?)
            })
            .await?;
            Ok(())
        };
        // Beats every fifth of a second keep the lease.
        let config = Config { lease: Duration::from_millis(1200), ..config() };
        let worker = bench.start((), Jobs::new().handle(handler), config).await;
        bench.settle().await;
        assert_eq!((bench.ledger().await, bench.backlog().await.dead), (vec![0], 0));
        assert_eq!(worker.stop(Duration::from_secs(5)).await.refused, 0);
    })
    .await;
}
