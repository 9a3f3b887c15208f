//! A store that is gone, slow, or has forgotten everything.

use std::time::Duration;

use shared_db::redis::{Redis, cmd};
use shared_devkit::Proxy;
use shared_security::{By, Key, Limit, Limiter, OnOutage, RedisLimits, Rule};

use super::{HOUR, Migrated, PATIENCE};

const QUICK: Duration = Duration::from_millis(100);

/// Waits for a condition, and not for ever.
pub(crate) async fn until(condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await; // a condition is polled
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the condition never came true");
}

async fn connected(url: &str) -> Redis {
    Redis::connect(&shared_db::redis::Config::new(url)).await.unwrap()
}

fn over(redis: &Redis, on_outage: OnOutage, timeout: Duration) -> Limiter<RedisLimits> {
    let store = RedisLimits::new(redis.clone(), on_outage).timeout(timeout);
    Limiter::new(store, [Rule::new("api", &[By::Item], Limit::per(10, HOUR))]).unwrap()
}

/// ASVS 16.5.3: what happens without an answer was chosen, and does not wait for ever.
#[tokio::test]
async fn without_redis_it_is_as_was_chosen_and_afterwards_as_before() {
    let mut server = shared_devkit::Redis::exclusive().await.unwrap();
    let redis = connected(server.url()).await;
    let (open, closed) = (over(&redis, OnOutage::Allow, QUICK), over(&redis, OnOutage::Refuse, QUICK));
    let key = Key::new().item("one");
    until(async || closed.check(&key, 0).await.allowed()).await;
    server.kill().await.unwrap();
    for _ in 0..20 {
        let (open, closed) = (open.check(&key, 1).await, closed.check(&key, 1).await);
        assert!(open.is_outage() && open.allowed() && open.retry_after().is_none());
        assert!(closed.is_outage() && !closed.allowed());
        assert_eq!(closed.retry_after(), Some(Duration::from_secs(1)));
    }
    server.start().await.unwrap();
    until(async || !closed.check(&key, 0).await.is_outage()).await;
}

#[tokio::test]
async fn a_slow_redis_costs_no_more_than_the_time_out() {
    let server = shared_devkit::Redis::exclusive().await.unwrap();
    let proxy = Proxy::to(server.url()).await.unwrap();
    let redis = connected(&proxy.url(server.url())).await;
    let (impatient, patient) =
        (over(&redis, OnOutage::Refuse, QUICK), over(&redis, OnOutage::Refuse, PATIENCE));
    let key = Key::new().item("one");
    assert!(patient.check(&key, 1).await.allowed());
    proxy.to_client().delay(QUICK * 4);
    let slow = impatient.check(&key, 1).await;
    assert!(slow.is_outage() && !slow.allowed());
    assert!(!patient.check(&key, 1).await.is_outage());
    proxy.heal();
    let after = patient.check(&key, 0).await;
    assert_eq!(after.remaining(), 7, "what was asked for was taken, also where nobody waited for the answer");
    // A denial that is known needs no Redis at all.
    assert!(!patient.check(&key, 8).await.allowed());
    proxy.black_hole();
    let known = patient.check(&key, 8).await;
    assert!(!known.is_outage() && !known.allowed());
}

/// Trap 7: after a failover that has lost everything each key gets one more burst and no more.
#[tokio::test]
async fn a_failover_that_forgets_grants_one_more_burst_at_most() {
    let server = shared_devkit::Redis::exclusive().await.unwrap();
    let redis = connected(server.url()).await;
    let ask = async |limiter: &Limiter<RedisLimits>| {
        let mut admitted = 0;
        for _ in 0..30 {
            admitted += u32::from(limiter.check(&Key::new().item("one"), 1).await.allowed());
        }
        admitted
    };
    let before = over(&redis, OnOutage::Refuse, PATIENCE);
    assert_eq!(ask(&before).await, 10);
    let () = redis.command(&cmd("FLUSHALL")).await.unwrap(); // what the replica had not heard of
    assert_eq!(ask(&before).await, 0, "who has heard of the denial goes on with it for a while");
    assert_eq!(ask(&over(&redis, OnOutage::Refuse, PATIENCE)).await, 10);
    assert_eq!(ask(&over(&redis, OnOutage::Refuse, PATIENCE)).await, 0);
}

#[tokio::test]
async fn without_postgres_it_is_as_was_chosen() {
    let migrated = Migrated::new().await;
    let rules = [Rule::new("api", &[By::Item], Limit::per(10, HOUR))];
    let limiter = Limiter::new(migrated.store(), rules).unwrap();
    assert!(limiter.check(&Key::new().item("one"), 1).await.allowed());
    migrated.db.close(Duration::from_secs(5)).await;
    let closed = limiter.check(&Key::new().item("one"), 1).await;
    assert!(closed.is_outage() && !closed.allowed());
}
