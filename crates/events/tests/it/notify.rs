//! What one process commits wakes the relays of others.

use std::time::Duration;

use shared_db::Notice;
use shared_events::{Config, Notifier, Relay};
use tokio::time::{Instant, timeout};

use crate::support::{World, connect, quick, raise, seeing};

/// At most one word in so long.
const EVERY: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_burst_of_commits_is_told_in_a_few_words() {
    let world = World::new().await;
    let mut listener = world.db.listen(&["shared_events"]).await.unwrap();
    // A second one has nothing to add.
    let _notifiers = [Notifier::start(world.db.clone()), Notifier::start(world.db.clone())];
    let began = Instant::now();
    for _ in 0..100 {
        world.raise("a").await;
    }
    assert!(matches!(listener.next().await, Notice::Notification { .. }));
    let mut words = 1;
    while timeout(EVERY * 5, listener.next()).await.is_ok() {
        words += 1;
    }
    assert!(words <= 2 + began.elapsed().as_millis() / EVERY.as_millis(), "{words}");
}

#[tokio::test]
async fn who_rolls_back_tells_nothing() {
    let world = World::new().await;
    let mut listener = world.db.listen(&["shared_events", "end"]).await.unwrap();
    let _notifier = Notifier::start(world.db.clone());
    let mut tx = world.db.tenant(&world.tenant).begin().await.unwrap();
    raise(&mut tx, "a").await.unwrap();
    tx.rollback().await;
    world.superuser().await.batch_execute("notify \"end\"").await.unwrap();
    assert!(matches!(listener.next().await, Notice::Notification { channel, .. } if channel == "end"));
}

#[tokio::test]
async fn a_relay_that_listens_delivers_what_another_process_tells_of() {
    let world = World::new().await;
    let elsewhere = connect(world.database.url(), 2).await;
    let _notifier = Notifier::start(elsewhere.clone());
    let config = Config { notify: true, poll: Duration::from_secs(60), ..quick() };
    let relay = Relay::start(world.db.clone(), (), seeing(), config).await.unwrap();
    for _ in 0..10 {
        elsewhere.tenant(&world.tenant).tx(async |tx| raise(tx, "a").await).await.unwrap();
        world.settled().await;
    }
    relay.stop().await;
    assert_eq!(world.seen("see", "a").await, (1..=10).collect::<Vec<_>>());
}
