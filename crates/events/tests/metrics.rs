//! What is counted of events. A binary of its own, since the meter provider is one for the whole process.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[allow(dead_code, reason = "of the other tests")]
#[path = "it/support.rs"]
mod support;

#[allow(dead_code, reason = "of the other tests")]
#[path = "it/memory.rs"]
mod memory;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use shared_core::{Failure, fault};
use shared_db::TenantTx;
use shared_events::bus::{Buffer, Bus};
use shared_events::sink::PostgresLog;
use shared_events::{Config, Error, Events, Publish as _, Received, Relay, Subscriptions};
use tokio::sync::Semaphore;

use memory::InMemory;
use support::{Raised, World, quick, raise, raised, see, until};

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
    let config = Config { attempts: 3, lease: Duration::from_secs(2), ..quick() };
    Relay::start(world.db.clone(), (), Events::new().handle("moody", moody), config).await.unwrap()
}

/// One after the other: they share the counters.
#[tokio::test]
async fn what_becomes_of_events_is_counted() {
    LazyLock::force(&REGISTRY);
    at_consumers().await;
    at_a_sink().await;
    what_a_sink_refuses().await;
    what_is_taken_out_of_the_log().await;
    when_lanes_are_lost().await;
    of_times_and_days().await;
    on_the_bus().await;
    #[cfg(feature = "redis")]
    at_a_broker().await;
}

async fn of_times_and_days() {
    let world = World::new().await;
    let later = async |tx: &mut TenantTx| tx.publish_in(raised("a", 1), Duration::from_secs(3600)).await;
    world.db.tenant(&world.tenant).tx(later).await.unwrap();
    assert_eq!(count("delayed"), 1.0);
    // As if nobody had made days for long.
    let superuser = world.superuser().await;
    let days = "select day::text from shared_events.days()";
    for day in superuser.query(days, &[]).await.unwrap() {
        let day = day.get::<_, String>(0).replace('-', "");
        superuser.batch_execute(&format!("drop table shared_events.log_{day}")).await.unwrap();
    }
    world.raise("a").await;
    let relay = start(&world).await;
    until(async || count("stray") == 1.0).await;
    relay.stop().await;
}

async fn troubled(raised: Received<Raised>) -> Result<(), Failure> {
    match raised.n {
        1 => Ok(()),
        2 => Err(Failure::new("in vain")),
        _ => panic!("as the test wants it"),
    }
}

async fn on_the_bus() {
    let (bus, tenant) = (Bus::new(), support::a_tenant());
    let _latest = bus.subscribe::<Raised>("latest", Buffer::drop_oldest(1)).unwrap();
    let _strict = bus.subscribe::<Raised>("strict", Buffer::close(1)).unwrap();
    bus.handle("troubled", Buffer::wait(10), (), troubled).unwrap();
    for n in 1..=3 {
        bus.publish(&tenant, raised("a", n)).await.unwrap();
    }
    bus.stop().await;
    let of = |name: &str, subscriber: &str| of(&format!("events_bus_{name}_total"), subscriber);
    assert_eq!((of("delivered", "latest"), of("dropped", "latest")), (3.0, 2.0));
    assert_eq!((of("delivered", "strict"), of("closed", "strict")), (1.0, 1.0));
    assert_eq!(of("delivered", "troubled"), 3.0);
    assert_eq!((of("failed", "troubled"), of("panics", "troubled")), (2.0, 1.0), "a panic is no success");
}

/// What is no event, and what a broker has lost of what was read.
#[cfg(feature = "redis")]
async fn at_a_broker() {
    use shared_db::redis::{Config as RedisConfig, Redis, cmd};
    use shared_events::sink::RedisStreams;
    use shared_events::{Intake, Lane};

    let database = shared_devkit::Redis::shared().await.unwrap().database().await.unwrap();
    let redis = Redis::connect(&RedisConfig::new(database.url())).await.unwrap();
    let (here, there, streams) = (World::new().await, World::new().await, RedisStreams::new(&redis));
    let config = Config { subscription: "to redis".to_owned(), ..quick() };
    let relay = Relay::to(here.db.clone(), Arc::new(streams.clone()), config).await.unwrap();
    let intake = async || {
        let events = Events::new().handle("moody", moody);
        Intake::start(there.db.clone(), (), events, streams.clone(), quick()).await.unwrap()
    };
    let own = here.lane("good").await;
    let other = Lane::all().find(|lane| *lane != own).map(|lane| streams.key(lane)).unwrap();
    let _: String = redis.command(cmd("XADD").arg(other).arg("1-1").arg("data").arg("{}")).await.unwrap();
    here.raise("good").await;
    let reading = intake().await;
    until(async || count("foreign") == 1.0).await;
    until(async || support::seen(&there.db, &here.tenant, "see", "good").await == [1]).await;
    // A reader that stops before it has written down how far it came begins anew, and misses nothing.
    let (looking, marks) = (there.superuser().await, "select count(mark) from shared_events.intake");
    until(async || looking.query_one(marks, &[]).await.unwrap().get::<_, i64>(0) == 1).await;
    reading.stop().await;
    // What was read is gone, and something has come behind it.
    let _: u64 = redis.command(cmd("XTRIM").arg(streams.key(own)).arg("MAXLEN").arg(0)).await.unwrap();
    here.raise("good").await;
    here.settled().await;
    let reading = intake().await;
    until(async || count("missed") == 1.0).await;
    reading.stop().await;
    relay.stop().await;
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
    assert!(of("events_lag_seconds_count", label) >= 3.0);
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
    // It is not asked meanwhile.
    let (lease, rewind) = (Duration::from_secs(60), Duration::from_secs(60));
    let config = Config { subscription: "to there".to_owned(), lease, rewind, ..quick() };
    let relay = Relay::to(here.db.clone(), log, config).await.unwrap();
    let looking = there.superuser().await;
    let arrived = async |events: i64| {
        let all = "select count(*) from shared_events.log";
        until(async || looking.query_one(all, &[]).await.unwrap().get::<_, i64>(0) == events).await;
    };
    here.raise("lost").await;
    here.raise("lost").await;
    arrived(2).await;
    // It knows nothing of what it had, and says so when the next event comes.
    looking.batch_execute("delete from shared_events.received").await.unwrap();
    here.raise("lost").await;
    arrived(5).await;
    assert_eq!(count("rewound"), 2.0);
    assert!(count("fenced") >= 1.0, "the sink was not as it had been left");
    assert!(of("events_lag_seconds_count", "subscription=\"to there\"") >= 5.0);
    relay.stop().await;
}

/// It is put aside for no consumer.
async fn what_a_sink_refuses() {
    let (world, sink) = (World::new().await, InMemory::default());
    sink.with(|memory| memory.refused.insert("bad".to_owned()));
    let (parked, delivered) = (count("parked"), count("delivered"));
    let relay = memory::start(&world, &sink).await;
    for key in ["bad", "good", "bad"] {
        world.raise(key).await;
    }
    world.settled().await;
    assert_eq!((count("parked"), count("delivered")), (parked + 2.0, delivered + 1.0));
    assert_eq!(of("events_parked_total", "consumer"), parked, "with no consumer's name");
    relay.stop().await;
}

/// Shut, until it is closed.
static GATE: Semaphore = Semaphore::const_new(0);

async fn gated(tx: &mut TenantTx, raised: Received<Raised>) -> Result<(), Failure> {
    let _ = GATE.acquire().await;
    see(tx, raised).await
}

/// When a relay knows them by their places alone.
async fn what_is_taken_out_of_the_log() {
    static PAGES: AtomicUsize = AtomicUsize::new(0);
    fault::install(|point| {
        PAGES.fetch_add(usize::from(point == "events.relay.read"), Ordering::SeqCst);
    });
    let world = World::new().await;
    let raising = async |tx: &mut TenantTx| -> Result<(), Error> {
        for _ in 0..50 {
            raise(tx, "gone").await?;
        }
        Ok(())
    };
    world.db.tenant(&world.tenant).tx(raising).await.unwrap();
    // More than a page, which is one event for each lane: two are in memory, and of the others their places.
    let config = Config { page: 40, lease: Duration::from_secs(10), ..quick() };
    let events = Events::new().handle("gated", gated);
    let relay = Relay::start(world.db.clone(), (), events, config).await.unwrap();
    until(async || PAGES.load(Ordering::SeqCst) == 50).await;
    let take_out = "begin; alter table shared_events.log disable trigger append_only;
        delete from shared_events.log where (payload ->> 'n')::int4 > 40;
        alter table shared_events.log enable trigger append_only; commit";
    world.superuser().await.batch_execute(take_out).await.unwrap();
    GATE.close();
    world.settled().await;
    assert_eq!(world.seen("see", "gone").await, Vec::from_iter(1..=40));
    assert_eq!(count("gone"), 10.0);
    relay.stop().await;
}

async fn when_lanes_are_lost() {
    let world = World::new().await;
    let relay = start(&world).await;
    let (looking, owned) = (world.superuser().await, "select count(owner) from shared_events.cursor");
    until(async || looking.query_one(owned, &[]).await.unwrap().get::<_, i64>(0) == 16).await;
    let fenced = count("fenced");
    let taken =
        "update shared_events.cursor set epoch = epoch + 1, owner = gen_random_uuid(), expires = 'infinity'";
    looking.batch_execute(taken).await.unwrap();
    until(async || count("fenced") == fenced + 16.0).await;
    relay.stop().await;
}
