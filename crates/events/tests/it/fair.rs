//! One tenant floods the consumers; the others go on. Handlers of the flood wait at a gate, so that nothing hangs on how long they take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::{AssumedTenant, Context, Failure};
use shared_db::TenantTx;
use shared_events::{
    Config, Error, Event, Events, FromDelivery, Publish as _, Received, Relay, Subscriptions,
};
use tokio::sync::Semaphore;

use crate::support::{Raised, World, a_tenant, quick, raised, see, see_as, seen, until};

const FLOODED: &str = "flood";
const HELD: &str = "held";

/// Lets events of the flood pass, one for each permit, and counts those that came and those that passed. One that is held waits until all may pass.
#[derive(Clone)]
struct Gate {
    permits: Arc<Semaphore>,
    came: Arc<AtomicUsize>,
    passed: Arc<AtomicUsize>,
    opened: Arc<Semaphore>,
    held: Arc<AtomicUsize>,
}

impl FromDelivery<Gate> for Gate {
    fn from_delivery(_: &Context, state: &Gate) -> Self {
        state.clone()
    }
}

impl Gate {
    fn closed() -> Self {
        let [permits, opened] = [0, 0].map(|permits| Arc::new(Semaphore::new(permits)));
        Self { permits, came: Arc::default(), passed: Arc::default(), opened, held: Arc::default() }
    }

    fn passed(&self) -> usize {
        self.passed.load(Ordering::SeqCst)
    }
}

async fn pass(tx: &mut TenantTx, raised: Received<Raised>, gate: Gate) -> Result<(), Failure> {
    if raised.key.starts_with(FLOODED) {
        gate.came.fetch_add(1, Ordering::SeqCst);
        // When it is opened for good it is closed to those who ask.
        if let Ok(permit) = gate.permits.acquire().await {
            permit.forget();
        }
        gate.passed.fetch_add(1, Ordering::SeqCst);
    }
    if raised.key.starts_with(HELD) {
        gate.held.fetch_add(1, Ordering::SeqCst);
        let _ = gate.opened.acquire().await;
    }
    see(tx, raised).await
}

/// As [`Raised`], with a payload of some size.
#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "fair.large", version = 1, key = "key")]
struct Large {
    key: String,
    n: i64,
    text: String,
}

async fn pass_large(tx: &mut TenantTx, large: Received<Large>, gate: Gate) -> Result<(), Failure> {
    if large.key.starts_with(FLOODED)
        && let Ok(permit) = gate.permits.acquire().await
    {
        permit.forget();
    }
    see_as("see", tx, &raised(&large.key, large.n)).await
}

/// Beats often enough to look by, and so long a lease that no handler is dropped on a busy machine, nor takes too long while it waits at the gate.
fn patient() -> Config {
    Config { lease: Duration::from_millis(1500), attempt_timeout: Duration::from_mins(10), ..quick() }
}

async fn relay(world: &World, gate: &Gate, config: Config) -> Relay {
    let events = Events::new().handle("pass", pass).handle("large", pass_large);
    Relay::start(world.db.clone(), gate.clone(), events, config).await.unwrap()
}

/// So many events of each key, some hundreds in a transaction.
async fn publish(world: &World, tenant: &AssumedTenant, keys: &[String], each: i64) {
    let events: Vec<Raised> = (1..=each).flat_map(|n| keys.iter().map(move |key| raised(key, n))).collect();
    for some in events.chunks(500) {
        let door = world.db.tenant(tenant);
        let published = door.tx(async |tx| -> Result<(), Error> {
            for event in some {
                tx.publish(event.clone()).await?;
            }
            Ok(())
        });
        published.await.unwrap();
    }
}

/// A session that looks at the relay's own word, which it gives with each beat.
struct Looking(tokio_postgres::Client);

impl Looking {
    /// Events in memory that are not done.
    async fn in_hand(&self) -> i64 {
        let sum = "select coalesce(sum((state ->> 'in_hand')::int), 0) from shared_events.relay";
        self.0.query_one(sum, &[]).await.unwrap().get(0)
    }

    /// Waits for so many beats. When one more has begun, what the one before has found was heard.
    async fn beats(&self, count: usize) {
        let beat = "select max(expires)::text from shared_events.relay";
        let latest = async || self.0.query_one(beat, &[]).await.unwrap().get::<_, Option<String>>(0);
        for _ in 0..count {
            let before = latest().await;
            until(async || latest().await != before).await;
        }
    }
}

/// A key of the tenant in the lane of the flood.
async fn key_beside(world: &World, tenant: &AssumedTenant, name: &str) -> String {
    let lane = world.lane(FLOODED).await;
    for n in 0.. {
        let key = format!("{name} {n}");
        if world.lane_of(tenant, &key).await == lane {
            return key;
        }
    }
    unreachable!("one of sixteen keys is in it");
}

#[tokio::test]
async fn an_event_behind_a_flood_of_its_lane_waits_for_none_of_it() {
    let (world, gate, quiet) = (World::new().await, Gate::closed(), a_tenant());
    let flood = [FLOODED.to_owned()];
    let key = key_beside(&world, &quiet, "quiet").await;
    publish(&world, &world.tenant, &flood, 1_500).await;
    publish(&world, &quiet, std::slice::from_ref(&key), 1).await;
    let relay = relay(&world, &gate, quick()).await;
    until(async || seen(&world.db, &quiet, "see", &key).await == [1]).await;
    assert_eq!(gate.passed(), 0);
    // What comes while the lane is at work, too.
    publish(&world, &quiet, std::slice::from_ref(&key), 2).await;
    until(async || seen(&world.db, &quiet, "see", &key).await == [1, 1, 2]).await;
    assert_eq!(gate.passed(), 0);
    gate.permits.close();
    world.settled().await;
    assert_eq!(world.seen("see", FLOODED).await, Vec::from_iter(1..=1_500));
    relay.stop().await;
}

#[tokio::test]
async fn a_flood_in_every_lane_leaves_a_slot_behind_its_next_event() {
    let (world, gate, quiet) = (World::new().await, Gate::closed(), a_tenant());
    let keys: Vec<String> = (0..64).map(|n| format!("{FLOODED} {n}")).collect();
    publish(&world, &world.tenant, &keys, 25).await;
    let relay = relay(&world, &gate, Config { concurrency: 4, ..patient() }).await;
    let session = world.superuser().await;
    let holds = async |events: i32| {
        let in_hand = "select exists (select from shared_events.relay where (state ->> 'in_hand')::int = $1)";
        session.query_one(in_hand, &[&events]).await.unwrap().get(0)
    };
    until(async || holds(1600).await).await;
    publish(&world, &quiet, &["quiet".to_owned()], 1).await;
    until(async || holds(1601).await).await;
    assert_eq!(gate.passed(), 0, "all slots are the flood's");
    gate.permits.add_permits(1);
    until(async || seen(&world.db, &quiet, "see", "quiet").await == [1]).await;
    assert_eq!(gate.passed(), 1);
    gate.permits.close();
    world.settled().await;
    for key in keys {
        assert_eq!(world.seen("see", &key).await, Vec::from_iter(1..=25), "{key}");
    }
    relay.stop().await;
}

#[tokio::test]
async fn lanes_are_handed_on_in_the_middle_of_a_flood() {
    let (world, gate) = (World::new().await, Gate::closed());
    let keys: Vec<String> = (0..16).map(|n| format!("{FLOODED} {n}")).collect();
    publish(&world, &world.tenant, &keys, 100).await;
    // So little room that much of it is known by its place alone, and more is not known yet.
    let config = || Config { page: 64, window: 200, batch: 10, ..quick() };
    let first = relay(&world, &gate, config()).await;
    gate.permits.add_permits(200);
    until(async || gate.passed() >= 200).await;
    let second = relay(&world, &gate, config()).await;
    let owners = "select count(distinct owner) from shared_events.cursor where expires > clock_timestamp()";
    let session = world.superuser().await;
    until(async || {
        // Lanes are let go of when what is on its way has passed.
        gate.permits.add_permits(1);
        session.query_one(owners, &[]).await.unwrap().get::<_, i64>(0) == 2
    })
    .await;
    gate.permits.close();
    world.settled().await;
    for key in keys {
        assert_eq!(world.seen("see", &key).await, Vec::from_iter(1..=100), "{key}");
    }
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_pause_ends_what_is_on_its_way_and_nothing_more() {
    let (world, gate) = (World::new().await, Gate::closed());
    publish(&world, &world.tenant, &[FLOODED.to_owned()], 1_000).await;
    let relay = relay(&world, &gate, Config { page: 64, window: 200, batch: 10, ..quick() }).await;
    gate.permits.add_permits(5);
    until(async || gate.passed() == 5).await;
    let (subscription, session) =
        (Subscriptions::new(&world.db).subscription("main"), world.superuser().await);
    let in_hand = "select coalesce(sum((state ->> 'in_hand')::int), 0) from shared_events.relay";
    let is_idle = async || session.query_one(in_hand, &[]).await.unwrap().get::<_, i64>(0) == 0;
    // The gate is closed: some are in hand until it is opened.
    until(async || !is_idle().await).await;
    assert!(subscription.pause().await.unwrap());
    until(async || {
        gate.permits.add_permits(1);
        is_idle().await
    })
    .await;
    assert!(gate.passed() < 500, "{}", gate.passed());
    gate.permits.close();
    assert!(subscription.resume().await.unwrap());
    world.settled().await;
    assert_eq!(world.seen("see", FLOODED).await, Vec::from_iter(1..=1_000));
    relay.stop().await;
}

#[tokio::test]
async fn a_pause_that_is_over_before_what_was_on_its_way_loses_nothing() {
    let (world, gate) = (World::new().await, Gate::closed());
    let (flood, looking) = ([FLOODED.to_owned()], Looking(world.superuser().await));
    publish(&world, &world.tenant, &flood, 400).await;
    let first = relay(&world, &gate, patient()).await;
    until(async || looking.in_hand().await == 400).await;
    let subscription = Subscriptions::new(&world.db).subscription("main");
    assert!(subscription.pause().await.unwrap());
    // What has not begun is let go.
    until(async || looking.in_hand().await == 250).await;
    assert!(subscription.resume().await.unwrap());
    looking.beats(3).await;
    let later = raised(FLOODED, 401);
    world.db.tenant(&world.tenant).tx(async |tx| tx.publish(later).await).await.unwrap();
    looking.beats(3).await;
    gate.permits.close();
    until(async || world.seen("see", FLOODED).await.contains(&401)).await;
    assert_eq!(world.seen("see", FLOODED).await, Vec::from_iter(1..=401));
    world.settled().await;
    first.stop().await;
    let second = relay(&world, &gate, quick()).await;
    world.settled().await;
    assert_eq!(world.seen("see", FLOODED).await, Vec::from_iter(1..=401));
    second.stop().await;
}

#[tokio::test]
async fn a_pause_waits_for_the_event_that_each_turn_is_at() {
    let (world, gate, other) = (World::new().await, Gate::closed(), a_tenant());
    let looking = Looking(world.superuser().await);
    let beside = key_beside(&world, &other, "quiet").await;
    publish(&world, &world.tenant, &[FLOODED.to_owned()], 200).await;
    let relay = relay(&world, &gate, Config { concurrency: 1, batch: 10, ..patient() }).await;
    until(async || looking.in_hand().await == 200).await;
    publish(&world, &other, std::slice::from_ref(&beside), 50).await;
    until(async || looking.in_hand().await == 250).await;
    let subscription = Subscriptions::new(&world.db).subscription("main");
    assert!(subscription.pause().await.unwrap());
    // Those who wait for the only slot have not begun.
    until(async || looking.in_hand().await == 200).await;
    gate.permits.add_permits(1);
    until(async || looking.in_hand().await == 0).await;
    assert_eq!(gate.passed(), 1);
    assert!(seen(&world.db, &other, "see", &beside).await.is_empty());
    gate.permits.close();
    assert!(subscription.resume().await.unwrap());
    world.settled().await;
    assert_eq!(world.seen("see", FLOODED).await, Vec::from_iter(1..=200));
    assert_eq!(seen(&world.db, &other, "see", &beside).await, Vec::from_iter(1..=50));
    relay.stop().await;
}

#[tokio::test]
async fn a_flood_of_large_events_is_not_all_in_memory() {
    let (world, gate, quiet) = (World::new().await, Gate::closed(), a_tenant());
    let (key, looking) = (key_beside(&world, &quiet, "quiet").await, Looking(world.superuser().await));
    for some in Vec::from_iter(1..=200).chunks(20) {
        let publish = async |tx: &mut TenantTx| -> Result<(), Error> {
            for n in some {
                tx.publish(Large { key: FLOODED.to_owned(), n: *n, text: "x".repeat(100_000) }).await?;
            }
            Ok(())
        };
        world.db.tenant(&world.tenant).tx(publish).await.unwrap();
    }
    publish(&world, &quiet, std::slice::from_ref(&key), 1).await;
    let relay = relay(&world, &gate, patient()).await;
    until(async || seen(&world.db, &quiet, "see", &key).await == [1]).await;
    looking.beats(2).await;
    let in_hand = looking.in_hand().await;
    // Two pages of half a mebibyte: six events each.
    assert!((1..=12).contains(&in_hand), "{in_hand} of 100 kB");
    gate.permits.close();
    world.settled().await;
    assert_eq!(world.seen("see", FLOODED).await, Vec::from_iter(1..=200));
    relay.stop().await;
}

#[tokio::test]
async fn the_cursor_moves_in_the_middle_of_a_large_batch() {
    let (world, gate) = (World::new().await, Gate::closed());
    let looking = Looking(world.superuser().await);
    // In one transaction: 40 of them have room in memory, and the others are known by their places alone.
    publish(&world, &world.tenant, &[FLOODED.to_owned()], 70).await;
    let relay = relay(&world, &gate, Config { page: 80, batch: 10, ..quick() }).await;
    gate.permits.add_permits(50);
    let within = "select exists (select from shared_events.cursor where pos > 0)";
    until(async || looking.0.query_one(within, &[]).await.unwrap().get(0)).await;
    assert!(gate.passed() <= 50);
    // Another one goes on from there.
    drop(relay);
    gate.permits.close();
    let relay = Relay::start(world.db.clone(), gate.clone(), Events::new().handle("pass", pass), quick());
    let relay = relay.await.unwrap();
    world.settled().await;
    assert_eq!(world.seen("see", FLOODED).await, Vec::from_iter(1..=70));
    relay.stop().await;
}

#[tokio::test]
async fn a_page_that_can_t_be_read_takes_nothing_back_of_what_is_on_its_way() {
    let (world, gate, other) = (World::new().await, Gate::closed(), a_tenant());
    let (beside, looking) = (key_beside(&world, &other, HELD).await, Looking(world.superuser().await));
    publish(&world, &other, std::slice::from_ref(&beside), 1).await;
    // Of each of the sixteen lanes fifteen events are read at once, and no more before they are done.
    let config = Config { page: 480, window: 240, batch: 10, concurrency: 2, ..patient() };
    let relay = relay(&world, &gate, config).await;
    until(async || gate.held.load(Ordering::SeqCst) == 1).await;
    publish(&world, &world.tenant, &[FLOODED.to_owned()], 1_000).await;
    gate.permits.add_permits(15);
    // So the second fifteen are in memory: they can be delivered, and nothing more be read.
    until(async || gate.came.load(Ordering::SeqCst) == 16).await;
    looking.0.batch_execute("revoke select on shared_events.tick from shared_system").await.unwrap();
    gate.permits.add_permits(15);
    until(async || gate.passed() == 30).await;
    looking.beats(2).await;
    until(async || looking.in_hand().await == 1).await;
    looking.beats(2).await;
    looking.0.batch_execute("grant select on shared_events.tick to shared_system").await.unwrap();
    gate.permits.close();
    until(async || world.seen("see", FLOODED).await.len() == 1_000).await;
    assert_eq!(gate.held.load(Ordering::SeqCst), 1);
    gate.opened.close();
    world.settled().await;
    assert_eq!(world.seen("see", FLOODED).await, Vec::from_iter(1..=1_000));
    assert_eq!(seen(&world.db, &other, "see", &beside).await, [1]);
    relay.stop().await;
}

#[tokio::test]
async fn an_event_that_an_operator_took_out_of_the_log_is_passed_by() {
    let (world, gate) = (World::new().await, Gate::closed());
    publish(&world, &world.tenant, &[FLOODED.to_owned()], 70).await;
    let relay = relay(&world, &gate, Config { page: 80, batch: 10, ..quick() }).await;
    gate.permits.add_permits(20);
    until(async || gate.passed() == 20).await;
    let session = world.superuser().await;
    session.batch_execute("set session_replication_role = replica").await.unwrap();
    let gone = "delete from shared_events.log where (payload ->> 'n')::int in (65, 70)";
    assert_eq!(session.execute(gone, &[]).await.unwrap(), 2);
    gate.permits.close();
    world.settled().await;
    let left = Vec::from_iter((1..=69).filter(|n| *n != 65));
    assert_eq!(world.seen("see", FLOODED).await, left);
    relay.stop().await;
}
