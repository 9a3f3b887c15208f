//! A relay's process that is killed with -9, wherever that comes. This test is its own victim.

use std::collections::BTreeSet;
use std::env;
use std::time::Duration;

use shared_devkit::child::{self, Child, Kill, Matrix, Outcome};
use shared_events::Relay;

use crate::support::{World, connect, quick, seeing};

/// The URL of the database in which the victim works.
const DATABASE: &str = "EVENTS_TEST_DATABASE";

const POINTS: [&str; 8] = [
    "events.relay.cut",
    "events.relay.read",
    "events.relay.consumed",
    "db.commit.sending",
    "db.commit.answered",
    "events.relay.committed",
    "events.relay.delivered",
    "events.relay.advanced",
];

const KEYS: [&str; 3] = ["a", "b", "c"];
const EVENTS: usize = 5;

#[tokio::test]
async fn effects_happen_once_and_in_order_wherever_a_kill_comes() {
    if child::enter().unwrap().is_some() {
        let db = connect(&env::var(DATABASE).unwrap(), 10).await;
        let _relay = Relay::start(db, (), seeing(), quick()).await.unwrap();
        return std::future::pending().await;
    }
    let kills = Matrix::new(POINTS).moments(4, Duration::ZERO..Duration::from_millis(100), 7);
    let report = kills.run(a_relay_is_killed_and_another_goes_on).await.unwrap();
    assert_eq!(report.total("effects"), 12 * KEYS.len() * EVENTS);
}

async fn a_relay_is_killed_and_another_goes_on(kill: Kill) -> Outcome {
    let world = World::new().await;
    for _ in 0..EVENTS {
        for key in KEYS {
            world.raise(key).await;
        }
    }
    let victim = Child::test_function("kill::effects_happen_once_and_in_order_wherever_a_kill_comes");
    let mut victim = victim.env(DATABASE, world.database.url()).kill(kill).start().unwrap();
    victim.killed().await.unwrap();
    let before = effects(&world).await.concat().len();

    let relay = world.relay(seeing()).await;
    world.settled().await;
    relay.stop().await;
    let seen = effects(&world).await;
    let once: usize = seen.iter().map(|key| key.iter().collect::<BTreeSet<_>>().len()).sum();
    Outcome::new()
        .count("before", before)
        .count("effects", once)
        .wrong("lost", KEYS.len() * EVENTS - once)
        .wrong("doubled", seen.concat().len() - once)
        .wrong("unordered", seen.iter().filter(|key| !key.is_sorted()).count())
}

/// What the consumer has seen, key by key.
async fn effects(world: &World) -> Vec<Vec<i64>> {
    let mut seen = Vec::new();
    for key in KEYS {
        seen.push(world.seen("see", key).await);
    }
    seen
}
