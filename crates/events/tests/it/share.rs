//! Several relays at work on one subscription: each has its share of the lanes, and takes over what another leaves.

use std::env;
use std::time::{Duration, Instant};

use shared_db::statements;
use shared_devkit::Proxy;
use shared_devkit::child::{self, Child};
use shared_events::{Config, Relay};

use crate::support::{World, connect, quick, seeing, until};

statements! {
    const SHARES: Statement<(), i64> = "
        select count(*) from shared_events.cursor where owner is not null and expires > clock_timestamp() group by owner order by 1";
    // Each lane that is taken has another epoch.
    const EPOCHS: Statement<(), i64> = "select sum(epoch)::int8 from shared_events.cursor";
    const EXPIRES: Statement<(), f64> = "select extract(epoch from min(expires))::float8 from shared_events.cursor";
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

/// All connections are cut, and to open one takes longer than the time between two beats: the first one goes on when the second is due.
#[tokio::test]
async fn a_beat_that_has_to_connect_first_is_not_given_up_for_the_next() {
    let world = World::new().await;
    let proxy = Proxy::to(world.database.url()).await.unwrap();
    let far = connect(&proxy.url(world.database.url()), 5).await;
    // Nothing but beats asks for connections.
    let (lease, poll, rewind) = (Duration::from_secs(2), Duration::from_secs(30), Duration::from_secs(3600));
    let relay = Relay::start(far, (), seeing(), Config { lease, poll, rewind, ..quick() }).await.unwrap();
    until(async || shares(&world).await == [16]).await;
    let expires = async || world.db.system().one(&EXPIRES, ()).await.unwrap();
    for _ in 0..3 {
        proxy.to_client().delay(lease / 16);
        let last = expires().await;
        proxy.cut();
        let renewed = until(async || expires().await > last + 0.1);
        tokio::time::timeout(2 * lease, renewed).await.expect("no beat comes through");
        proxy.heal();
    }
    relay.stop().await;
}

/// As if the database refused nothing but that lanes be given up.
const KEEP: &str = "
    create function public.keep() returns trigger language plpgsql as 'begin raise exception ''not now''; end';
    create trigger keep before update on shared_events.cursor for each row
        when (old.owner is not null and new.owner is null) execute function public.keep()";

#[tokio::test]
async fn lanes_that_can_t_be_given_up_are_worked_on_until_they_can() {
    let world = World::new().await;
    let config = || Config { lease: LEASE, ..quick() };
    let patient = async || Relay::start(world.db.clone(), (), seeing(), config()).await.unwrap();
    let first = patient().await;
    until(async || shares(&world).await == [16]).await;
    let superuser = world.superuser().await;
    superuser.batch_execute(KEEP).await.unwrap();
    let second = patient().await;
    let refused = "select exists (select from shared_events.relay where state ->> 'last_error' is not null)";
    until(async || superuser.query_one(refused, &[]).await.unwrap().get(0)).await;
    for n in 0..20 {
        world.raise(&format!("key {n}")).await;
    }
    world.settled().await;
    for n in 0..20 {
        assert_eq!(world.seen("see", &format!("key {n}")).await, [1]);
    }
    assert_eq!(shares(&world).await, [16]);
    superuser.batch_execute("drop trigger keep on shared_events.cursor").await.unwrap();
    until(async || shares(&world).await == [8, 8]).await;
    first.stop().await;
    second.stop().await;
}

/// Long enough for a busy machine.
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
    until(async || shares(&world).await == [8, 8]).await;
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
    let epochs = async || world.db.system().one(&EPOCHS, ()).await.unwrap();
    for round in 1..=3 {
        until(async || shares(&world).await == [16]).await;
        for _ in 0..20 {
            for key in ["a", "b", "c"] {
                world.raise(key).await;
            }
        }
        sleeper.pause().await.unwrap();
        let before = epochs().await;
        let other = Relay::start(world.db.clone(), (), seeing(), quick()).await.unwrap();
        let taken = until(async || shares(&world).await == [16] && epochs().await >= before + 16);
        // It may hold a transaction open, whose locks the others wait for: then it is to wake up first.
        let _ = tokio::time::timeout(2 * LEASE, taken).await;
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
