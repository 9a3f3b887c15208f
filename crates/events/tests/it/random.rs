//! Everything at once: writers under row locks with savepoints and roll-backs, relays that compete and are killed.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use shared_core::AssumedTenant;
use shared_db::Db;
use shared_events::{Config, Error, Relay, Subscriptions, backlog};

use crate::support::{COUNTERS, World, a_tenant, connect, quick, raise, seeing, until};

const WRITERS: u64 = 8;
const TRANSACTIONS: usize = 200;
const KEYS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_has_its_effect_once_and_in_order() {
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let world = World::new().await;
    let tenants = [a_tenant(), a_tenant()];
    let writers = connect(world.database.url(), WRITERS as u32).await;
    let relays = [connect(world.database.url(), 5).await, connect(world.database.url(), 5).await];

    let write = async {
        let one = |n: u64| write(&writers, &tenants, StdRng::seed_from_u64(seed ^ n));
        futures_util::future::join_all((1..=WRITERS).map(one)).await;
    };
    // Each kills its relay at a random moment and starts another one, until everything is written.
    tokio::select! {
        () = write => {}
        () = kill_again_and_again(&relays[0], StdRng::seed_from_u64(seed ^ 100)) => {}
        () = kill_again_and_again(&relays[1], StdRng::seed_from_u64(seed ^ 200)) => {}
    }
    let relay = world.relay(seeing()).await;
    world.settled().await;
    relay.stop().await;
    has_seen_all(&world, &tenants, seed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pauses_and_lanes_that_are_handed_on_lose_nothing() {
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let world = World::new().await;
    let tenants = [a_tenant(), a_tenant()];
    let writers = connect(world.database.url(), WRITERS as u32).await;
    let relays = [connect(world.database.url(), 5).await, connect(world.database.url(), 5).await];
    // So little room that most of what a pause leaves is known by its place alone.
    let (lease, little) = (Duration::from_millis(300), quick());
    let little = Config { page: 64, window: 200, batch: 10, lease, ..little };
    let stays = Relay::start(relays[0].clone(), (), seeing(), little.clone()).await.unwrap();

    let write = async {
        let one = |n: u64| write(&writers, &tenants, StdRng::seed_from_u64(seed ^ n));
        futures_util::future::join_all((1..=WRITERS).map(one)).await;
    };
    tokio::select! {
        () = write => {}
        () = pause_again_and_again(&world.db, StdRng::seed_from_u64(seed ^ 100)) => {}
        () = come_and_go(&relays[1], &little, StdRng::seed_from_u64(seed ^ 200)) => {}
    }
    // A pause that was dropped may come to the server behind this.
    let main = Subscriptions::new(&world.db).subscription("main");
    until(async || {
        main.resume().await.unwrap();
        backlog(&world.db).await.unwrap().waiting == 0
    })
    .await;
    stays.stop().await;
    has_seen_all(&world, &tenants, seed).await;
}

async fn has_seen_all(world: &World, tenants: &[AssumedTenant], seed: u64) {
    for tenant in tenants {
        let counters = world.db.tenant(tenant).all(&COUNTERS, ()).await.unwrap();
        let early = counters.iter().filter(|(key, _)| key.starts_with("early"));
        assert!(early.count() > 0 && counters.len() > KEYS, "nobody published early, seed {seed}");
        for (key, n) in counters {
            let seen = crate::support::seen(&world.db, tenant, "see", &key).await;
            assert_eq!(seen, Vec::from_iter(1..=n), "{key}, seed {seed}");
        }
    }
}

async fn pause_again_and_again(db: &Db, mut random: StdRng) {
    let subscription = Subscriptions::new(db).subscription("main");
    for is_paused in [true, false].into_iter().cycle() {
        tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await; // time itself is tested: a pause at any moment
        match is_paused {
            true => subscription.pause().await.unwrap(),
            false => subscription.resume().await.unwrap(),
        };
    }
}

/// Takes lanes over, and hands them on.
async fn come_and_go(db: &Db, config: &Config, mut random: StdRng) {
    loop {
        let relay = Relay::start(db.clone(), (), seeing(), config.clone()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(random.random_range(0..800))).await; // time itself is tested: a stop at any moment
        relay.stop().await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await; // time itself is tested: a start at any moment
    }
}

async fn kill_again_and_again(db: &Db, mut random: StdRng) {
    loop {
        let config = Config { lease: Duration::from_millis(300), ..quick() };
        let relay = Relay::start(db.clone(), (), seeing(), config).await.unwrap();
        tokio::time::sleep(Duration::from_millis(random.random_range(0..800))).await; // time itself is tested: a kill at any moment
        drop(relay);
    }
}

async fn write(db: &Db, tenants: &[AssumedTenant; 2], mut random: StdRng) {
    for _ in 0..TRANSACTIONS {
        let tenant = &tenants[random.random_range(0..2)];
        let rolled_back = random.random_bool(0.1);
        let done = db.tenant(tenant).tx(async |tx| transaction(tx, &mut random, rolled_back).await).await;
        assert_eq!(done.is_err(), rolled_back, "{done:?}");
    }
}

/// Draws its transaction id early or late, waits, and raises keys in an order that can't deadlock.
async fn transaction(
    tx: &mut shared_db::TenantTx,
    random: &mut StdRng,
    rolled_back: bool,
) -> Result<(), Error> {
    if random.random_bool(0.5) {
        raise(tx, &format!("early {}", random.random::<u64>())).await?;
    }
    tokio::time::sleep(Duration::from_millis(random.random_range(0..15))).await; // time itself is tested: long and short writers
    let mut keys = BTreeMap::new();
    for _ in 0..random.random_range(1..4) {
        keys.insert(random.random_range(0..KEYS), random.random_bool(0.3));
    }
    for (key, in_savepoint) in keys {
        let key = format!("key {key}");
        if in_savepoint {
            let undone = random.random_bool(0.5);
            let _ = tx
                .savepoint(async |tx| {
                    raise(tx, &key).await?;
                    if undone { Err(Error::Config("undo it".to_owned())) } else { Ok(()) }
                })
                .await;
        } else {
            raise(tx, &key).await?;
        }
    }
    if rolled_back { Err(Error::Config("roll it back".to_owned())) } else { Ok(()) }
}
