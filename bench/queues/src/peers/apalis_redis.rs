//! apalis-redis.

use std::time::Duration;

use ::apalis::layers::WorkerBuilderExt;
use ::apalis::prelude::{BackendExt, ParallelizeExt, TaskSink, WorkerBuilder};
use ::apalis_redis::{Config, RedisStorage, connect};
use redis::Script;
use redis::aio::ConnectionManager;

use super::apalis::{Worker, handle, name};
use crate::drive::{Aim, Queue, Settings};
use crate::payload::Payload;

pub(super) struct ApalisRedis {
    connection: ConnectionManager,
    config: Config,
    poll: Duration,
}

/// Makes a thousand scheduled jobs ready, as its own script does with all at once, which fails for more than some thousands.
const PROMOTE: &str = "
    local ids = redis.call('zrangebyscore', KEYS[1], 0, ARGV[1], 'limit', 0, 1000)
    if #ids > 0 then
        redis.call('rpush', KEYS[2], unpack(ids))
        redis.call('zrem', KEYS[1], unpack(ids))
    end
    return #ids";

impl ApalisRedis {
    fn storage(&self) -> RedisStorage<Payload> {
        RedisStorage::new(self.connection.clone()).with_config(self.config.clone())
    }
}

impl Queue for ApalisRedis {
    type Worker = Worker;

    async fn open(url: &str, settings: Settings, _: Aim) -> Self {
        let connection = connect(url).await.unwrap();
        let config = Config::default().queue("bench");
        let (config, poll) = match settings {
            Settings::Defaults => (config, 100),
            _ => (config.batch_size(500).lock_tasks(false).emit_events(false), 10),
        };
        Self { connection, config, poll: Duration::from_millis(poll) }
    }

    async fn enqueue(&self, job: Payload) {
        self.storage().push(job).await.unwrap();
    }

    async fn enqueue_many(&self, jobs: Vec<Payload>) {
        self.storage().push_bulk(jobs).await.unwrap();
    }

    async fn left(&self) -> u64 {
        let mut connection = self.connection.clone();
        let (all, done): (u64, u64) = redis::pipe()
            .hlen(self.config.job_data_hash())
            .scard(self.config.done_jobs_set())
            .query_async(&mut connection)
            .await
            .unwrap();
        all - done
    }

    async fn clear(&self) {
        redis::cmd("FLUSHDB").exec_async(&mut self.connection.clone()).await.unwrap();
    }

    async fn help(&self) {
        let promote = Script::new(PROMOTE);
        let mut connection = self.connection.clone();
        let due = u64::MAX;
        loop {
            let mut promote = promote.key(self.config.scheduled_jobs_set());
            let call = promote.key(self.config.active_jobs_list()).arg(due);
            if call.invoke_async::<u64>(&mut connection).await.unwrap() == 0 {
                return;
            }
        }
    }

    async fn worker(&self, at_once: usize) -> Worker {
        let storage = self.storage().poll_with_interval(self.poll);
        let builder =
            WorkerBuilder::new(name()).backend(storage).concurrency(at_once).parallelize(tokio::spawn);
        let worker = builder.build(handle);
        Worker::new(|stopped| async move { worker.run_until(stopped.signal()).await.unwrap() })
    }

    async fn start(&self, worker: &mut Worker) {
        worker.start();
    }

    async fn stop(&self, worker: Worker) {
        worker.stop().await;
    }
}
