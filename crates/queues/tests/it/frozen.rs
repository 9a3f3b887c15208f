//! A process that stands still in the middle of its transaction for longer than its lease, and then goes on. Its queues are in Redis,
//! what its handler writes is in Postgres.

use std::env;
use std::time::Duration;

use shared_core::Failure;
use shared_db::statements;
use shared_devkit::child::{self, Child};
use shared_queues::{Config, JobContext, Jobs, Worker};

use crate::support::{
    Act, Backend, Note, WRITE, bench_on, config, connect, everywhere, mortal, probe, redis_queues, until,
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
        let db = connect(&env::var(DATABASE).unwrap()).await;
        let queues = redis_queues(&env::var(REDIS).unwrap(), &env::var(PREFIX).unwrap()).await.with_db(&db);
        let handler = async |job: Note, cx: JobContext| -> Result<(), Failure> {
            let n = FROZEN + job.n;
            cx.tx(async |tx| -> Result<_, Failure> { Ok(tx.execute(&WRITE, (cx.job_id(), n)).await?) })
                .await?;
            Ok(())
        };
        let config = Config { concurrency: 1, ..mortal() };
        let _worker = Worker::start(&queues, (), Jobs::new().handle(handler), config).await.unwrap();
        return std::future::pending().await;
    }
    let bench = bench_on(Backend::Redis).await;
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
    assert_eq!(
        (bench.ledger().await, bench.backlog().await.dead),
        (vec![1, FROZEN], 0),
        "the frozen one's was not committed"
    );
    assert_eq!(worker.stop(Duration::from_secs(5)).await.refused, 0);
    frozen.kill().await.unwrap();
}

#[tokio::test]
async fn a_transaction_may_last_for_longer_than_the_lease() {
    everywhere(async |bench| {
        bench.enqueue_notes(0..1).await;
        let handler = async |job: Note, cx: JobContext| -> Result<(), Failure> {
            assert_eq!(cx.attempt(), 1);
            cx.tx(async |tx| -> Result<_, Failure> {
                tx.execute(&SLEEP, (1.0,)).await?;
                Ok(tx.execute(&WRITE, (cx.job_id(), job.n)).await?)
            })
            .await?;
            Ok(())
        };
        // Beats every tenth of a second keep the lease.
        let config = Config { lease: Duration::from_millis(600), ..config() };
        let worker = bench.start((), Jobs::new().handle(handler), config).await;
        bench.settle().await;
        assert_eq!((bench.ledger().await, bench.backlog().await.dead), (vec![0], 0));
        assert_eq!(worker.stop(Duration::from_secs(5)).await.refused, 0);
    })
    .await;
}
