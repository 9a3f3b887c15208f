//! What every backend has to do: one suite, in words of the contract alone. A scenario sees nothing but [`Backend`], so that it can't
//! know how one does it.
//!
//! Each scenario has queues, tenants and limits of its own. Nothing waits for time to pass: what is not to happen yet is an hour away,
//! and what is to happen is due at once and waited for.

mod attempts;
mod bench;
mod claims;
mod control;
mod fences;
mod history;
mod lanes;
mod letters;
mod limits;
mod schedules;
mod unique;
mod ways_out;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
#[cfg(feature = "redis")]
use shared_db::redis::Redis;
use shared_db::{Db, bootstrap, fingerprint};
#[cfg(feature = "redis")]
use shared_devkit::TestRedis;
use shared_devkit::{Postgres, TestDatabase};
use tokio::time::timeout;

use crate::MIGRATIONS;
use crate::backend::Backend;
use crate::memory::Memory;
use crate::postgres::Store;
#[cfg(feature = "redis")]
use crate::redis::RedisBackend;
use bench::Bench;

/// How long a scenario may take. They take some seconds at most.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// One line of the contract.
type Scenario = (&'static str, fn(Bench) -> BoxFuture<'static, ()>);

fn scenarios() -> impl Iterator<Item = Scenario> {
    [
        claims::SCENARIOS,
        fences::SCENARIOS,
        attempts::SCENARIOS,
        unique::SCENARIOS,
        lanes::SCENARIOS,
        limits::SCENARIOS,
        ways_out::SCENARIOS,
        control::SCENARIOS,
        letters::SCENARIOS,
        schedules::SCENARIOS,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// Runs all scenarios, and fails with the names of those that did.
pub(crate) async fn all_hold(backend: Arc<dyn Backend>) {
    let mut failed = Vec::new();
    for (number, (name, scenario)) in scenarios().enumerate() {
        let bench = Bench::new(backend.clone(), number);
        match AssertUnwindSafe(timeout(PATIENCE, scenario(bench))).catch_unwind().await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => failed.push(format!("{name} (waits in vain)")),
            Err(_) => failed.push(name.to_owned()),
        }
    }
    assert!(failed.is_empty(), "{backend:?} fails in {} scenarios: {failed:#?}", failed.len());
}

#[tokio::test(start_paused = true)]
async fn memory_keeps_the_contract() {
    all_hold(Arc::new(Memory::new())).await;
}

/// A migrated database, and what keeps it there.
pub(super) async fn postgres() -> (Db, TestDatabase, Postgres) {
    let server = Postgres::shared().await.unwrap();
    let migrate = async |url: String| bootstrap(&shared_db::Config::new(url), &[MIGRATIONS]).await.map(drop);
    let database =
        server.database(&format!("shared-queues {}", fingerprint(&[MIGRATIONS])), migrate).await.unwrap();
    let db = Db::connect(&shared_db::Config::new(database.url())).await.unwrap();
    (db, database, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_contract() {
    let (db, ..) = &postgres().await;
    all_hold(Arc::new(Store::new(db))).await;
}

/// A part of a server.
#[cfg(feature = "redis")]
pub(super) async fn redis() -> (Redis, TestRedis) {
    let part = shared_devkit::Redis::shared().await.unwrap().database().await.unwrap();
    (Redis::connect(&shared_db::redis::Config::new(part.url())).await.unwrap(), part)
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_the_contract() {
    let (redis, part) = redis().await;
    all_hold(Arc::new(RedisBackend::new(&redis, part.prefix()))).await;
}
