//! Events for a time to come: published with the commit, moved into the log when they are due, and taken back before that.

use std::time::Duration;

use shared_core::{Failure, Id};
use shared_db::{TenantTx, statements};
use shared_devkit::Proxy;
use shared_events::{Config, Error, MAX_DELAY, Publish as _, Relay, cancel_delayed, delayed};
use time::OffsetDateTime;

use crate::support::{Raised, World, a_tenant, connect, quick, raised, seeing, until};

statements! {
    const RELEASE: Statement<(i32,), i32> = "select shared_events.release_delayed($1)";
    const TICKS: Statement<(), i64> = "select count(*) from shared_events.tick";
    const KEYS_AND_N: Statement<(), (String, i64)> = "
        select key, (payload ->> 'n')::bigint from shared_events.log where tenant_id = $tenant order by pos";
}

const AN_HOUR: Duration = Duration::from_secs(3600);

/// Moves what is due into the log, as a tick does.
async fn release(world: &World, most: i32) -> i32 {
    world.db.system().one(&RELEASE, (most,)).await.unwrap()
}

/// The log of the tenant, in its order.
async fn log(world: &World) -> Vec<(String, i64)> {
    world.db.tenant(&world.tenant).all(&KEYS_AND_N, ()).await.unwrap()
}

/// Publishes it so many seconds from now, or before now.
async fn publish(world: &World, key: &str, n: i64, seconds: i64) -> Id<Raised> {
    let due = OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
    let work = async |tx: &mut TenantTx| tx.publish_at(raised(key, n), due).await;
    world.db.tenant(&world.tenant).tx(work).await.unwrap()
}

async fn unpublish(world: &World, event: Id<Raised>) -> bool {
    world.db.tenant(&world.tenant).tx(async |tx| tx.unpublish(event).await).await.unwrap()
}

fn is(pairs: &[(&str, i64)]) -> Vec<(String, i64)> {
    pairs.iter().map(|(key, n)| ((*key).to_owned(), *n)).collect()
}

#[tokio::test]
async fn what_is_due_comes_into_the_log_in_the_order_of_its_time() {
    let world = World::new().await;
    publish(&world, "a", 3, -10).await;
    publish(&world, "a", 1, -30).await;
    publish(&world, "b", 2, -20).await;
    publish(&world, "a", 4, 3600).await;
    assert_eq!(release(&world, 2).await, 2, "no more than is asked for");
    assert_eq!(release(&world, 100).await, 1);
    assert_eq!(release(&world, 100).await, 0, "what is not due stays");
    assert_eq!(log(&world).await, is(&[("a", 1), ("b", 2), ("a", 3)]));
}

#[tokio::test]
async fn a_wait_counts_from_the_commit_and_one_transaction_keeps_its_order() {
    let world = World::new().await;
    let work = async |tx: &mut TenantTx| {
        for n in 1..=50 {
            tx.publish_in(raised("a", n), Duration::ZERO).await?;
        }
        tx.publish_in(raised("later", 1), AN_HOUR).await
    };
    let later = world.db.tenant(&world.tenant).tx(work).await.unwrap();
    assert_eq!(release(&world, 100).await, 50);
    assert_eq!(log(&world).await, (1..=50).map(|n| ("a".to_owned(), n)).collect::<Vec<_>>());
    let waiting = delayed(&world.db, None, 10).await.unwrap();
    assert_eq!(waiting.iter().map(|event| event.id).collect::<Vec<_>>(), [later.as_uuid()]);
    // Each by the clock of its own moment.
    assert!((waiting[0].due - waiting[0].at - AN_HOUR).abs() < time::Duration::seconds(1));
}

#[tokio::test]
async fn scheduling_takes_no_round_trip() {
    let world = World::new().await;
    let proxy = Proxy::to(world.database.url()).await.unwrap();
    let db = connect(&proxy.url(world.database.url()), 1).await;
    // Longer than a busy machine needs to send what waits for no answer.
    proxy.to_client().delay(Duration::from_millis(40));
    let transaction = async |events: i64| {
        let mut tx = db.tenant(&world.tenant).begin().await.unwrap();
        for n in 0..events {
            let mine = tx.publish_in(raised("a", n), AN_HOUR).await.unwrap();
            if n > 0 {
                assert!(tx.unpublish(mine).await.unwrap());
            }
        }
        tx.commit().await.unwrap();
    };
    // The first time on a connection the insert is prepared.
    transaction(1).await;
    assert_eq!(proxy.round_trips(transaction(100)).await, 2, "begin and commit");
    assert_eq!(delayed(&world.db, None, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_rolled_back_is_not_scheduled_and_not_taken_back() {
    let world = World::new().await;
    let kept = publish(&world, "kept", 1, -1).await;

    let mut tx = world.db.tenant(&world.tenant).begin().await.unwrap();
    tx.publish_in(raised("undone", 1), Duration::ZERO).await.unwrap();
    assert!(tx.unpublish(kept).await.unwrap());
    tx.rollback().await;

    let work = async |tx: &mut TenantTx| {
        let mine = tx.publish_in(raised("mine", 1), Duration::ZERO).await?;
        let undone: Result<(), Error> = tx
            .savepoint(async |tx| {
                assert!(tx.unpublish(mine).await?);
                assert!(!tx.unpublish(mine).await?, "it is taken back already");
                assert!(tx.unpublish(kept).await?);
                tx.publish_in(raised("undone", 2), Duration::ZERO).await?;
                Err(Error::Config("undo it".to_owned()))
            })
            .await;
        assert!(undone.is_err());
        let not_mine = tx.publish_in(raised("not mine", 1), Duration::ZERO).await?;
        assert!(tx.unpublish(not_mine).await?);
        Ok::<_, Error>(())
    };
    world.db.tenant(&world.tenant).tx(work).await.unwrap();
    release(&world, 100).await;
    assert_eq!(log(&world).await, is(&[("kept", 1), ("mine", 1)]));
}

#[tokio::test]
async fn an_event_is_either_taken_back_or_published() {
    let world = World::new().await;
    let event = publish(&world, "a", 1, -1).await;
    assert!(unpublish(&world, event).await);
    assert!(!unpublish(&world, event).await);
    assert_eq!(release(&world, 100).await, 0);

    let event = publish(&world, "a", 2, -1).await;
    assert_eq!(release(&world, 100).await, 1);
    assert!(!unpublish(&world, event).await);
    assert_eq!(log(&world).await, is(&[("a", 2)]));
}

#[tokio::test]
async fn who_takes_it_back_while_it_is_released_waits_and_is_told() {
    let world = World::new().await;
    let event = publish(&world, "a", 1, -1).await;
    let mut releasing = world.superuser().await;
    let tick = releasing.transaction().await.unwrap();
    tick.execute("select shared_events.release_delayed(100)", &[]).await.unwrap();
    let taking = tokio::spawn({
        let (db, tenant) = (world.db.clone(), world.tenant.clone());
        async move { db.tenant(&tenant).tx(async |tx| tx.unpublish(event).await).await.unwrap() }
    });
    world.waits_for_a_lock().await;
    tick.commit().await.unwrap();
    assert!(!taking.await.unwrap());
    assert_eq!(log(&world).await, is(&[("a", 1)]));
}

#[tokio::test]
async fn what_is_about_to_be_taken_back_holds_its_key_alone() {
    let world = World::new().await;
    let first = publish(&world, "a", 1, -30).await;
    publish(&world, "b", 2, -20).await;
    publish(&world, "a", 3, -10).await;
    let mut taking = world.db.tenant(&world.tenant).begin().await.unwrap();
    assert!(taking.unpublish(first).await.unwrap());
    assert_eq!(release(&world, 100).await, 1, "nobody waits for an open transaction");
    assert_eq!(log(&world).await, is(&[("b", 2)]));
    taking.rollback().await;
    assert_eq!(release(&world, 100).await, 2);
    assert_eq!(log(&world).await, is(&[("b", 2), ("a", 1), ("a", 3)]));
}

#[tokio::test]
async fn a_relay_delivers_it_when_it_is_due() {
    let world = World::new().await;
    // It finds nothing by polling.
    let config = Config { poll: AN_HOUR / 60, ..quick() };
    let relay = Relay::start(world.db.clone(), (), seeing(), config).await.unwrap();
    let work = async |tx: &mut TenantTx| {
        tx.publish_in(raised("a", 2), Duration::from_millis(300)).await?;
        tx.publish(raised("a", 1)).await
    };
    world.db.tenant(&world.tenant).tx(work).await.unwrap();
    until(async || world.seen("see", "a").await.len() == 2).await;
    assert_eq!(world.seen("see", "a").await, [1, 2]);
    assert_eq!(delayed(&world.db, None, 10).await.unwrap(), []);
    relay.stop().await;
}

#[tokio::test]
async fn what_is_about_to_be_taken_back_makes_no_ticks() {
    let world = World::new().await;
    let event = publish(&world, "a", 1, -1).await;
    let mut taking = world.db.tenant(&world.tenant).begin().await.unwrap();
    assert!(taking.unpublish(event).await.unwrap());
    let config = Config { poll: AN_HOUR / 60, ..quick() };
    let relay = Relay::start(world.db.clone(), (), seeing(), config).await.unwrap();
    for n in 1..=20 {
        world.raise("b").await;
        until(async || world.seen("see", "b").await.len() == n).await;
    }
    let ticks = world.db.system().one(&TICKS, ()).await.unwrap();
    assert!(ticks <= 2 * 20 + 5, "{ticks} ticks for 20 events");
    taking.commit().await.unwrap();
    relay.stop().await;
    assert_eq!(world.seen("see", "a").await, Vec::<i64>::new());
}

#[tokio::test]
async fn each_tenant_sees_its_own_and_an_operator_all_page_by_page() {
    let world = World::new().await;
    let other = a_tenant();
    for n in 1..=3 {
        publish(&world, "a", n, 3600 + n).await;
    }
    let work = async |tx: &mut TenantTx| tx.publish_in(raised("b", 1), AN_HOUR * 2).await;
    let theirs = world.db.tenant(&other).tx(work).await.unwrap();
    assert!(!unpublish(&world, theirs).await, "it is another tenant's");

    let mut tx = world.db.tenant(&world.tenant).begin().await.unwrap();
    let page = tx.delayed(None, 2).await.unwrap();
    let rest = tx.delayed(page.last(), 2).await.unwrap();
    assert_eq!((page.len(), rest.len()), (2, 1));
    assert!(page.iter().chain(&rest).all(|event| event.name == "counter.raised" && event.key == "a"));
    tx.rollback().await;

    let page = delayed(&world.db, None, 3).await.unwrap();
    let rest = delayed(&world.db, page.last(), 3).await.unwrap();
    assert_eq!((page.len(), rest.len()), (3, 1));
    let theirs = &rest[0];
    assert!(cancel_delayed(&world.db, theirs.tenant, theirs.id).await.unwrap());
    assert!(!cancel_delayed(&world.db, theirs.tenant, theirs.id).await.unwrap());
}

#[tokio::test]
async fn a_time_in_the_wrong_unit_is_refused() -> Result<(), Failure> {
    let world = World::new().await;
    let mut tx = world.db.tenant(&world.tenant).begin().await?;
    let too_early = OffsetDateTime::UNIX_EPOCH - Duration::from_secs(1);
    let too_late = OffsetDateTime::now_utc() + MAX_DELAY + Duration::from_secs(60);
    let refused = [
        tx.publish_at(raised("a", 1), too_late).await.unwrap_err(),
        tx.publish_at(raised("a", 1), too_early).await.unwrap_err(),
        tx.publish_in(raised("a", 1), MAX_DELAY + Duration::from_secs(1)).await.unwrap_err(),
        tx.publish_in(raised("", 1), AN_HOUR).await.unwrap_err(),
    ];
    assert!(refused.iter().all(|error| matches!(error, Error::Refused { .. })), "{refused:?}");
    tx.publish_in(raised("a", 2), MAX_DELAY).await?;
    tx.publish_at(raised("a", 3), OffsetDateTime::now_utc() + MAX_DELAY).await?;
    tx.commit().await?;
    assert_eq!(delayed(&world.db, None, 10).await?.len(), 2);
    Ok(())
}
