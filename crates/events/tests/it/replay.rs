//! Replays and projections as relays bring them.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use shared_core::Failure;
use shared_db::{TenantTx, statements};
use shared_events::{
    Config, Error, Event, Events, Place, Publish as _, Received, Relay, Subscriptions, generation,
};

use crate::support::{Raised, World, a_tenant, quick, raise, raised, see_as, seeing, until};

statements! {
    const NOW: Statement<(), time::OffsetDateTime> = "select clock_timestamp()";
}

/// Writes down what comes once more, and what does not.
async fn replayed(tx: &mut TenantTx, raised: Received<Raised>) -> Result<(), Failure> {
    see_as(if raised.replay { "replayed" } else { "first" }, tx, &raised).await
}

async fn read(world: &World, subscription: &str) -> Relay {
    let config = Config { subscription: subscription.to_owned(), ..quick() };
    let events = Events::new().handle("again", replayed);
    Relay::start(world.db.clone(), (), events, config).await.unwrap()
}

#[tokio::test]
async fn a_replay_brings_what_was_there_once_more_and_ends() {
    let world = World::new().await;
    let live = world.relay(seeing()).await;
    let other = a_tenant();
    for _ in 0..3 {
        world.raise("a").await;
        world.raise("b").await;
        world.db.tenant(&other).tx(async |tx| raise(tx, "a").await).await.unwrap();
    }
    world.settled().await;
    let subscriptions = Subscriptions::new(&world.db);
    let replay =
        subscriptions.replay("again").key("a").tenant(shared_core::InTenant::context(&world.tenant).tenant());
    replay.until_now().await.unwrap();
    world.raise("a").await;
    let relay = read(&world, "again").await;
    let again = subscriptions.subscription("again");
    until(async || again.status().await.unwrap().unwrap().is_over()).await;
    world.settled().await;
    assert_eq!(world.seen("replayed", "a").await, [1, 2, 3]);
    assert_eq!((world.seen("replayed", "b").await, world.seen("first", "a").await), (vec![], vec![]));
    assert_eq!(crate::support::seen(&world.db, &other, "replayed", "a").await, Vec::<i64>::new());
    assert_eq!(world.seen("see", "a").await, [1, 2, 3, 4], "the live one is as it was");
    relay.stop().await;
    assert!(again.retire().await.unwrap());
    live.stop().await;
}

/// The replay has found the tick at which it begins, and not begun yet; the tick is as old as ticks get, and everybody else has passed it.
#[tokio::test]
async fn a_tick_at_which_a_replay_is_about_to_begin_is_not_forgotten() {
    let world = World::new().await;
    let mut superuser = world.superuser().await;
    let keeping = Config { rewind: Duration::from_secs(3600), ..quick() };
    let relay = Relay::start(world.db.clone(), (), seeing(), keeping).await.unwrap();
    for n in 1..=3 {
        world.raise("a").await;
        until(async || world.seen("see", "a").await.len() == n).await;
    }
    world.settled().await;
    relay.stop().await;
    let aged = "update shared_events.tick set at = at - interval '2 hours' where tick > 0";
    superuser.batch_execute(aged).await.unwrap();
    let second = "select at from shared_events.tick where tick > 0 order by tick offset 1 limit 1";
    let since = superuser.query_one(second, &[]).await.unwrap().get::<_, time::OffsetDateTime>(0);

    // A subscription of the same name may be there, or not: the replay waits to know.
    let other = superuser.transaction().await.unwrap();
    other.batch_execute("insert into shared_events.subscription (name) values ('again')").await.unwrap();
    let replay = Subscriptions::new(&world.db).replay("again").since(since);
    let replay = tokio::spawn(async move { replay.await });
    world.waits_for_a_lock().await;
    let relay = world.relay(seeing()).await;
    let pruned = "select (select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock') > 1
                      or (select pruned > 0 from shared_events.upkeep)";
    let looking = world.superuser().await;
    until(async || looking.query_one(pruned, &[]).await.unwrap().get(0)).await;
    other.rollback().await.unwrap();
    replay.await.unwrap().unwrap();
    world.raise("a").await;
    let again = read(&world, "again").await;
    until(async || world.seen("replayed", "a").await.last() == Some(&4)).await;
    again.stop().await;
    relay.stop().await;
}

#[tokio::test]
async fn a_replay_begins_at_a_time_and_goes_on_with_what_comes() {
    let world = World::new().await;
    world.raise("a").await;
    let then = world.db.system().one(&NOW, ()).await.unwrap();
    world.raise("a").await;
    Subscriptions::new(&world.db).replay("again").since(then).events(["counter.raised"]).await.unwrap();
    let relay = read(&world, "again").await;
    world.settled().await;
    world.raise("a").await;
    world.settled().await;
    assert_eq!(world.seen("replayed", "a").await, [2, 3]);
    relay.stop().await;
}

/// The opposite.
#[derive(Serialize, Deserialize, Event)]
#[event(name = "counter.lowered", version = 1, key = "key")]
struct Lowered {
    key: String,
}

async fn lowered(tx: &mut TenantTx, lowered: Received<Lowered>) -> Result<(), Failure> {
    see_as("lowered", tx, &raised(&lowered.key, -1)).await
}

#[tokio::test]
async fn a_replay_begins_at_a_place_and_lets_one_type_through() {
    let world = World::new().await;
    let live = world.relay(seeing()).await;
    let publish = async |tx: &mut TenantTx| -> Result<(), Error> {
        tx.publish(Lowered { key: "a".to_owned() }).await?;
        raise(tx, "a").await.map(drop)
    };
    let subscriptions = Subscriptions::new(&world.db);
    let mut tick = 0;
    for _ in 0..3 {
        world.db.tenant(&world.tenant).tx(publish).await.unwrap();
        world.settled().await;
        tick = subscriptions.subscription("main").lanes().await.unwrap()[0].place.unwrap().tick;
    }
    live.stop().await;
    let last = Place::new(tick, 0);
    subscriptions.replay("again").from_place(last).await.unwrap();
    subscriptions.replay("one type").from_place(last).events(["counter.lowered"]).await.unwrap();
    for (name, seen) in [("again", (vec![3], vec![-1])), ("one type", (vec![], vec![-1]))] {
        let events = Events::new().handle(name, replayed).handle(name, lowered);
        let config = Config { subscription: name.to_owned(), ..quick() };
        let relay = Relay::start(world.db.clone(), (), events, config).await.unwrap();
        let status = async || subscriptions.subscription(name).status().await.unwrap().unwrap();
        until(async || status().await.waiting == 0).await;
        assert_eq!((world.seen("replayed", "a").await, world.seen("lowered", "a").await), seen, "{name}");
        relay.stop().await;
        world.superuser().await.batch_execute("delete from it.seen").await.unwrap();
    }
}

#[tokio::test]
async fn a_replay_keeps_its_rate() {
    let world = World::new().await;
    for n in 0..60 {
        world.raise(&format!("key {}", n % 20)).await;
    }
    Subscriptions::new(&world.db).replay("again").at_rate(32.0).await.unwrap();
    let start = Instant::now();
    let relay = read(&world, "again").await;
    until(async || world.seen("replayed", "key 19").await.len() == 3).await;
    world.settled().await;
    assert!(start.elapsed() >= Duration::from_millis(800), "60 events at 32 a second: {:?}", start.elapsed());
    relay.stop().await;
}

#[tokio::test]
async fn a_projection_is_rebuilt_while_the_live_one_goes_on() {
    let world = World::new().await;
    let live = world.relay(seeing()).await;
    for _ in 0..10 {
        world.raise("a").await;
    }
    let projection = Subscriptions::new(&world.db).projection("counters");
    assert_eq!(projection.rebuild("main").await.unwrap(), 2);
    let building = read(&world, &projection.subscription(2)).await;
    world.raise("a").await;
    world.settled().await;
    let generation =
        async || world.db.tenant(&world.tenant).tx(async |tx| generation(tx, "counters").await).await;
    assert_eq!(generation().await.unwrap(), 1);
    until(async || projection.switch().await.is_ok()).await;
    assert_eq!(generation().await.unwrap(), 2);
    assert_eq!(world.seen("replayed", "a").await, Vec::from_iter(1..=11));
    // The new one hears that it is no replay any more, and the old one goes on until its program is stopped.
    until(async || {
        world.raise("b").await;
        !world.seen("first", "b").await.is_empty()
    })
    .await;
    world.settled().await;
    assert_eq!(world.seen("see", "a").await, Vec::from_iter(1..=11));
    building.stop().await;
    live.stop().await;
}
