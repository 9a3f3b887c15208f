//! The stores that processes share: the same answers as in process, by the server's time, in one round trip.

use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use shared_db::redis::{Redis, cmd};
use shared_devkit::Proxy;
use shared_security::{
    By, Key, Limit, LimitStore, Limiter, Monotonic, OnOutage, PostgresLimits, RedisLimits, Rule, Whose,
};

use super::{HOUR, Migrated, PATIENCE, Shared, limiter, tenant};

/// Nothing drains within a test's time.
const DAYS: Duration = Duration::from_secs(30 * 86_400);

fn rules() -> [Rule; 3] {
    [
        Rule::new("user", &[By::Tenant, By::Principal], Limit::per(20, DAYS)),
        Rule::new("window", &[By::Tenant, By::Principal], Limit::sliding(15, DAYS)),
        Rule::new("tenant", &[By::Tenant], Limit::per(40, DAYS).burst(30)),
    ]
}

/// A store beside the one in process, on the same random requests and changes of limits.
async fn answers_alike<S: LimitStore>(store: S) {
    let theirs = Limiter::new(store, rules()).unwrap();
    let (ours, _) = limiter(rules());
    let step = (0_u128..2, prop::sample::select(vec!["a", "b", "c"]), 0_u64..8, 0_u64..10);
    let steps =
        prop::collection::vec(step, 150).new_tree(&mut TestRunner::deterministic()).unwrap().current();
    for (at, (number, user, cost, change)) in steps.into_iter().enumerate() {
        let key = Key::new().tenant(tenant(number)).principal(user);
        if change == 0 {
            let limit = Limit::per(10 + at as u64, DAYS);
            for error in
                [ours.set("user", &Whose::Everybody, limit), theirs.set("user", &Whose::Everybody, limit)]
            {
                error.unwrap();
            }
        }
        let (ours, theirs) = (ours.check_now(&key, cost), theirs.check(&key, cost).await);
        assert!(!theirs.is_outage());
        assert_eq!(ours.allowed(), theirs.allowed(), "step {at}: {ours:?} {theirs:?}");
        for theirs in theirs.standings().filter(|_| ours.allowed()) {
            let ours = ours.standings().find(|ours| ours.name() == theirs.name()).unwrap();
            assert_eq!(ours.remaining(), theirs.remaining(), "step {at}: {}", ours.name());
        }
    }
}

#[tokio::test]
async fn redis_answers_as_the_store_in_process_does() {
    answers_alike(Shared::new().await.store()).await;
}

#[tokio::test]
async fn postgres_answers_as_the_store_in_process_does() {
    answers_alike(Migrated::new().await.store()).await;
}

/// Four nodes, each with a limiter of its own, whose local clocks are half a second and more apart.
async fn nodes_share<S: LimitStore>(store: impl Fn() -> S, limit: Limit, at_once: u64) {
    let node = |skew: u64| {
        let clock = Monotonic::manual();
        clock.advance(Duration::from_millis(500 * skew));
        Limiter::with_clock(store(), [Rule::new("api", &[By::Item], limit)], clock).unwrap()
    };
    let nodes: Vec<_> = (0..4).map(node).collect();
    let asking = nodes.into_iter().map(|node| {
        tokio::spawn(async move {
            let mut admitted = 0;
            for _ in 0..100 {
                admitted += u64::from(node.check(&Key::new().item("one"), 1).await.allowed());
            }
            admitted
        })
    });
    let mut admitted = 0;
    for node in asking.collect::<Vec<_>>() {
        admitted += node.await.unwrap();
    }
    assert_eq!(admitted, at_once);
}

/// Trap 5.
#[tokio::test]
async fn nodes_admit_together_what_one_would() {
    let shared = Shared::new().await;
    nodes_share(|| shared.store(), Limit::per(150, DAYS), 150).await;
    shared.forget().await;
    nodes_share(|| shared.store(), Limit::sliding(150, DAYS), 150).await;
    let migrated = Migrated::new().await;
    nodes_share(|| migrated.store(), Limit::per(150, DAYS), 150).await;
}

/// The bucket that refills while they ask: never more than the burst and the rate, by the server's own time.
#[tokio::test]
async fn over_some_time_nodes_admit_the_burst_and_the_rate_by_the_servers_clock() {
    let shared = Shared::new().await;
    let limit = Limit::per_second(200).burst(50);
    let nodes: Vec<_> = (0..4)
        .map(|_| Limiter::new(shared.store(), [Rule::new("api", &[By::Item], limit)]).unwrap())
        .collect();
    let begin = shared.micros().await;
    let mut admitted = 0;
    for round in 0..1_000 {
        admitted += u64::from(nodes[round % 4].check(&Key::new().item("one"), 1).await.allowed());
    }
    let ideal = 50.0 + (shared.micros().await - begin) as f64 * 200.0 / 1e6;
    assert!(admitted as f64 <= ideal * 1.01, "{admitted} of {ideal}");
    assert!(admitted >= 50, "{admitted}");
}

impl Shared {
    async fn micros(&self) -> u64 {
        let (seconds, micros): (u64, u64) = self.redis.command(&cmd("TIME")).await.unwrap();
        seconds * 1_000_000 + micros
    }

    async fn keys(&self) -> Vec<String> {
        let pattern = format!("{}*", self.database.prefix());
        self.redis.command(cmd("KEYS").arg(pattern)).await.unwrap()
    }

    async fn forget(&self) {
        for key in self.keys().await {
            let () = self.redis.command(cmd("DEL").arg(key)).await.unwrap();
        }
    }
}

/// One trip for three rules, and none for what is known to be denied; an allowance is never remembered.
#[tokio::test]
async fn a_decision_is_one_round_trip_and_a_known_denial_none() {
    let server = shared_devkit::Redis::exclusive().await.unwrap();
    let proxy = Proxy::to(server.url()).await.unwrap();
    let redis = Redis::connect(&shared_db::redis::Config::new(proxy.url(server.url()))).await.unwrap();
    let store = RedisLimits::new(redis, OnOutage::Refuse).timeout(PATIENCE);
    let limiter = Limiter::new(store, rules()).unwrap();
    let key = Key::new().tenant(tenant(1)).principal("a");
    assert!(limiter.check(&key, 1).await.allowed()); // the script becomes known
    let trips = async |times: u64, cost: u64, allowed: bool| {
        let asked = async {
            for _ in 0..times {
                assert_eq!(limiter.check(&key, cost).await.allowed(), allowed);
            }
        };
        proxy.round_trips(asked).await
    };
    assert_eq!(trips(4, 1, true).await, 4);
    assert_eq!(trips(1, 11, false).await, 1);
    assert_eq!(trips(500, 11, false).await, 0);
    // Trap 8: less is another question, and has another answer.
    assert_eq!(trips(1, 9, true).await, 1);
    assert_eq!(trips(300, u64::MAX, false).await, 0, "what never fits is not asked");
    // A change forgets what was known.
    limiter.set("window", &Whose::Everybody, Limit::sliding(60, DAYS)).unwrap();
    assert_eq!(trips(1, 11, false).await, 1, "the other rule has 6 left");
}

#[tokio::test]
async fn in_postgres_a_decision_is_one_round_trip_and_a_known_denial_none() {
    let migrated = Migrated::new().await;
    let proxy = Proxy::to(migrated.database.url()).await.unwrap();
    let db =
        shared_db::Db::connect(&shared_db::Config::new(proxy.url(migrated.database.url()))).await.unwrap();
    let limiter = Limiter::new(PostgresLimits::new(db, OnOutage::Refuse).timeout(PATIENCE), rules()).unwrap();
    let key = Key::new().tenant(tenant(1)).principal("a");
    assert!(limiter.check(&key, 1).await.allowed()); // the statement is prepared
    let asked = async {
        assert!(limiter.check(&key, 14).await.allowed());
    };
    assert_eq!(proxy.round_trips(asked).await, 1);
    let asked = async {
        for _ in 0..100 {
            assert!(!limiter.check(&key, 1).await.allowed());
        }
    };
    assert_eq!(proxy.round_trips(asked).await, 1, "99 of 100 denials are known");
}

/// Trap 6, and what a key shows: no counter stays for ever, no name of a principal is stored.
#[tokio::test]
async fn what_redis_keeps_expires_and_shows_no_name() {
    let shared = Shared::new().await;
    let limiter = Limiter::new(shared.store(), rules()).unwrap();
    let long = "secret\r\n{}:".repeat(10_000);
    for principal in ["secret", "{secret}", &long] {
        assert!(limiter.check(&Key::new().tenant(tenant(1)).principal(principal), 1).await.allowed());
    }
    let keys = shared.keys().await;
    assert_eq!(keys.len(), 7);
    let tags: std::collections::HashSet<_> = keys.iter().map(|key| key.split(['{', '}']).nth(1)).collect();
    assert_eq!(tags.len(), 1, "all of a tenant lie in one slot: {keys:?}");
    for key in keys {
        assert!(!key.contains("secret") && key.len() <= shared.database.prefix().len() + 89, "{key}");
        let ttl: i64 = shared.redis.command(cmd("PTTL").arg(key)).await.unwrap();
        assert!(ttl > 0 && ttl <= 2 * DAYS.as_millis() as i64 + 1, "{ttl}");
    }
}

/// Trap 13, and the bound on what is left behind in Postgres.
#[tokio::test]
async fn rates_below_a_second_refill_and_what_is_over_is_swept() {
    let (shared, migrated) = (Shared::new().await, Migrated::new().await);
    let limit = Limit::per(1, Duration::from_millis(20)).burst(2);
    let rules = || [Rule::new("api", &[By::Item], limit)];
    let (redis, postgres) =
        (Limiter::new(shared.store(), rules()).unwrap(), Limiter::new(migrated.store(), rules()).unwrap());
    for _ in 0..20 {
        let (in_redis, in_postgres) =
            (redis.check(&Key::new().item("one"), 2).await, postgres.check(&Key::new().item("one"), 2).await);
        for wait in [in_redis.retry_after(), in_postgres.retry_after()] {
            assert!(wait.is_none_or(|wait| wait <= Duration::from_millis(40)), "{wait:?}");
        }
    }
    super::outage::until(async || redis.check(&Key::new().item("one"), 2).await.allowed()).await;
    super::outage::until(async || postgres.check(&Key::new().item("one"), 2).await.allowed()).await;
    let client = migrated.superuser().await;
    for number in 0..100 {
        let _ = postgres.check(&Key::new().item(&number.to_string()), 1).await;
    }
    super::outage::until(async || {
        let _ = postgres.check(&Key::new().item("sweeper"), 1).await;
        let rows = client.query_one("select count(*) from shared_security.limit_used", &[]).await.unwrap();
        rows.get::<_, i64>(0) < 50
    })
    .await;
}

impl Migrated {
    pub(crate) async fn superuser(&self) -> tokio_postgres::Client {
        let (client, connection) =
            tokio_postgres::connect(self.database.url(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

/// The server's clock is set back by a day: what was kept lies in the future. Nothing is given for it, and nobody waits a day.
#[tokio::test]
async fn a_clock_that_was_set_back_gives_nothing_and_locks_nobody_out() {
    let shared = Shared::new().await;
    let limit = Limit::per_second(50).burst(5);
    let limiter = Limiter::new(shared.store(), [Rule::new("api", &[By::Item], limit)]).unwrap();
    let key = Key::new().item("one");
    assert!(limiter.check(&key, 5).await.allowed());
    let name = shared.keys().await.remove(0);
    let future = shared.micros().await + 86_400_000_000;
    let kept = format!("b {future} 100000000 20000000");
    let () = shared.redis.command(cmd("SET").arg(&name).arg(kept).arg("PX").arg(86_400_000)).await.unwrap();
    assert!(!limiter.check(&key, 5).await.allowed());
    super::outage::until(async || limiter.check(&key, 5).await.allowed()).await;

    let migrated = Migrated::new().await;
    let limiter = Limiter::new(migrated.store(), [Rule::new("api", &[By::Item], limit)]).unwrap();
    assert!(limiter.check(&key, 5).await.allowed());
    let ahead = "update shared_security.limit_used set at = at + 86400000000, x = 100000000";
    assert_eq!(migrated.superuser().await.execute(ahead, &[]).await.unwrap(), 1);
    assert!(!limiter.check(&key, 5).await.allowed());
    super::outage::until(async || limiter.check(&key, 5).await.allowed()).await;
}

/// Many callers with keys in common, in all orders: none waits for another in a circle, and the sum is exact.
#[tokio::test]
async fn callers_with_keys_in_common_do_not_block_each_other() {
    let migrated = Migrated::new().await;
    let rules = [
        Rule::new("route", &[By::Route], Limit::per(60, HOUR)),
        Rule::new("user", &[By::Principal], Limit::per(1_000, HOUR)),
        Rule::new("item", &[By::Item], Limit::sliding(1_000, HOUR)),
    ];
    let limiter = Limiter::new(migrated.store(), rules).unwrap();
    let asking = (0..80_usize).map(|at| {
        let limiter = limiter.clone();
        tokio::spawn(async move {
            let names = ["a", "b", "c"];
            let key = Key::new().route("/").principal(names[at % 3]).item(names[at / 3 % 3]);
            let decision = limiter.check(&key, 1).await;
            assert!(!decision.is_outage());
            decision.allowed()
        })
    });
    let mut admitted = 0;
    for one in asking.collect::<Vec<_>>() {
        admitted += usize::from(one.await.unwrap());
    }
    assert!((60..=61).contains(&admitted), "{admitted}");
}
