use std::time::Duration;

use futures_util::FutureExt as _;
use shared_devkit::Proxy;
use shared_events::{Error, MAX_EVENT, Publish as _, backlog};

use crate::support::{World, connect, raise, raised, seeing};

#[tokio::test]
async fn publishing_takes_no_round_trip() {
    let world = World::new().await;
    let proxy = Proxy::to(world.database.url()).await.unwrap();
    let db = connect(&proxy.url(world.database.url()), 1).await;
    // Longer than a busy machine needs to send what waits for no answer.
    proxy.to_client().delay(Duration::from_millis(40));
    let transaction = async |events: i64| {
        let mut tx = db.tenant(&world.tenant).begin().await.unwrap();
        for n in 0..events {
            tx.publish(raised("a", n)).await.unwrap();
        }
        tx.commit().await.unwrap();
    };
    // The first time on a connection the insert of one event, and that of several, is prepared.
    transaction(1).await;
    transaction(2).await;
    for events in [0, 1, 10, 200] {
        assert_eq!(proxy.round_trips(transaction(events)).await, 2, "begin and commit, with {events} events");
    }
}

#[tokio::test]
async fn publishing_waits_for_nothing() {
    let world = World::new().await;
    let mut tx = world.db.tenant(&world.tenant).begin().await.unwrap();
    assert!(tx.publish(raised("a", 1)).now_or_never().is_some());
}

#[tokio::test]
async fn what_is_rolled_back_is_not_published() {
    let world = World::new().await;
    let relay = world.relay(seeing()).await;

    let mut tx = world.db.tenant(&world.tenant).begin().await.unwrap();
    raise(&mut tx, "a").await.unwrap();
    tx.rollback().await;

    let mut tx = world.db.tenant(&world.tenant).begin().await.unwrap();
    raise(&mut tx, "a").await.unwrap();
    drop(tx);

    world.raise("a").await;
    world.settled().await;
    assert_eq!(world.seen("see", "a").await, [1]);
    relay.stop().await;
}

#[tokio::test]
async fn what_a_savepoint_rolls_back_is_not_published() {
    let world = World::new().await;
    let relay = world.relay(seeing()).await;
    let done: Result<(), Error> = world
        .db
        .tenant(&world.tenant)
        .tx(async |tx| {
            raise(tx, "a").await?;
            let undone: Result<(), Error> = tx
                .savepoint(async |tx| {
                    raise(tx, "a").await?;
                    raise(tx, "b").await?;
                    Err(Error::Config("undo it".to_owned()))
                })
                .await;
            assert!(undone.is_err());
            tx.savepoint(async |tx| raise(tx, "a").await).await?;
            Ok(())
        })
        .await;
    done.unwrap();
    world.settled().await;
    assert_eq!(world.seen("see", "a").await, [1, 2]);
    assert_eq!(world.seen("see", "b").await, Vec::<i64>::new());
    relay.stop().await;
}

#[tokio::test]
async fn an_event_that_can_t_be_stored_is_refused_and_the_transaction_goes_on() {
    let world = World::new().await;
    let mut tx = world.db.tenant(&world.tenant).begin().await.unwrap();
    for key in [String::new(), "k".repeat(256), "nul\0".to_owned(), "k".repeat(MAX_EVENT)] {
        let refused = tx.publish(raised(&key, 1)).await.unwrap_err();
        assert!(matches!(refused, Error::Refused { event: "counter.raised", .. }), "{refused}");
    }
    tx.publish(raised(&"ü".repeat(255), 1)).await.unwrap();
    tx.commit().await.unwrap();

    world.relay(seeing()).await.stop().await;
    assert_eq!(backlog(&world.db).await.unwrap().waiting, 1);
}
