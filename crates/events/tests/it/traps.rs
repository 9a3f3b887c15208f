//! What goes wrong with readers of snapshots, each shown not to go wrong here.

use shared_events::{Error, Relay};

use crate::support::{World, connect, quick, raise, seeing, until};

const GROW: &str = "
    select coalesce(bool_and(pg_snapshot_xmax(snap) >= pg_snapshot_xmax(earlier) and pg_snapshot_xmin(snap) >= pg_snapshot_xmin(earlier)), true)
      from (select snap, lag(snap) over (order by tick) as earlier from shared_events.tick) as pair where earlier is not null";

/// A snapshot that was taken in the statement that waits would be older than the tick before, and what lies between come twice.
#[tokio::test]
async fn a_tick_that_waited_for_another_is_not_older_than_that() {
    let world = World::new().await;
    let mut superuser = world.superuser().await;
    let tick = superuser.transaction().await.unwrap();
    tick.batch_execute("select from shared_events.tick_lock for update").await.unwrap();
    let relay = world.relay(seeing()).await;
    world.raise("a").await;
    world.waits_for_a_lock().await;
    world.raise("a").await;
    tick.batch_execute("insert into shared_events.tick (snap) values (pg_current_snapshot())").await.unwrap();
    tick.commit().await.unwrap();
    world.settled().await;
    assert_eq!(world.seen("see", "a").await, [1, 2]);
    assert!(superuser.query_one(GROW, &[]).await.unwrap().get::<_, bool>(0));
    relay.stop().await;
}

/// Two sessions take turns under one lock, and the second turn of the first has a lower position than the second one's.
#[tokio::test]
async fn positions_of_a_sequence_that_caches_are_out_of_order_and_refused() {
    let world = World::new().await;
    let (one, other) = (world.superuser().await, world.superuser().await);
    one.batch_execute("alter sequence shared_events.log_pos_seq cache 20").await.unwrap();
    let mut drawn = Vec::new();
    for session in [&one, &other, &one] {
        let next = session.query_one("select nextval('shared_events.log_pos_seq')", &[]).await.unwrap();
        drawn.push(next.get::<_, i64>(0));
    }
    assert!(!drawn.is_sorted(), "{drawn:?}");
    let refused = Relay::start(world.db.clone(), (), seeing(), quick()).await;
    assert!(matches!(refused, Err(Error::Unsafe(why)) if why.contains("cache 1")));
}

/// Its snapshots would all be that of its first statement, from before the lock.
#[tokio::test]
async fn a_session_above_read_committed_makes_no_tick() {
    let world = World::new().await;
    let superuser = world.superuser().await;
    let database = superuser.query_one("select current_database()", &[]).await.unwrap().get::<_, String>(0);
    let isolation = format!("alter database \"{database}\" set default_transaction_isolation");
    superuser.batch_execute(&format!("{isolation} = 'repeatable read'")).await.unwrap();
    let above = connect(world.database.url(), 5).await;
    let relay = Relay::start(above, (), seeing(), quick()).await.unwrap();
    world.raise("a").await;
    let said = "select exists (select from shared_events.relay where state ->> 'last_error' like '%READ COMMITTED%')";
    until(async || superuser.query_one(said, &[]).await.unwrap().get(0)).await;
    let ticks = "select count(*) from shared_events.tick where tick > 0";
    assert_eq!(superuser.query_one(ticks, &[]).await.unwrap().get::<_, i64>(0), 0);
    relay.stop().await;
    superuser.batch_execute(&format!("{isolation} = 'read committed'")).await.unwrap();
    let within = connect(world.database.url(), 5).await;
    let relay = Relay::start(within, (), seeing(), quick()).await.unwrap();
    world.settled().await;
    assert_eq!(world.seen("see", "a").await, [1]);
    relay.stop().await;
}

/// The log has the transaction's own id, and not the savepoint's, which a snapshot takes for committed when the savepoint ends; and
/// more than 64 of them overflow what a snapshot lists.
#[tokio::test]
async fn events_of_a_hundred_savepoints_come_with_their_transaction() {
    let world = World::new().await;
    let relay = world.relay(seeing()).await;
    let mut open = world.db.tenant(&world.tenant).begin().await.unwrap();
    for _ in 0..100 {
        open.savepoint(async |tx| raise(tx, "a").await.map(drop)).await.unwrap();
    }
    for n in 1..=3 {
        world.raise("other").await;
        until(async || world.seen("see", "other").await.len() == n).await;
    }
    assert_eq!(world.seen("see", "a").await, Vec::<i64>::new());
    open.commit().await.unwrap();
    world.settled().await;
    assert_eq!(world.seen("see", "a").await, Vec::from_iter(1..=100));
    relay.stop().await;
}
