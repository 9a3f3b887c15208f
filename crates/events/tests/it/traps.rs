//! What goes wrong with readers of snapshots, each shown not to go wrong here.

use std::time::Duration;

use futures_util::future::join_all;
use shared_db::TenantTx;
use shared_events::{Error, Publish as _, Relay, delayed};

use crate::memory::{InMemory, start};
use crate::support::{World, connect, quick, raise, raised, seeing, until};

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

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

async fn publish_in(world: &World, key: &str, n: i64, wait: Duration) {
    let work = async |tx: &mut TenantTx| tx.publish_in(raised(key, n), wait).await;
    world.db.tenant(&world.tenant).tx(work).await.unwrap();
}

/// Consumers and a sink got of this key what was published, once and in order.
async fn have_seen(world: &World, sink: &InMemory, key: &str, times: i64) {
    until(async || sink.got(key).len() as i64 >= times).await;
    until(async || world.seen("see", key).await.len() as i64 >= times).await;
    assert_eq!(world.seen("see", key).await, Vec::from_iter(1..=times), "{key}");
    assert_eq!(sink.got(key), Vec::from_iter(1..=times), "{key} at the sink");
}

/// Its snapshot sees them if a later transaction was committed meanwhile, and else the next one's does: who always takes them for seen
/// loses some, and who never does gets some twice.
#[tokio::test]
async fn what_a_tick_moves_into_the_log_comes_once_with_it_or_with_the_next() {
    let (world, sink) = (World::new().await, InMemory::default());
    let (relay, bringing) = (world.relay(seeing()).await, start(&world, &sink).await);
    let (mut superuser, mut seen) = (world.superuser().await, Vec::new());
    for n in 1..=10 {
        for (nth, key) in KEYS.iter().enumerate() {
            let tick = superuser.transaction().await.unwrap();
            // Relays make no ticks meanwhile, and it has no transaction id yet.
            tick.batch_execute("lock table shared_events.tick_lock in exclusive mode").await.unwrap();
            publish_in(&world, key, n, Duration::ZERO).await;
            tick.batch_execute("select shared_events.release_delayed(100)").await.unwrap();
            if nth % 2 == 0 {
                world.raise("beside").await;
            }
            let insert = "insert into shared_events.tick (snap) values (pg_current_snapshot())
                          returning pg_visible_in_snapshot(pg_current_xact_id(), snap)";
            seen.push(tick.query_one(insert, &[]).await.unwrap().get::<_, bool>(0));
            tick.commit().await.unwrap();
            have_seen(&world, &sink, key, n).await;
        }
    }
    // Others, too, commit at this server.
    let with_it = seen.iter().filter(|seen| **seen).count();
    assert!((30..50).contains(&with_it), "{with_it} of 50 with their own tick");
    world.settled().await;
    for key in KEYS {
        have_seen(&world, &sink, key, 10).await;
    }
    have_seen(&world, &sink, "beside", 30).await;
    relay.stop().await;
    bringing.stop().await;
}

#[tokio::test]
async fn what_is_due_comes_once_and_in_order_beside_writers() {
    let (world, sink) = (World::new().await, InMemory::default());
    let (relay, bringing) = (world.relay(seeing()).await, start(&world, &sink).await);
    for n in 1..=50 {
        let wait = Duration::from_millis(5) * n;
        publish_in(&world, KEYS[n as usize % 5], i64::from(n - 1) / 5 + 1, wait).await;
    }
    let write = async |writer: usize| {
        let (key, mut times) = (format!("beside {writer}"), 0);
        while !delayed(&world.db, None, 1).await.unwrap().is_empty() {
            world.raise(&key).await;
            times += 1;
        }
        (key, times)
    };
    let written = join_all((0..4).map(write)).await;
    world.settled().await;
    for key in KEYS {
        have_seen(&world, &sink, key, 10).await;
    }
    for (key, times) in written {
        have_seen(&world, &sink, &key, times).await;
    }
    assert!(sink.is_in_order());
    relay.stop().await;
    bringing.stop().await;
}
