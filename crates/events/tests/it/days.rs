//! How long the log is kept: a day goes when everybody has passed it, and not before.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use shared_core::Failure;
use shared_db::{TenantTx, statements};
use shared_events::{Config, Events, Received, Relay, Subscriptions, Upkeep};

use crate::support::{Raised, World, a_tenant, quick, seeing, until};

statements! {
    const DAYS: Statement<(), String> = "select day::text from shared_events.days() order by 1";
    const HELD: Statement<(), Option<String>> = "select held from shared_events.upkeep";
    const EVENT: Statement<(String,), ()> = "
        insert into shared_events.log (lane, id, tenant_id, name, version, key, payload, context)
        values (shared_events.lane_of($tenant, $1::text), gen_random_uuid(), $tenant, 'counter.raised', 1, $1::text, json_build_object('key', $1::text, 'n', 1),
                json_build_object('actor', 'test', 'correlation', 'test'))";
}

/// A day of long ago, with what a transaction wrote there that has yet to commit: as if it were as old as that.
const LONG_AGO: &str = "2020-01-01";
const OLD_EVENT: &str = "
    insert into shared_events.log (lane, id, tenant_id, name, version, key, payload, context, at)
    values (shared_events.lane_of($1::text::uuid, 'old'), gen_random_uuid(), $1::text::uuid, 'counter.raised', 1, 'old', '{\"key\": \"old\", \"n\": 1}',
            json_build_object('actor', 'test', 'correlation', 'test'), '2020-01-01 12:00+00')";
/// So many events, one a day, up to this one.
const STRAYS: &str = "
    insert into shared_events.log (lane, id, tenant_id, name, version, key, payload, context, at)
    select shared_events.lane_of($1::text::uuid, 'stray'), gen_random_uuid(), $1::text::uuid, 'counter.raised', 1, 'stray', json_build_object('key', 'stray', 'n', n),
           json_build_object('actor', 'test', 'correlation', 'test'), $2::text::timestamptz + (n - $3) * interval '1 day'
      from generate_series(1, $3::int4) as n";
const PARTITIONS: &str = "
    select array_agg(inhrelid::regclass::text order by 1) from pg_inherits where inhparent = 'shared_events.log'::regclass";
const STRAY: &str = "select count(*) from shared_events.log_default";

fn keeping() -> Config {
    Config { rewind: Duration::from_secs(1), retention: Duration::from_hours(24), ..quick() }
}

fn tenant_of(world: &World) -> String {
    shared_core::InTenant::context(&world.tenant).tenant().to_string()
}

async fn partitions(world: &World) -> Vec<String> {
    world.superuser().await.query_one(PARTITIONS, &[]).await.unwrap().get(0)
}

async fn has_no_strays(world: &World) {
    let looking = world.superuser().await;
    until(async || looking.query_one(STRAY, &[]).await.unwrap().get::<_, i64>(0) == 0).await;
}

async fn has_day(world: &World) -> bool {
    world.db.system().all(&DAYS, ()).await.unwrap().contains(&LONG_AGO.to_owned())
}

/// As if the last relay had ended a while ago.
async fn forsake(world: &World) {
    let long_ago = "update shared_events.upkeep set at = clock_timestamp() - interval '5 minutes'";
    world.superuser().await.batch_execute(long_ago).await.unwrap();
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
    let tenant = tenant_of(&world);
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
    let tenant = tenant_of(&world);
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
    assert_eq!(superuser.query_one(STRAY, &[]).await.unwrap().get::<_, i64>(0), 1);
    let relay = Relay::start(world.db.clone(), (), seeing(), keeping()).await.unwrap();
    world.raise("a").await;
    until(async || superuser.query_one(STRAY, &[]).await.unwrap().get::<_, i64>(0) == 0).await;
    world.settled().await;
    assert_eq!(world.seen("see", "a").await, [1, 2]);
    // That day is made first, and then those ahead; midnight may have come.
    until(async || (3..=4).contains(&world.db.system().all(&DAYS, ()).await.unwrap().len())).await;
    relay.stop().await;
}

/// Who waits for a lock of the log, and since when: the drop for one that nobody else has, publishers for one that they share.
const WAITS: &str = "
    select mode = 'AccessExclusiveLock', waitstart::text from pg_locks
     where not granted and relation = 'shared_events.log'::regclass and waitstart is not null
       and mode in ('AccessExclusiveLock', 'RowExclusiveLock')
       and database = (select oid from pg_database where datname = current_database())";

/// Publishes until that is over. Returns the fifth longest time that a publish took: where the machine stands still it is one that takes long,
/// or two, and each try at the lock is in the way of another.
async fn fifth_longest(world: &World, over: impl Future<Output = ()>) -> Duration {
    let (mut times, mut over) = (Vec::new(), std::pin::pin!(over));
    loop {
        let begun = Instant::now();
        tokio::select! {
            () = &mut over => break,
            () = world.raise("a") => times.push(begun.elapsed()),
        }
    }
    times.sort_unstable();
    times.into_iter().nth_back(4).expect("there were more")
}

#[tokio::test]
async fn no_publisher_waits_long_while_days_come_and_go() {
    let world = World::new().await;
    let relay = Relay::start(world.db.clone(), (), seeing(), keeping()).await.unwrap();
    let a_second = || tokio::time::sleep(Duration::from_secs(1)); // time itself is tested: what a publish takes anyway
    let before = fifth_longest(&world, a_second()).await;
    // A transaction that holds the log for a while, so that a drop has to wait and give up.
    let tenant = a_tenant();
    let mut slow = world.db.tenant(&tenant).begin().await.unwrap();
    slow.execute(&EVENT, ("slow",)).await.unwrap();
    make_day(&world).await;
    let (looking, waits) = (world.superuser().await, Mutex::new((BTreeSet::new(), BTreeSet::new())));
    let tried = async || {
        let rows = looking.query(WAITS, &[]).await.unwrap();
        let (drops, publishers) = &mut *waits.lock().unwrap();
        for row in rows {
            let of = if row.get(0) { &mut *drops } else { &mut *publishers };
            of.insert(row.get::<_, String>(1));
        }
        drops.len() >= 10 && !publishers.is_empty()
    };
    let meanwhile = fifth_longest(&world, until(tried)).await;
    assert!(has_day(&world).await);
    slow.commit().await.unwrap();
    until(async || !has_day(&world).await).await;
    // One try of 50 ms, and what it takes anyway; with room.
    let anyway = before.max(fifth_longest(&world, a_second()).await);
    assert!(meanwhile < 4 * (anyway + Duration::from_millis(50)), "{meanwhile:?}, and else {anyway:?}");
    relay.stop().await;
}

/// Nobody made days for ten of them: what came meanwhile gets one partition, and not a row of it is moved.
#[tokio::test]
async fn events_of_many_days_without_a_partition_get_one_together() {
    let world = World::new().await;
    let superuser = world.superuser().await;
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&tenant_of(&world), &"2030-01-10 12:00Z", &10];
    superuser.execute(STRAYS, &params).await.unwrap();
    let lies = "select min(tableoid)::text = max(tableoid)::text, min(tableoid)::text from shared_events.log where key = 'stray'";
    let before: String = superuser.query_one(lies, &[]).await.unwrap().get(1);
    let relay = world.relay(seeing()).await;
    has_no_strays(&world).await;
    world.settled().await;
    assert_eq!(world.seen("see", "stray").await, Vec::from_iter(1..=10));
    assert!(partitions(&world).await.contains(&"shared_events.log_20300101_20300110".to_owned()));
    let after = superuser.query_one(lies, &[]).await.unwrap();
    assert_eq!((after.get::<_, bool>(0), after.get::<_, String>(1)), (true, before));
    // It is a part of the log like the others.
    let changed = superuser.batch_execute("delete from shared_events.log_20300101_20300110").await;
    assert!(changed.unwrap_err().as_db_error().unwrap().message().contains("append-only"));
    superuser.batch_execute("select shared_events.drop_day('2030-01-01')").await.unwrap();
    assert!(!partitions(&world).await.contains(&"shared_events.log_20300101_20300110".to_owned()));
    relay.stop().await;
}

/// Who has looked which partitions there are, and then waits, would look for them where they were.
#[tokio::test]
async fn a_reader_that_waits_while_events_are_moved_to_their_day_finds_them() {
    let world = World::new().await;
    let superuser = world.superuser().await;
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&tenant_of(&world), &"2030-01-03 12:00Z", &3];
    superuser.execute(STRAYS, &params).await.unwrap();
    let refused = superuser.batch_execute("select shared_events.make_day('2030-01-02')").await.unwrap_err();
    assert!(refused.as_db_error().unwrap().message().contains("nobody may read"));
    superuser
        .batch_execute("begin; select shared_events.make_day('2030-01-02', strays => true)")
        .await
        .unwrap();
    let reader = world.superuser().await;
    let reads = tokio::spawn(async move {
        reader
            .query_one("select count(*) from shared_events.log where key = 'stray'", &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
    });
    world.waits_for_a_lock().await;
    superuser.batch_execute("commit").await.unwrap();
    assert_eq!(reads.await.unwrap(), 3);
}

/// A day lies between those of the strays, so they can't get a partition together.
#[tokio::test]
async fn events_around_a_day_that_is_there_are_moved_to_days_of_their_own() {
    let world = World::new().await;
    let superuser = world.superuser().await;
    superuser.batch_execute("select shared_events.make_day('2030-01-02')").await.unwrap();
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&tenant_of(&world), &"2030-01-03 12:00Z", &3];
    superuser.execute(STRAYS, &params).await.unwrap();
    let relay = world.relay(seeing()).await;
    has_no_strays(&world).await;
    world.settled().await;
    assert_eq!(world.seen("see", "stray").await, [1, 2, 3]);
    let partitions = partitions(&world).await;
    for day in 1..=3 {
        assert!(partitions.contains(&format!("shared_events.log_2030010{day}")), "{partitions:?}");
    }
    relay.stop().await;
}

/// Each is probed by every read.
#[tokio::test]
async fn the_log_keeps_few_partitions() {
    let world = World::new().await;
    let old = "select shared_events.make_day('2020-01-01'::date + n) from generate_series(1, 10) as n";
    world.superuser().await.batch_execute(old).await.unwrap();
    assert!(partitions(&world).await.len() >= 14);
    let relay = Relay::start(world.db.clone(), (), seeing(), keeping()).await.unwrap();
    // Today, two ahead and the default one; and yesterday, if it was today a moment ago.
    until(async || (4..=5).contains(&partitions(&world).await.len())).await;
    relay.stop().await;
}

#[tokio::test]
async fn what_is_parked_keeps_its_day() {
    async fn dead(_: &mut TenantTx, _: Received<Raised>) -> Result<(), Failure> {
        Err(Failure::dead("as the test wants it"))
    }
    let world = World::new().await;
    make_day(&world).await;
    let superuser = world.superuser().await;
    superuser.execute(OLD_EVENT, &[&tenant_of(&world)]).await.unwrap();
    let events = Events::new().handle("dead", dead);
    let relay = Relay::start(world.db.clone(), (), events, keeping()).await.unwrap();
    let named = async || {
        let held = world.db.system().one(&HELD, ()).await.unwrap();
        held.is_some_and(|held| {
            held.contains("2020-01-01") && held.contains("parked for dead of subscription main")
        })
    };
    until(named).await;
    assert!(has_day(&world).await);
    superuser.batch_execute("delete from shared_events.parked").await.unwrap();
    until(async || !has_day(&world).await).await;
    relay.stop().await;
}

/// A program that only publishes: its log is cut back and has its days, also those of events that found none.
#[tokio::test]
async fn a_log_without_relays_keeps_its_days() {
    let world = World::new().await;
    make_day(&world).await;
    let superuser = world.superuser().await;
    superuser.execute(OLD_EVENT, &[&tenant_of(&world)]).await.unwrap();
    superuser
        .batch_execute(
            "select shared_events.drop_day(day) from shared_events.days() where day > '2020-01-01'",
        )
        .await
        .unwrap();
    world.raise("a").await;
    assert_eq!(superuser.query_one(STRAY, &[]).await.unwrap().get::<_, i64>(0), 1);
    let upkeep = Upkeep::start(world.db.clone(), keeping()).unwrap();
    has_no_strays(&world).await;
    until(async || !has_day(&world).await).await;
    until(async || (3..=4).contains(&world.db.system().all(&DAYS, ()).await.unwrap().len())).await;
    assert!(upkeep.is_running());
    upkeep.stop().await;
    // Whoever comes later finds the events that are kept.
    let relay = world.relay(seeing()).await;
    world.settled().await;
    assert_eq!(world.seen("see", "a").await, [1]);
    relay.stop().await;
}

/// It does not count as one who has passed them.
#[tokio::test]
async fn the_upkeep_drops_nothing_that_a_subscription_has_yet_to_pass() {
    let world = World::new().await;
    world.relay(seeing()).await.stop().await;
    make_day(&world).await;
    world.superuser().await.execute(OLD_EVENT, &[&tenant_of(&world)]).await.unwrap();
    forsake(&world).await;
    let upkeep = Upkeep::start(world.db.clone(), keeping()).unwrap();
    until(async || is_held_by_main(&world).await).await;
    let relay = world.relay(seeing()).await;
    until(async || !has_day(&world).await).await;
    assert_eq!(world.seen("see", "old").await, [1]);
    upkeep.stop().await;
    relay.stop().await;
}

/// Its own settings say nothing of how far back others want to read.
#[tokio::test]
async fn the_upkeep_takes_nothing_from_a_log_that_has_a_subscription() {
    let world = World::new().await;
    let relay = world.relay(seeing()).await;
    world.raise("a").await;
    world.settled().await;
    relay.stop().await;
    // All of it is passed, and older than the upkeep would keep it; and an event has no partition.
    make_day(&world).await;
    let superuser = world.superuser().await;
    superuser
        .batch_execute("update shared_events.tick set at = at - interval '1 hour' where tick > 0")
        .await
        .unwrap();
    world.raise("b").await;
    superuser.execute(STRAYS, &[&tenant_of(&world), &"2030-01-10 12:00Z", &1]).await.unwrap();
    let ticks = async || {
        let first = "select min(tick) from shared_events.tick where tick > 0";
        superuser.query_one(first, &[]).await.unwrap().get::<_, i64>(0)
    };
    let first = ticks().await;
    forsake(&world).await;
    let upkeep = Upkeep::start(world.db.clone(), keeping()).unwrap();
    has_no_strays(&world).await;
    until(async || is_held_by_main(&world).await).await;
    assert!(has_day(&world).await);
    assert_eq!(ticks().await, first);
    assert!(Subscriptions::new(&world.db).subscription("main").retire().await.unwrap());
    forsake(&world).await;
    until(async || !has_day(&world).await).await;
    until(async || ticks().await > first).await;
    upkeep.stop().await;
}

async fn is_held_by_main(world: &World) -> bool {
    let held = world.db.system().one(&HELD, ()).await.unwrap();
    held.is_some_and(|held| held.contains("2020-01-01") && held.contains("subscription main"))
}
