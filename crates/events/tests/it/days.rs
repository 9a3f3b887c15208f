//! How long the log is kept: a day goes when everybody has passed it, and not before.

use std::time::{Duration, Instant};

use shared_db::statements;
use shared_events::{Config, Events, Relay};

use crate::support::{World, a_tenant, quick, raise, seeing, until};

statements! {
    const DAYS: Statement<(), String> = "select day::text from shared_events.days() as day order by 1";
    const HELD: Statement<(), Option<String>> = "select held from shared_events.upkeep";
    const EVENT: Statement<(String,), ()> = "
        insert into shared_events.log (id, tenant_id, name, version, key, payload, context)
        values (gen_random_uuid(), $tenant, 'counter.raised', 1, $1::text, json_build_object('key', $1::text, 'n', 1),
                json_build_object('tenant', $tenant::uuid, 'actor', 'test', 'correlation', 'test'))";
}

/// A day of long ago, with what a transaction wrote there that has yet to commit: as if it were as old as that.
const LONG_AGO: &str = "2020-01-01";
const OLD_EVENT: &str = "
    insert into shared_events.log (id, tenant_id, name, version, key, payload, context, at)
    values (gen_random_uuid(), $1::text::uuid, 'counter.raised', 1, 'old', '{\"key\": \"old\", \"n\": 1}',
            json_build_object('tenant', $1::text, 'actor', 'test', 'correlation', 'test'), '2020-01-01 12:00+00')";

fn keeping() -> Config {
    Config { rewind: Duration::from_secs(1), retention: Duration::from_hours(24), ..quick() }
}

async fn has_day(world: &World) -> bool {
    world.db.system().all(&DAYS, ()).await.unwrap().contains(&LONG_AGO.to_owned())
}

async fn make_day(world: &World) {
    let make = format!("select shared_events.make_day('{LONG_AGO}')");
    world.superuser().await.batch_execute(&make).await.unwrap();
}

#[tokio::test]
async fn a_transaction_older_than_the_retention_is_still_delivered() {
    let world = World::new().await;
    make_day(&world).await;
    let mut writer = world.superuser().await;
    let open = writer.transaction().await.unwrap();
    let tenant = shared_core::InTenant::context(&world.tenant).tenant().to_string();
    open.execute(OLD_EVENT, &[&tenant]).await.unwrap();
    let relay = Relay::start(world.db.clone(), (), seeing(), keeping()).await.unwrap();
    // The day is past its time, and still there, since the writer is: dropping it would wait for him, and gives up.
    for n in 1..=20 {
        world.raise("a").await;
        until(async || world.seen("see", "a").await.len() == n).await;
    }
    assert!(has_day(&world).await);
    open.commit().await.unwrap();
    until(async || world.seen("see", "old").await == [1]).await;
    until(async || !has_day(&world).await).await;
    relay.stop().await;
}

#[tokio::test]
async fn a_subscription_that_stands_still_keeps_the_days_it_has_not_passed_and_is_named() {
    let world = World::new().await;
    let config = Config { subscription: "slow".to_owned(), ..keeping() };
    Relay::start(world.db.clone(), (), Events::new(), config.clone()).await.unwrap().stop().await;
    make_day(&world).await;
    let tenant = shared_core::InTenant::context(&world.tenant).tenant().to_string();
    world.superuser().await.execute(OLD_EVENT, &[&tenant]).await.unwrap();
    let relay = Relay::start(world.db.clone(), (), seeing(), keeping()).await.unwrap();
    until(async || world.seen("see", "old").await == [1]).await;
    let named = async || {
        let held = world.db.system().one(&HELD, ()).await.unwrap();
        held.is_some_and(|held| held.contains("2020-01-01") && held.contains("subscription slow"))
    };
    until(named).await;
    assert!(has_day(&world).await);
    let slow = Relay::start(world.db.clone(), (), Events::new(), config).await.unwrap();
    until(async || !has_day(&world).await).await;
    relay.stop().await;
    slow.stop().await;
}

#[tokio::test]
async fn events_without_a_day_are_moved_to_one() {
    let world = World::new().await;
    // As if nobody had made days for long: today has no partition.
    let superuser = world.superuser().await;
    for day in world.db.system().all(&DAYS, ()).await.unwrap() {
        superuser
            .batch_execute(&format!("drop table shared_events.log_{}", day.replace('-', "")))
            .await
            .unwrap();
    }
    world.raise("a").await;
    let stray = "select count(*) from shared_events.log_default";
    assert_eq!(superuser.query_one(stray, &[]).await.unwrap().get::<_, i64>(0), 1);
    let relay = Relay::start(world.db.clone(), (), seeing(), keeping()).await.unwrap();
    world.raise("a").await;
    until(async || superuser.query_one(stray, &[]).await.unwrap().get::<_, i64>(0) == 0).await;
    world.settled().await;
    assert_eq!(world.seen("see", "a").await, [1, 2]);
    // Midnight may have come.
    let days = world.db.system().all(&DAYS, ()).await.unwrap().len();
    assert!((3..=4).contains(&days), "{days}");
    relay.stop().await;
}

#[tokio::test]
async fn no_publisher_waits_long_while_days_come_and_go() {
    let world = World::new().await;
    let relay = Relay::start(world.db.clone(), (), seeing(), keeping()).await.unwrap();
    let tenant = a_tenant();
    // A transaction that holds the log for a while, so that a drop has to wait and give up.
    let mut slow = world.db.tenant(&tenant).begin().await.unwrap();
    slow.execute(&EVENT, ("slow",)).await.unwrap();
    make_day(&world).await;
    let (mut longest, start) = (Duration::ZERO, Instant::now());
    while start.elapsed() < Duration::from_secs(2) {
        let begun = Instant::now();
        world.db.tenant(&tenant).tx(async |tx| raise(tx, "a").await).await.unwrap();
        longest = longest.max(begun.elapsed());
    }
    assert!(has_day(&world).await);
    slow.commit().await.unwrap();
    until(async || !has_day(&world).await).await;
    // 50 ms for the lock, and room for a busy machine.
    assert!(longest < Duration::from_millis(500), "{longest:?}");
    relay.stop().await;
}
