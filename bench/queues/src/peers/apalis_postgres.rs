//! apalis-postgres.

use std::time::Duration;

use ::apalis::layers::WorkerBuilderExt;
use ::apalis::prelude::{BackendExt, ParallelizeExt, TaskSink, WorkerBuilder};
use ::apalis_postgres::{Config, PostgresStorage};
use sqlx::PgPool;

use super::apalis::{Worker, handle, name};
use super::{count, execute, pool};
use crate::drive::{Aim, Queue, Settings};
use crate::payload::Payload;

pub(super) struct ApalisPostgres {
    pool: PgPool,
    config: Config,
    settings: Settings,
    aim: Aim,
}

impl ApalisPostgres {
    fn storage(&self) -> PostgresStorage<Payload> {
        PostgresStorage::new(&self.pool).with_config(self.config.clone())
    }
}

impl Queue for ApalisPostgres {
    type Worker = Worker;

    async fn open(url: &str, settings: Settings, aim: Aim) -> Self {
        let config = Config::default().queue("bench");
        let (connections, config) = match settings {
            Settings::Defaults => (10, config),
            _ => (50, config.batch_size(1_000).lock_tasks(false)),
        };
        let pool = pool(url, connections).await;
        PostgresStorage::setup(&pool).await.unwrap();
        Self { pool, config, settings, aim }
    }

    async fn enqueue(&self, job: Payload) {
        self.storage().push(job).await.unwrap();
    }

    async fn enqueue_many(&self, jobs: Vec<Payload>) {
        self.storage().push_bulk(jobs).await.unwrap();
    }

    async fn left(&self) -> u64 {
        count(&self.pool, "select count(*) from apalis.jobs where status <> 'Done'").await
    }

    async fn clear(&self) {
        execute(&self.pool, "truncate apalis.jobs").await;
    }

    async fn worker(&self, at_once: usize) -> Worker {
        let builder = WorkerBuilder::new(name());
        let poll = match (self.settings, self.aim) {
            (Settings::Defaults, _) => Duration::from_millis(100),
            (_, Aim::Throughput) => Duration::from_millis(10),
            (_, Aim::Latency) => {
                let builder = builder.backend(self.storage().with_pubsub());
                let worker = builder.concurrency(at_once).parallelize(tokio::spawn).build(handle);
                return Worker::new(
                    |stopped| async move { worker.run_until(stopped.signal()).await.unwrap() },
                );
            }
        };
        let builder = builder.backend(self.storage().poll_with_interval(poll));
        let worker = builder.concurrency(at_once).parallelize(tokio::spawn).build(handle);
        Worker::new(|stopped| async move { worker.run_until(stopped.signal()).await.unwrap() })
    }

    async fn start(&self, worker: &mut Worker) {
        worker.start();
    }

    async fn stop(&self, worker: Worker) {
        worker.stop().await;
    }
}
