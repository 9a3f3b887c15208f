//! How often: what a limiter promises, over each of its stores.

mod abuse;
mod cluster;
mod http;
mod in_process;
mod outage;
mod stores;

use std::time::Duration;

use shared_core::TenantId;
use shared_db::redis::Redis;
use shared_db::{Config, Db, bootstrap};
use shared_devkit::{Postgres, TestDatabase, TestRedis, secrecy};
use shared_security::{
    InProcess, Limiter, MIGRATIONS, Monotonic, OnOutage, PostgresLimits, RedisLimits, Rule,
};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// No server of a test is so slow, unless it is to be.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn limiter(rules: impl IntoIterator<Item = Rule>) -> (Limiter<InProcess>, Monotonic) {
    let clock = Monotonic::manual();
    (Limiter::new(InProcess::with_clock(10_000, clock.clone()), rules).unwrap(), clock)
}

pub(crate) fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(uuid::Uuid::from_u128(number))
}

/// A part of the shared Redis for one test.
pub(crate) struct Shared {
    redis: Redis,
    database: TestRedis,
}

impl Shared {
    pub(crate) async fn new() -> Self {
        secrecy::watch();
        let database = shared_devkit::Redis::shared().await.unwrap().database().await.unwrap();
        let redis = Redis::connect(&shared_db::redis::Config::new(database.url())).await.unwrap();
        Self { redis, database }
    }

    pub(crate) fn store(&self) -> RedisLimits {
        let store = RedisLimits::new(self.redis.clone(), OnOutage::Refuse);
        store.prefix(self.database.prefix()).timeout(PATIENCE)
    }
}

/// A migrated database of one test.
pub(crate) struct Migrated {
    pub(crate) database: TestDatabase,
    pub(crate) db: Db,
}

impl Migrated {
    pub(crate) async fn new() -> Self {
        let database = Postgres::shared().await.unwrap().empty_database().await.unwrap();
        let config = Config::new(database.url());
        bootstrap(&config, &[MIGRATIONS]).await.unwrap();
        Self { db: Db::connect(&config).await.unwrap(), database }
    }

    pub(crate) fn store(&self) -> PostgresLimits {
        PostgresLimits::new(self.db.clone(), OnOutage::Refuse).timeout(PATIENCE)
    }
}
