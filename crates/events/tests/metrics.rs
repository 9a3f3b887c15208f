//! What is counted of events. A binary of its own, since the meter provider is one for the whole process.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[allow(dead_code, reason = "of the other tests")]
#[path = "it/support.rs"]
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use shared_core::Failure;
use shared_db::TenantTx;
use shared_events::sink::PostgresLog;
use shared_events::{Config, Events, Received, Relay, Subscriptions};

use support::{Raised, World, quick, see, until};

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let registry = Registry::new();
    let reader =
        opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false);
    let provider = SdkMeterProvider::builder().with_reader(reader.build().unwrap()).build();
    opentelemetry::global::set_meter_provider(provider);
    registry
});

/// What the metric stands at, over all that match the labels; zero where there is none.
fn of(name: &str, label: &str) -> f64 {
    let text = TextEncoder::new().encode_to_string(&REGISTRY.gather()).unwrap();
    let is_its = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
    };
    text.lines().filter(is_its).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

fn count(name: &str) -> f64 {
    of(&format!("events_{name}_total"), "")
}

static FAILS: AtomicBool = AtomicBool::new(true);

/// Fails for the key `bad`, for the time being.
async fn moody(tx: &mut TenantTx, raised: Received<Raised>) -> Result<(), Failure> {
    match raised.key == "bad" && FAILS.load(Ordering::SeqCst) {
        true => Err(Failure::new("not in the mood")),
        false => see(tx, raised).await,
    }
}

async fn start(world: &World) -> Relay {
    let config = Config { attempts: 3, ..quick() };
    Relay::start(world.db.clone(), (), Events::new().handle("moody", moody), config).await.unwrap()
}

/// One after the other: they share the counters.
#[tokio::test]
async fn what_becomes_of_events_is_counted() {
    LazyLock::force(&REGISTRY);
    at_consumers().await;
    at_a_sink().await;
}

async fn at_consumers() {
    let world = World::new().await;
    // A subscription that stands still: what waits, and for how long.
    start(&world).await.stop().await;
    let main = Subscriptions::new(&world.db).subscription("main");
    main.pause().await.unwrap();
    for key in ["bad", "good", "bad"] {
        world.raise(key).await;
    }
    assert_eq!(count("published"), 3.0);
    let relay = start(&world).await;
    let label = "subscription=\"main\"";
    until(async || of("events_subscription_waiting", label) == 3.0).await;
    assert!(of("events_subscription_oldest_seconds", label) > 0.0);

    // One fails for good, and one waits behind it.
    main.resume().await.unwrap();
    let status = async || main.status().await.unwrap().unwrap();
    until(async || status().await.dead == 1 && status().await.waiting == 0).await;
    let consumer = "messaging_consumer_group_name=\"moody\"";
    assert_eq!(of("events_parked_total", consumer), 2.0);
    assert_eq!(of("events_redelivered_total", consumer), 2.0, "three attempts");
    assert_eq!((of("events_effects_total", consumer), count("delivered")), (1.0, 3.0));
    assert!(of("events_lag_seconds_count", "") >= 3.0);
    relay.stop().await;
    let relay = start(&world).await;
    until(async || of("events_subscription_dead", label) == 1.0).await;
    assert_eq!(of("events_subscription_parked", label), 2.0);

    // It works again, and then the log is read once more from its beginning.
    FAILS.store(false, Ordering::SeqCst);
    relay.redrive("moody").await.unwrap();
    until(async || world.seen("see", "bad").await == [1, 2]).await;
    relay.stop().await;
    assert_eq!(
        (count("delivered"), count("deduplicated")),
        (3.0, 0.0),
        "each goes on where the last one was"
    );
    let again = "update shared_events.cursor set tick = 0, pos = 0";
    world.superuser().await.batch_execute(again).await.unwrap();
    let relay = start(&world).await;
    until(async || count("deduplicated") == 3.0).await;
    assert_eq!(of("events_effects_total", consumer), 3.0);
    relay.stop().await;
}

async fn at_a_sink() {
    let (here, there) = (World::new().await, World::new().await);
    let log = Arc::new(PostgresLog::new(&there.db, "here").unwrap());
    let config = Config { subscription: "to there".to_owned(), rewind: Duration::from_secs(60), ..quick() };
    let relay = Relay::to(here.db.clone(), log, config).await.unwrap();
    let looking = there.superuser().await;
    let arrived = async |events: i64| {
        let all = "select count(*) from shared_events.log";
        until(async || looking.query_one(all, &[]).await.unwrap().get::<_, i64>(0) == events).await;
    };
    here.raise("lost").await;
    here.raise("lost").await;
    arrived(2).await;
    // It knows nothing of what it had, and says so when the next event comes, or when it is asked.
    looking.batch_execute("delete from shared_events.received").await.unwrap();
    here.raise("lost").await;
    arrived(5).await;
    assert_eq!(count("rewound"), 2.0);
    assert!(count("fenced") >= 1.0, "the sink was not as it had been left");
    relay.stop().await;
}
