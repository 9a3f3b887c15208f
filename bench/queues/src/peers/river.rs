//! riverqueue.

use std::time::Duration;

use riverqueue::migrate::PostgresMigrator;
use riverqueue::{BoxError, Client, Job, QueueConfig, RunHandle, WorkContext, WorkOutcome, Workers};
use sqlx::PgPool;

use super::{count, execute, pool};
use crate::drive::{Aim, Queue, Settings};
use crate::payload::Payload;
use crate::seen;

pub(super) struct River {
    pool: PgPool,
    producer: Client,
    settings: Settings,
}

pub(super) struct Worker {
    client: Client,
    running: Option<RunHandle>,
}

async fn handle(_: WorkContext, job: Job<Payload>) -> Result<WorkOutcome, BoxError> {
    seen::job(job.args.at);
    Ok(WorkOutcome::Complete)
}

const COOLDOWN: Duration = Duration::from_millis(1);

impl Queue for River {
    type Worker = Worker;

    async fn open(url: &str, settings: Settings, aim: Aim) -> Self {
        let connections = if settings == Settings::Best { 50 } else { 10 };
        let pool = pool(url, connections).await;
        PostgresMigrator::new(pool.clone()).migrate_up().await.unwrap();
        let mut producer = Client::builder(pool.clone());
        match (settings, aim) {
            (Settings::Best, Aim::Latency) => producer = producer.fetch_cooldown(COOLDOWN),
            (Settings::Best, Aim::Throughput) => producer = producer.without_notifications(),
            _ => {}
        }
        Self { pool, producer: producer.build().unwrap(), settings }
    }

    async fn enqueue(&self, job: Payload) {
        self.producer.insert(job).await.unwrap();
    }

    async fn enqueue_many(&self, jobs: Vec<Payload>) {
        self.producer.insert_many(jobs).await.unwrap();
    }

    async fn left(&self) -> u64 {
        count(&self.pool, "select count(*) from river_job where state <> 'completed'").await
    }

    async fn clear(&self) {
        execute(&self.pool, "truncate river_job").await;
    }

    async fn worker(&self, at_once: usize) -> Worker {
        let mut workers = Workers::new();
        workers.add_fn(handle).unwrap();
        let mut queue = QueueConfig::new(at_once);
        let mut client = Client::builder(self.pool.clone()).workers(workers);
        if self.settings == Settings::Best {
            queue = queue.with_fetch_poll_interval(Duration::from_millis(10));
            client = client.fetch_cooldown(COOLDOWN).without_job_timeout();
        }
        Worker { client: client.queue("default", queue).build().unwrap(), running: None }
    }

    async fn start(&self, worker: &mut Worker) {
        worker.running = Some(worker.client.start().unwrap());
    }

    async fn stop(&self, worker: Worker) {
        if let Some(mut running) = worker.running {
            running.stop().await.unwrap();
        }
    }
}
