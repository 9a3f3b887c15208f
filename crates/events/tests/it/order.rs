//! Order within a key, and completeness, whatever the transactions do to each other.

use serde::{Deserialize, Serialize};
use shared_core::{Failure, InTenant as _};
use shared_db::{TenantTx, statements};
use shared_devkit::{Postgres, PostgresOptions};
use shared_events::{Config, Event, Events, Publish as _, Received, Relay};

use crate::support::{World, quick, raise, raised, see_as, seeing, until};

statements! {
    const CUT: Statement<(), ()> = "insert into shared_events.tick (snap) values (pg_current_snapshot())";
    const OLD: Statement<(String,), i64> = "
        insert into it.counter (tenant_id, key, n) values ($tenant, $1, 1) returning n";
    // An event whose position is drawn long before its transaction commits.
    const EARLY: Statement<(String,), ()> = "
        insert into shared_events.log (lane, id, tenant_id, name, version, key, payload, context)
        values (shared_events.lane_of($tenant, $1::text), gen_random_uuid(), $tenant, 'counter.raised', 1, $1::text, json_build_object('key', $1::text, 'n', 1),
                json_build_object('actor', 'test', 'correlation', 'test'))";
    const BY_XID: Statement<(String,), i64> = "
        select (payload ->> 'n')::bigint from shared_events.log where key = $1 order by xid, pos";
    const BY_POS: Statement<(), String> = "select key from shared_events.log order by pos";
}

/// A has the lowest transaction id, C the next, B the highest; they take the key's lock in the order B, A, C. With ticks at every
/// combination of places.
#[tokio::test]
async fn events_of_a_key_come_in_the_order_of_its_lock() {
    let world = World::new().await;
    for placement in 0..16 {
        let key = format!("key {placement}");
        let tick_at = async |place: u32| {
            if placement & (1 << place) != 0 {
                world.db.system().execute(&CUT, ()).await.unwrap();
            }
        };
        let mut a = world.db.tenant(&world.tenant).begin().await.unwrap();
        a.one(&OLD, (format!("{key}, a"),)).await.unwrap();
        let mut c = world.db.tenant(&world.tenant).begin().await.unwrap();
        c.one(&OLD, (format!("{key}, c"),)).await.unwrap();
        tick_at(0).await;
        world.raise(&key).await;
        tick_at(1).await;
        raise(&mut a, &key).await.unwrap();
        a.commit().await.unwrap();
        tick_at(2).await;
        raise(&mut c, &key).await.unwrap();
        c.commit().await.unwrap();
        tick_at(3).await;
        // The schedule does invert the order of the transaction ids.
        assert_eq!(world.db.tenant(&world.tenant).all(&BY_XID, (&key,)).await.unwrap(), [2, 3, 1]);
    }
    let relay = world.relay(seeing()).await;
    world.settled().await;
    for placement in 0..16 {
        assert_eq!(
            world.seen("see", &format!("key {placement}")).await,
            [1, 2, 3],
            "ticks at {placement:04b}"
        );
    }
    relay.stop().await;
}

#[tokio::test]
async fn an_open_writer_holds_nobody_up_and_its_events_are_not_lost() {
    let world = World::new().await;
    let relay = world.relay(seeing()).await;
    let mut open = world.db.tenant(&world.tenant).begin().await.unwrap();
    open.execute(&EARLY, ("late",)).await.unwrap();
    for n in 1..=20 {
        world.raise("other").await;
        until(async || world.seen("see", "other").await.len() == n).await;
    }
    assert_eq!(world.seen("see", "late").await, Vec::<i64>::new());
    open.commit().await.unwrap();
    world.settled().await;
    assert_eq!(world.seen("see", "late").await, [1]);
    // Its position was the lowest of all: a reader that asks for the positions after its last one had lost it.
    assert_eq!(world.db.tenant(&world.tenant).all(&BY_POS, ()).await.unwrap()[0], "late");
    relay.stop().await;
}

/// It is open, and no session's: it has outlived the one that prepared it.
#[tokio::test]
async fn a_prepared_transaction_holds_nobody_up_and_its_events_come_when_it_commits() {
    let options = PostgresOptions::new().setting("max_prepared_transactions", 2);
    let server = Postgres::exclusive_with(options).await.unwrap();
    let world = World::on(&server).await;
    let relay = world.relay(seeing()).await;
    let tenant = world.tenant.context().tenant();
    let prepared = format!(
        "begin;
         insert into shared_events.log (lane, id, tenant_id, name, version, key, payload, context)
         values (shared_events.lane_of('{tenant}', 'late'), gen_random_uuid(), '{tenant}', 'counter.raised', 1, 'late',
                 '{{\"key\": \"late\", \"n\": 1}}', '{{\"actor\": \"test\", \"correlation\": \"test\"}}');
         prepare transaction 'late'"
    );
    world.superuser().await.batch_execute(&prepared).await.unwrap();
    for n in 1..=20 {
        world.raise("other").await;
        until(async || world.seen("see", "other").await.len() == n).await;
    }
    assert_eq!(world.seen("see", "late").await, Vec::<i64>::new());
    world.superuser().await.batch_execute("commit prepared 'late'").await.unwrap();
    world.settled().await;
    assert_eq!(world.seen("see", "late").await, [1]);
    relay.stop().await;
}

#[tokio::test]
async fn a_batch_of_many_pages_keeps_the_order() {
    let world = World::new().await;
    let mut tx = world.db.tenant(&world.tenant).begin().await.unwrap();
    for _ in 0..25 {
        raise(&mut tx, "a").await.unwrap();
        raise(&mut tx, "b").await.unwrap();
    }
    tx.commit().await.unwrap();
    let config = Config { page: 7, ..quick() };
    let relay = Relay::start(world.db.clone(), (), seeing(), config).await.unwrap();
    world.settled().await;
    for key in ["a", "b"] {
        assert_eq!(world.seen("see", key).await, Vec::from_iter(1..=25));
    }
    relay.stop().await;
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "text.written", version = 1, key = "key")]
struct Written {
    key: String,
    n: i64,
    text: String,
}

async fn read(tx: &mut TenantTx, written: Received<Written>) -> Result<(), Failure> {
    see_as("read", tx, &raised(&written.key, written.n)).await
}

/// Twelve megabytes, of which a lane has half a megabyte in memory at once.
#[tokio::test]
async fn a_batch_of_many_bytes_keeps_the_order() {
    let world = World::new().await;
    let mut tx = world.db.tenant(&world.tenant).begin().await.unwrap();
    for n in 1..=60 {
        tx.publish(Written { key: "a".to_owned(), n, text: "x".repeat(200_000) }).await.unwrap();
    }
    tx.commit().await.unwrap();
    let relay = world.relay(Events::new().handle("read", read)).await;
    world.settled().await;
    assert_eq!(world.seen("read", "a").await, Vec::from_iter(1..=60));
    relay.stop().await;
}
