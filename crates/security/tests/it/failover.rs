//! A Redis master dies, and its replica takes over: with what it was sent, and without what it was not.

use std::time::Duration;

use serde_json::json;
use shared_core::Secret;
use shared_db::redis::{Config, Redis, cmd};
use shared_devkit::RedisSentinels;
use shared_security::{By, Key, Limit, Limiter, OnOutage, RedisLimits, Revocation, Revocations, Rule};

use crate::limits::HOUR;
use crate::world::{a_tenant, revocation_config, verified};

const BURST: u64 = 10;
/// So long that nothing refills while a test runs.
const DAY: Duration = HOUR.saturating_mul(24);

/// A master, its replica, and a client that finds them through sentinels.
struct Site {
    set: RedisSentinels,
    redis: Redis,
}

impl Site {
    async fn new() -> Self {
        let set = RedisSentinels::exclusive().await.unwrap();
        let redis = Redis::connect(&through_sentinels(&set)).await.unwrap();
        Self { set, redis }
    }

    /// Returns when the replica has everything that was written.
    async fn replicated(&self) {
        let mut connection = self.redis.get().await.unwrap();
        let patience = Duration::from_secs(20);
        let heard: i64 = connection.wait(cmd("WAIT").arg(1).arg(10_000), patience).await.unwrap();
        assert_eq!(heard, 1);
    }

    /// From now on the replica hears of nothing: it stands still, and its link is cut.
    async fn cut_replica_off(&self) {
        self.set.pause(self.replica().await).await.unwrap();
        let cut: i64 =
            self.redis.command(cmd("CLIENT").arg("KILL").arg("TYPE").arg("replica")).await.unwrap();
        assert_eq!(cut, 1);
    }

    /// The master is gone, and nobody can take over yet.
    async fn kill_master(&self) -> usize {
        let replica = self.replica().await;
        self.set.kill(1 - replica).await.unwrap();
        replica
    }

    async fn promote(&self, replica: usize) {
        self.set.resume(replica).await.unwrap();
        until(async || self.set.master().await.is_ok_and(|master| master == replica)).await;
    }

    async fn replica(&self) -> usize {
        1 - self.set.master().await.unwrap()
    }
}

/// Without the place of any server.
fn through_sentinels(set: &RedisSentinels) -> Config {
    let (login, _) = set.urls()[0].rsplit_once('@').unwrap();
    let mut config = Config::new(format!("{login}@not.looked.at.test"));
    config.sentinels = set.sentinel_urls().iter().map(Secret::new).collect();
    config.command_timeout = Duration::from_secs(2);
    config
}

/// Waits for a condition as long as sentinels may need for a second attempt, and not for ever.
async fn until(condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await; // a condition is polled
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("the condition never came true");
}

fn limiter(redis: &Redis, name: &'static str, limit: Limit) -> Limiter<RedisLimits> {
    let store = RedisLimits::new(redis.clone(), OnOutage::Refuse).timeout(Duration::from_secs(2));
    Limiter::new(store, [Rule::new(name, &[By::Item], limit)]).unwrap()
}

/// Takes so many, each of which is allowed.
async fn take(limiter: &Limiter<RedisLimits>, item: &str, count: u64) {
    for _ in 0..count {
        assert!(limiter.check(&Key::new().item(item), 1).await.allowed());
    }
}

/// How many more are allowed until one is denied.
async fn rest(limiter: &Limiter<RedisLimits>, item: &str) -> u64 {
    for admitted in 0..10 * BURST {
        let decision = limiter.check(&Key::new().item(item), 1).await;
        assert!(!decision.is_outage());
        if !decision.allowed() {
            return admitted;
        }
    }
    panic!("{item} is never denied")
}

/// ASVS 2.4.1, 16.5.3: without a master the choice holds; after it, what the replica has heard of is used, and what it has not is
/// granted once more, and no more than that.
#[tokio::test]
async fn a_failover_grants_one_more_quota_at_most() {
    let site = Site::new().await;
    let limits = [("bucket", Limit::per(BURST, DAY)), ("window", Limit::sliding(BURST as u32, DAY))];
    let limiters = limits.map(|(name, limit)| limiter(&site.redis, name, limit));
    for limiter in &limiters {
        take(limiter, "heard", BURST).await;
        take(limiter, "half", BURST / 2).await;
    }
    site.replicated().await;
    site.cut_replica_off().await;
    for limiter in &limiters {
        take(limiter, "half", BURST / 2).await;
        take(limiter, "lost", BURST).await;
    }

    let replica = site.kill_master().await;
    let other = Key::new().item("another");
    for limiter in &limiters {
        let decision = limiter.check(&other, 1).await;
        assert!(decision.is_outage() && !decision.allowed());
    }
    site.promote(replica).await;
    for limiter in &limiters {
        until(async || !limiter.check(&other, 0).await.is_outage()).await;
        assert_eq!(rest(limiter, "heard").await, 0, "what was replicated is used");
        assert_eq!(rest(limiter, "half").await, BURST / 2);
        assert_eq!(rest(limiter, "lost").await, BURST, "one more quota");
        assert_eq!(rest(limiter, "lost").await, 0);
    }
}

/// ASVS 7.4.1: nobody who has heard of a revocation forgets it. What the failover loses is unknown to those that start later, until
/// it is revoked again.
#[tokio::test]
async fn a_failover_undoes_no_revocation_that_was_read() {
    let site = Site::new().await;
    let start = async || {
        let redis = Redis::connect(&through_sentinels(&site.set)).await.unwrap();
        Revocations::over_redis(redis, revocation_config()).await.unwrap()
    };
    let ((here, _one), (there, _two)) = (start().await, start().await);
    let tenant = a_tenant();
    let token = |name: &str| verified(&tenant, json!({ "jti": name }));
    let revoke = async |name: &str| here.revoke(&tenant, Revocation::Token(name.to_owned())).await;
    revoke("heard").await.unwrap();
    site.replicated().await;
    site.cut_replica_off().await;
    revoke("lost").await.unwrap();
    until(async || there.refuses(&token("lost"))).await;

    let replica = site.kill_master().await;
    revoke("meanwhile").await.unwrap_err();
    assert!(here.refuses(&token("meanwhile")), "here it holds all the same");
    site.promote(replica).await;
    until(async || revoke("meanwhile").await.is_ok()).await;
    until(async || there.refuses(&token("meanwhile")) && !there.is_stale()).await;
    assert!(!there.refuses(&token("another")));

    let (later, _three) = start().await;
    for name in ["heard", "lost"] {
        assert!(here.refuses(&token(name)) && there.refuses(&token(name)), "{name}");
    }
    assert!(later.refuses(&token("heard")) && later.refuses(&token("meanwhile")));
    assert!(!later.refuses(&token("lost")), "the limit that is documented");
    revoke("lost").await.unwrap();
    until(async || later.refuses(&token("lost"))).await;
}

/// A replica whose clock is behind writes entries that lie before those that were lost with its master.
#[tokio::test]
async fn a_revocation_by_a_clock_that_is_behind_is_not_passed_over() {
    const STREAM: &str = "shared_security:revocations";
    let server = shared_devkit::Redis::exclusive().await.unwrap();
    let redis = Redis::connect(&Config::new(server.url())).await.unwrap();
    let (here, _one) = Revocations::over_redis(redis.clone(), revocation_config()).await.unwrap();
    let (there, _two) = Revocations::over_redis(redis.clone(), revocation_config()).await.unwrap();
    let tenant = a_tenant();
    let token = |name: &str| verified(&tenant, json!({ "jti": name }));

    let now: (i64, i64) = redis.command(&cmd("TIME")).await.unwrap();
    let fields = [
        ("tenant", shared_core::InTenant::context(&tenant).tenant().to_string()),
        ("kind", "token".to_owned()),
        ("name", "ahead".to_owned()),
        ("until", String::new()),
        ("expires", (now.0 + 3600).to_string()),
    ];
    let mut add = cmd("XADD");
    add.arg(STREAM).arg(format!("{}-0", (now.0 + 4) * 1000));
    for (name, value) in fields {
        add.arg(name).arg(value);
    }
    let _: String = redis.command(&add).await.unwrap();
    until(async || there.refuses(&token("ahead"))).await;
    // Lost, with the last id that a server knows of.
    let _: i64 = redis.command(cmd("DEL").arg(STREAM)).await.unwrap();
    here.revoke(&tenant, Revocation::Token("behind".to_owned())).await.unwrap();
    until(async || there.refuses(&token("behind"))).await;
    assert!(there.refuses(&token("ahead")));
}
