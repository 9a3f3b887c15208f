//! Steering relays at work from outside of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shared_core::{Context, Failure};
use shared_db::{TenantTx, statements};
use shared_events::{Config, Events, FromDelivery, ParkedFilter, Received, Relay, Subscriptions, backlog};

use crate::support::{Raised, World, connect, quick, see, seeing, until};

statements! {
    const BEATS: Statement<(), Option<f64>> = "
        select extract(epoch from max(expires))::float8 from shared_events.relay where subscription = 'main'";
}

/// Whether the consumer works.
#[derive(Clone, Default)]
struct Works(Arc<AtomicBool>);

impl FromDelivery<Works> for Works {
    fn from_delivery(_: &Context, state: &Works) -> Self {
        state.clone()
    }
}

/// Fails for good at the first event of the key `bad`, unless it works.
async fn moody(tx: &mut TenantTx, raised: Received<Raised>, works: Works) -> Result<(), Failure> {
    if raised.key == "bad" && raised.n == 1 && !works.0.load(Ordering::SeqCst) {
        return Err(Failure::dead("not in the mood"));
    }
    see(tx, raised).await
}

async fn start(world: &World, works: &Works) -> Relay {
    let events = Events::new().handle("moody", moody);
    Relay::start(world.db.clone(), works.clone(), events, quick()).await.unwrap()
}

#[tokio::test]
async fn a_subscription_that_is_paused_delivers_nothing_until_it_is_resumed() {
    let world = World::new().await;
    let relay = world.relay(seeing()).await;
    world.raise("a").await;
    world.settled().await;
    let main = Subscriptions::new(&world.db).subscription("main");
    assert!(main.pause().await.unwrap());
    // The relay hears of it by a beat: one that began before may end now, the next one knows.
    let beat = async || world.db.system().one(&BEATS, ()).await.unwrap();
    for _ in 0..2 {
        let last = beat().await;
        until(async || beat().await > last).await;
    }
    world.raise("a").await;
    tokio::time::sleep(quick().poll * 5).await; // time itself is tested: nothing is to happen in it
    assert_eq!(world.seen("see", "a").await, [1]);
    assert_eq!(main.status().await.unwrap().unwrap().waiting, 1);
    assert!(main.explain().await.unwrap().causes.iter().any(|cause| cause.name() == "paused"));
    main.resume().await.unwrap();
    world.settled().await;
    assert_eq!(world.seen("see", "a").await, [1, 2]);
    relay.stop().await;
}

#[tokio::test]
async fn parked_keys_are_redriven_from_another_process() {
    let world = World::new().await;
    let works = Works::default();
    let relay = start(&world, &works).await;
    for _ in 0..5 {
        world.raise("bad").await;
        world.raise("good").await;
    }
    until(async || backlog(&world.db).await.unwrap().parked == 5).await;
    // Another process has another pool, and no relay.
    let elsewhere = connect(world.database.url(), 2).await;
    let subscriptions = Subscriptions::new(&elsewhere);
    let again =
        async || subscriptions.redrive(ParkedFilter::new().consumer("moody").reason("mood")).await.unwrap();
    assert_eq!(again().await, 1);
    let tried_again = async || {
        let parked = subscriptions.parked(&ParkedFilter::new(), 1).await.unwrap();
        parked[0].attempts == 1 && parked[0].state.as_str() == "dead"
    };
    until(tried_again).await;
    works.0.store(true, Ordering::SeqCst);
    assert_eq!(again().await, 1);
    until(async || backlog(&world.db).await.unwrap().parked == 0).await;
    world.settled().await;
    assert_eq!(world.seen("see", "bad").await, [1, 2, 3, 4, 5]);
    assert_eq!(world.seen("see", "good").await, [1, 2, 3, 4, 5]);
    relay.stop().await;
}

#[tokio::test]
async fn what_waits_behind_a_discarded_event_is_delivered() {
    let world = World::new().await;
    let relay = start(&world, &Works::default()).await;
    for _ in 0..3 {
        world.raise("bad").await;
    }
    until(async || backlog(&world.db).await.unwrap().parked == 3).await;
    let subscriptions = Subscriptions::new(&world.db);
    assert_eq!(subscriptions.discard(&ParkedFilter::new().key("bad"), "a test", 10).await.unwrap(), 1);
    until(async || backlog(&world.db).await.unwrap().parked == 0).await;
    world.settled().await;
    world.raise("bad").await;
    world.settled().await;
    assert_eq!(world.seen("see", "bad").await, [2, 3, 4]);
    relay.stop().await;
}

async fn hang(_: &mut TenantTx, _: Received<Raised>) -> Result<(), Failure> {
    std::future::pending().await
}

#[tokio::test]
async fn a_relay_whose_lane_does_not_move_is_unhealthy() {
    let world = World::new().await;
    let config = Config { attempt_timeout: Duration::from_secs(60), ..quick() };
    let events = Events::new().handle("hang", hang);
    let relay = Relay::start(world.db.clone(), (), events, config).await.unwrap();
    world.raise("a").await;
    assert!(relay.health().await.unwrap().is_moving(), "it has only just come");
    until(async || !relay.health().await.unwrap().is_moving()).await;
    let health = relay.health().await.unwrap();
    assert_eq!((health.stalled.len(), health.stalled[0].waiting), (1, 1));
    // Of other relays' lanes it is not to say.
    let other = world.relay(seeing()).await;
    assert!(other.health().await.unwrap().is_moving());
    drop(relay);
}

#[tokio::test]
async fn a_subscription_is_retired_when_its_programs_have_stopped() {
    let world = World::new().await;
    let relay = world.relay(seeing()).await;
    world.raise("a").await;
    world.settled().await;
    let main = Subscriptions::new(&world.db).subscription("main");
    assert!(main.retire().await.unwrap_err().to_string().contains("work on `main`"));
    relay.stop().await;
    assert!(main.retire().await.unwrap());
    assert_eq!(main.status().await.unwrap(), None);
    // Whoever starts it again begins at the start.
    let relay = world.relay(seeing()).await;
    world.settled().await;
    assert_eq!(world.seen("see", "a").await, [1, 1]);
    relay.stop().await;
}
