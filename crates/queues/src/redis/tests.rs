//! What is this backend's own: its scripts one by one, leases of limits over slots, and a cluster. What all backends promise is in the
//! conformance suite.

mod contract;
mod flow;
mod lanes;
mod leases;
mod nodes;
mod steering;

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared_core::TenantId;
use shared_db::redis::{Config, Redis, cmd};
use shared_devkit::{RedisCluster, TestRedis};
use uuid::Uuid;

use super::RedisBackend;
use crate::backend::{Claim, Claimed, Control, Entry, Fate, Retention, Settled, Work};
use crate::limit::LimitKey;
use crate::view::State;
use crate::{Enqueued, JobId, Priority, Unique};

const LONG: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3600);
const KEEPS: Retention = Retention { kept_most: 1000, dead_for: HOUR, dead_most: 1000 };

/// Queues of their own, and a worker.
struct Rig {
    redis: Redis,
    backend: RedisBackend,
    tenant: TenantId,
    worker: Uuid,
    claims: i64,
    _database: Option<TestRedis>,
}

impl Rig {
    async fn new() -> Self {
        let server = shared_devkit::Redis::shared().await.unwrap();
        let database = server.database().await.unwrap();
        let redis = Redis::connect(&Config::new(database.url())).await.unwrap();
        let prefix = database.prefix().to_owned();
        Self { _database: Some(database), ..Self::on(redis, &prefix).await }
    }

    async fn on(redis: Redis, prefix: &str) -> Self {
        let backend = RedisBackend::new(&redis, prefix);
        let mut rig =
            Self { redis, backend, tenant: TenantId::new(), worker: Uuid::nil(), claims: 0, _database: None };
        rig.restart().await;
        rig
    }

    /// Another worker, for the queues `a` and `b`.
    async fn restart(&mut self) {
        self.worker = Uuid::new_v4();
        self.claims = 0;
        self.backend.register(self.worker, &queues(), LONG).await.unwrap();
    }

    fn entry(&self, payload: &str) -> Entry {
        Entry {
            job: JobId::new(),
            tenant: self.tenant,
            queue: "a".into(),
            name: "test:job".into(),
            version: 1,
            payload: payload.to_owned(),
            context: "{}".to_owned(),
            priority: Priority::Normal,
            delay: Duration::ZERO,
            order: None,
            limits: Vec::new(),
            unique: None,
        }
    }

    async fn put(&self, entries: impl IntoIterator<Item = Entry>) -> Vec<JobId> {
        let answers = self.backend.enqueue(entries.into_iter().collect()).await.unwrap();
        assert!(answers.iter().all(|answer| answer.is_inserted()), "{answers:?}");
        answers.into_iter().map(Enqueued::job_id).collect()
    }

    async fn put_named(&self, payloads: &[&str]) -> Vec<JobId> {
        self.put(payloads.iter().map(|payload| self.entry(payload))).await
    }

    async fn claim(&mut self, most: usize) -> Vec<Claimed> {
        self.claim_from("a", most).await
    }

    async fn claim_from(&mut self, queue: &str, most: usize) -> Vec<Claimed> {
        self.claims += 1;
        // Every sixteenth claim is another one; tests say when they want it.
        if self.claims % Claim::LOWEST_FIRST_EVERY == 0 {
            self.claims += 1;
        }
        let claim = Claim { queue, most, worker: self.worker, number: self.claims };
        self.backend.claim(claim).await.unwrap()
    }

    /// Payloads of a claim.
    async fn next(&mut self, most: usize) -> Vec<String> {
        self.claim(most).await.into_iter().map(|job| job.payload).collect()
    }

    /// Settles a job of the last claim; whether the fence held.
    async fn settle(&self, job: JobId, fate: Fate) -> bool {
        self.settle_in("a", self.claims, job, fate).await
    }

    async fn settle_in(&self, queue: &str, claim: i64, job: JobId, fate: Fate) -> bool {
        let refused =
            self.backend.settle(self.worker, queue, &[Settled::new(claim, job, fate)]).await.unwrap();
        refused.is_empty()
    }

    async fn state(&self, job: JobId) -> Option<State> {
        self.backend.job(job).await.unwrap().map(|view| view.state)
    }

    /// As if the worker had been silent for too long.
    async fn let_lease_end(&self) {
        for queue in ["a", "b"] {
            let workers = format!("{}:workers", self.backend.keys.queue(queue));
            let silent =
                cmd("ZADD").arg(workers).arg("XX").arg(1).arg(self.worker.as_bytes().as_slice()).to_owned();
            let _: i64 = self.redis.command(&silent).await.unwrap();
        }
    }
}

async fn connect(cluster: &RedisCluster) -> Redis {
    let urls = cluster.urls().iter().map(|url| shared_core::Secret::new(url.clone())).collect();
    let config = Config { urls, cluster: true, ..Config::new(cluster.urls()[0].clone()) };
    Redis::connect(&config).await.unwrap()
}

fn queues() -> Vec<Arc<str>> {
    vec!["a".into(), "b".into()]
}

const fn done() -> Fate {
    Fate::Completed { result: None, keep: Duration::ZERO }
}

fn retry(after: Duration) -> Fate {
    Fate::Retry { after, error: "not today".to_owned() }
}
