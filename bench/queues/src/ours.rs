//! Ours, on either backend.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::{AssumedTenant, Failure, TenantId};
use shared_db::{Db, bootstrap};
use shared_queues::{Config, Job, Jobs, Limit, LimitKey, MIGRATIONS, NewJob, Producer, Queues};
use tokio_postgres::Client;
use validator::Validate;

use crate::drive::{Aim, Queue, Settings};
use crate::payload::Payload;
use crate::seen;
use crate::servers::session;

/// The payload as a job of ours.
#[derive(Serialize, Deserialize, Validate, Job)]
#[job(name = "bench:nothing")]
pub(crate) struct Nothing {
    pub(crate) at: u64,
    pub(crate) text: String,
}

impl From<Payload> for Nothing {
    fn from(Payload { at, text }: Payload) -> Self {
        Self { at, text }
    }
}

async fn nothing(job: Nothing) -> Result<(), Failure> {
    seen::job(job.at);
    Ok(())
}

pub(crate) struct Ours {
    queues: Queues,
    store: Store,
    settings: Settings,
    producers: Vec<Producer>,
}

/// What empties the queues between two rounds.
pub(crate) enum Store {
    Postgres(Client),
    Redis(redis::aio::MultiplexedConnection),
}

impl Store {
    /// Jobs that a worker holds; 0 where all are counted as quickly.
    async fn running(&self) -> u64 {
        match self {
            Self::Postgres(client) => {
                let held = "select coalesce(sum(cardinality(ids)), 0)::bigint from shared_queues.lease";
                client.query_one(held, &[]).await.unwrap().get::<_, i64>(0).unsigned_abs()
            }
            Self::Redis(_) => 0,
        }
    }

    pub(crate) async fn empty(&self) {
        match self {
            Self::Postgres(client) => client.batch_execute(EMPTY).await.unwrap(),
            Self::Redis(connection) => {
                let _: () =
                    redis::Script::new(EMPTY_REDIS).invoke_async(&mut connection.clone()).await.unwrap();
            }
        }
    }
}

/// Tenants that take turns.
const TENANTS: usize = 100;
/// Keys that are limited, each by itself.
const KEYS: u64 = 1_000;
const LIMIT: &str = "bench";

/// Everything that belongs to a job. What is set, and who works, stays; and the list of applied migrations, which is a table too.
const EMPTY: &str = "
    truncate shared_queues.body, shared_queues.ready, shared_queues.scheduled, shared_queues.progress, shared_queues.lease,
        shared_queues.cancelling, shared_queues.dead, shared_queues.finished, shared_queues.waiting, shared_queues.news,
        shared_queues.lane, shared_queues.completed, shared_queues.limit_use, shared_queues.mark";

/// The same in Redis. The list of queues stays, and with it what each queue knows of limits: a process writes both once, and `left`
/// counts by that list.
const EMPTY_REDIS: &str = "
    for _, key in ipairs(redis.call('KEYS', '{queues:*')) do
        if not string.find(key, ':rules$') then redis.call('DEL', key) end
    end";

/// The queues at this address, with so many connections to a database.
pub(crate) async fn open(url: &str, pool_size: Option<u32>) -> (Queues, Store) {
    if url.starts_with("redis") {
        let redis = shared_db::redis::Redis::connect(&shared_db::redis::Config::new(url)).await.unwrap();
        let client = redis::Client::open(url).unwrap();
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        return (Queues::redis(&redis), Store::Redis(connection));
    }
    let mut config = shared_db::Config::new(url);
    bootstrap(&config, &[MIGRATIONS]).await.unwrap();
    config.pool_size = pool_size.unwrap_or(config.pool_size);
    let db = Db::connect(&config).await.unwrap();
    (Queues::postgres(&db), Store::Postgres(session(url).await))
}

impl Ours {
    /// The limits are never reached: what they cost is what is asked.
    async fn limit(&self) {
        if self.is_limited() {
            let limit = Limit::rate(100_000, Duration::from_secs(1)).and_concurrency(8);
            self.queues.set_limit(LIMIT, None, Some(limit)).await.unwrap();
        }
    }

    fn is_limited(&self) -> bool {
        matches!(self.settings, Settings::Limited | Settings::FairAndLimited)
    }

    fn job(&self, payload: Payload) -> NewJob<Nothing> {
        let key = payload.at % KEYS;
        let job = NewJob::of(Nothing::from(payload));
        if self.is_limited() { job.limit(LimitKey::by(LIMIT, key.to_string())) } else { job }
    }
}

impl Queue for Ours {
    type Worker = (Config, Option<shared_queues::Worker>);

    async fn open(url: &str, settings: Settings, _: Aim) -> Self {
        let (queues, store) = open(url, (settings != Settings::Defaults).then_some(16)).await;
        let fair = matches!(settings, Settings::Fair | Settings::FairAndLimited);
        let producers = (0..if fair { TENANTS } else { 1 })
            .map(|_| queues.tenant(&AssumedTenant::new(TenantId::new(), "a benchmark has no token")));
        Self { producers: producers.collect(), queues, store, settings }
    }

    async fn enqueue(&self, job: Payload) {
        let producer = &self.producers[job.at as usize % self.producers.len()];
        producer.enqueue(self.job(job)).await.unwrap();
    }

    async fn enqueue_many(&self, jobs: Vec<Payload>) {
        let share = jobs.len().div_ceil(self.producers.len());
        let mut jobs = jobs.into_iter().map(|job| self.job(job));
        for producer in &self.producers {
            producer.enqueue_all(jobs.by_ref().take(share)).await.unwrap();
        }
    }

    /// Those that run are counted first: soon done, and nobody is left then.
    async fn left(&self) -> u64 {
        let running = self.store.running().await;
        if running > 0 {
            return running;
        }
        let backlog = self.queues.backlog().await.unwrap();
        backlog.ready + backlog.waiting + backlog.scheduled + backlog.running + backlog.dead
    }

    async fn clear(&self) {
        self.store.empty().await;
        self.limit().await;
    }

    async fn worker(&self, at_once: usize) -> Self::Worker {
        let mut config = Config { concurrency: u32::try_from(at_once).unwrap(), ..Config::default() };
        if self.settings != Settings::Defaults {
            config.batch = 100;
        }
        (config, None)
    }

    async fn start(&self, (config, running): &mut Self::Worker) {
        let jobs = Jobs::new().handle(nothing);
        *running = Some(shared_queues::Worker::start(&self.queues, (), jobs, config.clone()).await.unwrap());
    }

    async fn stop(&self, (_, running): Self::Worker) {
        if let Some(worker) = running {
            worker.stop(Duration::from_secs(5)).await;
        }
    }
}
