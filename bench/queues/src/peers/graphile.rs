//! graphile_worker.

use std::sync::Arc;
use std::time::Duration;

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, TaskHandler, WorkerContext, WorkerOptions, WorkerUtils,
};
use sqlx::PgPool;
use tokio::task::JoinHandle;

use super::{count, execute, pool};
use crate::drive::{Aim, Queue, Settings};
use crate::payload::Payload;
use crate::seen;

impl TaskHandler for Payload {
    const IDENTIFIER: &'static str = "bench";

    async fn run(self, _: WorkerContext) -> impl IntoTaskHandlerResult {
        seen::job(self.at);
        Ok::<(), String>(())
    }
}

pub(super) struct Graphile {
    pool: PgPool,
    utils: WorkerUtils,
    settings: Settings,
    aim: Aim,
}

pub(super) struct Worker {
    worker: Arc<graphile_worker::Worker>,
    running: Option<JoinHandle<()>>,
}

impl Queue for Graphile {
    type Worker = Worker;

    async fn open(url: &str, settings: Settings, aim: Aim) -> Self {
        let connections = if settings == Settings::Best { 50 } else { 20 };
        let pool = pool(url, connections).await;
        let utils = WorkerUtils::new(pool.clone(), "graphile_worker");
        utils.migrate().await.unwrap();
        Self { pool, utils, settings, aim }
    }

    async fn enqueue(&self, job: Payload) {
        self.utils.add_job(job, JobSpec::default()).await.unwrap();
    }

    async fn enqueue_many(&self, jobs: Vec<Payload>) {
        let spec = JobSpec::default();
        let jobs: Vec<_> = jobs.into_iter().map(|job| (job, &spec)).collect();
        self.utils.add_jobs(&jobs).await.unwrap();
    }

    async fn left(&self) -> u64 {
        count(&self.pool, "select count(*) from graphile_worker._private_jobs").await
    }

    async fn clear(&self) {
        execute(&self.pool, "truncate graphile_worker._private_jobs cascade").await;
    }

    async fn worker(&self, at_once: usize) -> Worker {
        let mut options = WorkerOptions::default().pg_pool(self.pool.clone()).concurrency(at_once);
        if self.settings == Settings::Best {
            options = options
                .poll_interval(Duration::from_millis(5))
                .complete_job_batch_delay(Duration::from_millis(1));
            if self.aim == Aim::Throughput {
                let (size, queues) = if at_once == 1 { (2_000, 1) } else { (1_000, 2) };
                options =
                    options.local_queue(LocalQueueConfig::default().with_size(size).with_queue_count(queues));
            }
        }
        let worker = options.define_job::<Payload>().init().await.unwrap();
        Worker { worker: Arc::new(worker), running: None }
    }

    async fn start(&self, worker: &mut Worker) {
        let running = worker.worker.clone();
        worker.running = Some(tokio::spawn(async move { running.run().await.unwrap() }));
    }

    async fn stop(&self, worker: Worker) {
        worker.worker.request_shutdown();
        if let Some(running) = worker.running {
            running.await.unwrap();
        }
    }
}
