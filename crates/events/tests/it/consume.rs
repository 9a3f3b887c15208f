//! What a consumer may rely on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::{Context, Failure, InTenant as _};
use shared_db::TenantTx;
use shared_events::{Config, Event, Events, FromDelivery, Publish as _, Received, Relay, backlog};
use tokio::sync::Barrier;

use crate::support::{Raised, World, a_tenant, quick, raise, see, see_as, seeing};

#[tokio::test]
async fn the_effect_happens_once_however_often_the_log_is_read() {
    let world = World::new().await;
    for key in ["a", "b", "a"] {
        world.raise(key).await;
    }
    for _ in 0..3 {
        let relay = world.relay(seeing()).await;
        world.settled().await;
        relay.stop().await;
        assert_eq!(world.seen("see", "a").await, [1, 2]);
        assert_eq!(world.seen("see", "b").await, [1]);
        let again = "update shared_events.cursor set tick = 0, pos = 0";
        world.superuser().await.batch_execute(again).await.unwrap();
        assert_eq!(backlog(&world.db).await.unwrap().waiting, 3);
    }
}

#[tokio::test]
async fn what_was_done_is_one_row_however_many_events_there_were() {
    let world = World::new().await;
    let relay = world.relay(seeing()).await;
    let superuser = world.superuser().await;
    for times in [1, 50] {
        for _ in 0..times {
            world.raise("a").await;
        }
        world.settled().await;
        let rows = superuser.query_one("select count(*) from shared_events.position", &[]).await.unwrap();
        assert_eq!(rows.get::<_, i64>(0), 1);
    }
    assert_eq!(world.seen("see", "a").await.len(), 51);
    relay.stop().await;
}

#[tokio::test]
async fn each_consumer_has_its_own_effect_and_each_tenant_its_own_order() {
    let world = World::new().await;
    let other = a_tenant();
    async fn second(tx: &mut TenantTx, raised: Received<Raised>) -> Result<(), Failure> {
        see_as("second", tx, &raised).await
    }
    let relay = world.relay(seeing().handle("second", second)).await;
    world.raise("a").await;
    world.db.tenant(&other).tx(async |tx| raise(tx, "a").await).await.unwrap();
    world.settled().await;
    for consumer in ["see", "second"] {
        assert_eq!(world.seen(consumer, "a").await, [1]);
        assert_eq!(crate::support::seen(&world.db, &other, consumer, "a").await, [1]);
    }
    relay.stop().await;
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "counter.echoed", version = 3, key = "of")]
struct Echoed {
    of: String,
    n: i64,
}

#[tokio::test]
async fn a_consumer_s_own_events_are_published_with_its_effect() {
    let world = World::new().await;
    async fn echo(tx: &mut TenantTx, raised: Received<Raised>) -> Result<(), Failure> {
        Ok(tx.publish(Echoed { of: raised.key.clone(), n: raised.n }).await?)
    }
    async fn hear(tx: &mut TenantTx, echoed: Received<Echoed>) -> Result<(), Failure> {
        see_as("hear", tx, &Raised { key: echoed.of.clone(), n: echoed.n }).await
    }
    let relay = world.relay(Events::new().handle("echo", echo).handle("hear", hear)).await;
    world.raise("a").await;
    world.raise("a").await;
    world.settled().await;
    assert_eq!(world.seen("hear", "a").await, [1, 2]);
    relay.stop().await;
}

/// How many run now, and the most that ever did of one key.
#[derive(Clone)]
struct Crowd {
    two: Arc<Barrier>,
    running: Arc<[AtomicUsize; 2]>,
    most: Arc<AtomicUsize>,
}

impl FromDelivery<Crowd> for Crowd {
    fn from_delivery(_: &Context, state: &Crowd) -> Self {
        state.clone()
    }
}

#[tokio::test]
async fn lanes_run_side_by_side_and_a_key_one_after_the_other() {
    let world = World::new().await;
    // Each waits for one of the other key, so it would hang if the keys took turns.
    async fn meet(tx: &mut TenantTx, raised: Received<Raised>, crowd: Crowd) -> Result<(), Failure> {
        let running = &crowd.running[usize::from(raised.key == "key 0")];
        crowd.most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        crowd.two.wait().await;
        running.fetch_sub(1, Ordering::SeqCst);
        see(tx, raised).await
    }
    let crowd = Crowd { two: Arc::new(Barrier::new(2)), running: Arc::default(), most: Arc::default() };
    let (a, b) = world.keys_apart().await;
    for _ in 0..10 {
        world.raise(&a).await;
        world.raise(&b).await;
    }
    let events = Events::new().handle("meet", meet);
    // So long that no handler is dropped on a busy machine.
    let config = Config { lease: Duration::from_secs(10), ..quick() };
    let relay = Relay::start(world.db.clone(), crowd.clone(), events, config).await.unwrap();
    world.settled().await;
    assert_eq!(crowd.most.load(Ordering::SeqCst), 1);
    assert_eq!(world.seen("see", &b).await, Vec::from_iter(1..=10));
    relay.stop().await;
}

#[tokio::test]
async fn the_context_of_the_transaction_arrives() {
    let world = World::new().await;
    async fn check(tx: &mut TenantTx, raised: Received<Raised>, expected: Expected) -> Result<(), Failure> {
        let context = shared_core::InTenant::context(&raised);
        assert_eq!(context, tx.context());
        assert_eq!(context.clone().with_causation(None), expected.0);
        assert!(raised.at <= time::OffsetDateTime::now_utc() + time::Duration::minutes(1));
        see(tx, raised).await
    }
    #[derive(Clone)]
    struct Expected(Context);
    impl FromDelivery<Expected> for Expected {
        fn from_delivery(_: &Context, state: &Expected) -> Self {
            state.clone()
        }
    }
    let events = Events::new().handle("check", check);
    let expected = Expected(world.tenant.context().clone());
    let relay = Relay::start(world.db.clone(), expected, events, quick()).await.unwrap();
    world.raise("a").await;
    world.settled().await;
    assert_eq!(world.seen("see", "a").await, [1]);
    relay.stop().await;
}
