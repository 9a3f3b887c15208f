//! A relay's process that is killed with -9, wherever that comes. This test is its own victim.

use std::collections::BTreeSet;
use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shared_core::Failure;
use shared_db::TenantTx;
use shared_devkit::child::{self, Child, Kill, Matrix, Outcome};
use shared_events::{Config, Events, Received, Relay};

use crate::support::{Raised, World, connect, quick, see, seeing};

/// The URL of the database in which the victim works.
const DATABASE: &str = "EVENTS_TEST_DATABASE";

/// The steps from the log to an effect, and to that of an event which fails at first.
const POINTS: [&str; 8] = [
    "events.relay.cut",
    "events.relay.read",
    "events.relay.consumed",
    "events.relay.committed",
    "events.relay.parked",
    "events.relay.retried",
    "events.relay.delivered",
    "events.relay.advanced",
];

/// Around the COMMIT of an effect. The first that the relay makes is of its subscription, the second of its tick.
const COMMITS: [&str; 4] =
    ["events.relay.consumed", "db.commit.sending", "db.commit.answered", "events.relay.committed"];

const KEYS: [&str; 3] = ["a", "b", "c"];
const EVENTS: usize = 5;
const ALL: usize = KEYS.len() * EVENTS;

#[tokio::test]
async fn effects_happen_once_and_in_order_wherever_a_kill_comes() {
    if child::enter().unwrap().is_some() {
        let db = connect(&env::var(DATABASE).unwrap(), 10).await;
        let one_by_one = Config { batch: 1, ..quick() };
        let _relay = Relay::start(db, (), Events::new().handle("see", stumble), one_by_one).await.unwrap();
        return std::future::pending().await;
    }
    let kills = Matrix::new(POINTS).moments(4, Duration::from_millis(50)..Duration::from_millis(250), 7);
    let report = kills.run(a_relay_is_killed_and_another_goes_on).await.unwrap();
    assert_eq!(report.total("effects"), (POINTS.len() + 4) * ALL);

    let kills = Matrix::new(COMMITS.map(|point| Kill::at(point, 10)));
    let report = kills.run(a_relay_is_killed_and_another_goes_on).await.unwrap();
    assert_eq!(report.total("effects"), COMMITS.len() * ALL);
    assert_eq!(report.total("midway"), COMMITS.len(), "some effects were there, and not all");
}

/// Sees, but for the second event of `b` when it comes for the first time.
async fn stumble(tx: &mut TenantTx, raised: Received<Raised>) -> Result<(), Failure> {
    static STUMBLED: AtomicBool = AtomicBool::new(false);
    if (&*raised.key, raised.n) == ("b", 2) && !STUMBLED.swap(true, Ordering::Relaxed) {
        return Err(Failure::new("not at once"));
    }
    see(tx, raised).await
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
        .count("midway", usize::from((1..ALL).contains(&before)))
        .count("effects", once)
        .wrong("lost", ALL - once)
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
