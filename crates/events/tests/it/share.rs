//! Several relays at work on one subscription: each has its share of the lanes, and takes over what another leaves.

use std::env;
use std::time::{Duration, Instant};

use shared_db::statements;
use shared_devkit::child::{self, Child};
use shared_events::{Config, Relay};

use crate::support::{World, connect, quick, seeing, until};

statements! {
    const SHARES: Statement<(), i64> = "
        select count(*) from shared_events.cursor where owner is not null and expires > clock_timestamp() group by owner order by 1";
}

const DATABASE: &str = "EVENTS_TEST_SHARED_DATABASE";

async fn shares(world: &World) -> Vec<i64> {
    world.db.system().all(&SHARES, ()).await.unwrap()
}

#[tokio::test]
async fn relays_share_the_lanes_fairly_and_hand_them_on() {
    let world = World::new().await;
    let first = world.relay(seeing()).await;
    until(async || shares(&world).await == [16]).await;
    let second = world.relay(seeing()).await;
    until(async || shares(&world).await == [8, 8]).await;
    let third = world.relay(seeing()).await;
    until(async || shares(&world).await == [4, 6, 6]).await;
    for n in 0..60 {
        world.raise(&format!("key {}", n % 20)).await;
    }
    world.settled().await;
    for n in 0..20 {
        assert_eq!(world.seen("see", &format!("key {n}")).await, [1, 2, 3]);
    }
    first.stop().await;
    until(async || shares(&world).await == [8, 8]).await;
    second.stop().await;
    third.stop().await;
    assert_eq!(shares(&world).await, Vec::<i64>::new());
}

/// The lease of the processes in these tests: long enough for a busy machine.
const LEASE: Duration = Duration::from_secs(2);

async fn a_process(world: &World) -> Child {
    let test = Child::test_function("share::a_process_that_is_killed_is_replaced_within_two_leases");
    let mut child = test.env(DATABASE, world.database.url()).start().unwrap();
    child.line("started").await.unwrap();
    child
}

#[tokio::test]
async fn a_process_that_is_killed_is_replaced_within_two_leases() {
    if child::enter().unwrap().is_some() {
        let db = connect(&env::var(DATABASE).unwrap(), 10).await;
        let config = Config { lease: LEASE, ..quick() };
        let _relay = Relay::start(db, (), seeing(), config).await.unwrap();
        println!("started");
        return std::future::pending().await;
    }
    let world = World::new().await;
    let mut victim = a_process(&world).await;
    world.raise("a").await;
    world.settled().await;
    let other =
        Relay::start(world.db.clone(), (), seeing(), Config { lease: LEASE, ..quick() }).await.unwrap();
    victim.kill().await.unwrap();
    let killed = Instant::now();
    until(async || shares(&world).await == [16]).await;
    assert!(killed.elapsed() < 2 * LEASE, "{:?}", killed.elapsed());
    for _ in 0..40 {
        for key in ["a", "b", "c"] {
            world.raise(key).await;
        }
    }
    world.settled().await;
    assert_eq!(world.seen("see", "a").await, Vec::from_iter(1..=41));
    assert_eq!(world.seen("see", "b").await, Vec::from_iter(1..=40));
    other.stop().await;
}

#[tokio::test]
async fn a_process_that_sleeps_through_its_lease_does_nothing_twice_and_nothing_out_of_order() {
    let world = World::new().await;
    let mut sleeper = a_process(&world).await;
    for round in 1..=3 {
        for _ in 0..20 {
            for key in ["a", "b", "c"] {
                world.raise(key).await;
            }
        }
        sleeper.pause().await.unwrap();
        let other = Relay::start(world.db.clone(), (), seeing(), quick()).await.unwrap();
        // It may hold a transaction open, whose position lock the others wait for: then it is to wake up first.
        let taken = async || shares(&world).await == [16];
        until(taken).await;
        sleeper.resume().unwrap();
        for key in ["a", "b", "c"] {
            world.raise(key).await;
        }
        world.settled().await;
        other.stop().await;
        for key in ["a", "b", "c"] {
            assert_eq!(world.seen("see", key).await, Vec::from_iter(1..=21 * round), "{key}");
        }
    }
    sleeper.kill().await.unwrap();
}
