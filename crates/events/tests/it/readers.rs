//! The classical readers of such a log beside the relay: each breaks a promise where it does not.

use shared_db::statements;

use crate::support::{World, raise, seeing, until};

statements! {
    const BEHIND: Statement<(i64,), (i64, String, i64)> = "
        select pos, key, (payload ->> 'n')::bigint from shared_events.log where pos > $1 order by pos";
    // Only what no open transaction can come before.
    const BELOW_THE_HORIZON: Statement<(i64, i64), (i64, i64, String, i64)> = "
        select xid::text::bigint, pos, key, (payload ->> 'n')::bigint from shared_events.log
         where (xid, pos) > ($1::int8::text::xid8, $2) and xid < pg_snapshot_xmin(pg_current_snapshot()) order by xid, pos";
    const WRITE: Statement<(String,), ()> = "
        insert into it.counter (tenant_id, key, n) values ($tenant, $1, 0)";
}

const EARLY: &str = "
    insert into shared_events.log (lane, id, tenant_id, name, version, key, payload, context)
    values (shared_events.lane_of($1::text::uuid, 'early'), gen_random_uuid(), $1::text::uuid, 'counter.raised', 1, 'early', '{\"key\": \"early\", \"n\": 1}',
            json_build_object('actor', 'test', 'correlation', 'test'))";

/// What a reader has read of the keys that it is asked for.
#[derive(Default)]
struct Read(Vec<(String, i64)>);

impl Read {
    fn of(&self, key: &str) -> Vec<i64> {
        self.0.iter().filter(|(of, _)| of == key).map(|(_, n)| *n).collect()
    }
}

/// Remembers the last position, and asks for what is greater.
#[derive(Default)]
struct ByPosition {
    last: i64,
    read: Read,
}

impl ByPosition {
    async fn poll(&mut self, world: &World) {
        for (pos, key, n) in world.db.system().all(&BEHIND, (self.last,)).await.unwrap() {
            self.last = pos;
            self.read.0.push((key, n));
        }
    }
}

/// Remembers the last transaction and position, and reads as far as the oldest open transaction.
#[derive(Default)]
struct ByTransaction {
    last: (i64, i64),
    read: Read,
}

impl ByTransaction {
    async fn poll(&mut self, world: &World) {
        for (xid, pos, key, n) in world.db.system().all(&BELOW_THE_HORIZON, self.last).await.unwrap() {
            self.last = (xid, pos);
            self.read.0.push((key, n));
        }
    }
}

#[tokio::test]
async fn who_asks_for_greater_positions_loses_what_commits_late() {
    let world = World::new().await;
    let (relay, mut classical) = (world.relay(seeing()).await, ByPosition::default());
    // Events go with the COMMIT: another session's insert stands in for one that takes its time.
    let mut superuser = world.superuser().await;
    let open = superuser.transaction().await.unwrap();
    let tenant = shared_core::InTenant::context(&world.tenant).tenant().to_string();
    open.execute(EARLY, &[&tenant]).await.unwrap();
    world.raise("late").await;
    until(async || world.seen("see", "late").await == [1]).await;
    classical.poll(&world).await;
    open.commit().await.unwrap();
    world.settled().await;
    classical.poll(&world).await;
    assert_eq!((classical.read.of("late"), classical.read.of("early")), (vec![1], vec![]));
    assert_eq!((world.seen("see", "late").await, world.seen("see", "early").await), (vec![1], vec![1]));
    relay.stop().await;
}

#[tokio::test]
async fn who_sorts_by_transactions_turns_a_key_s_events_round() {
    let world = World::new().await;
    let (relay, mut by_transaction) = (world.relay(seeing()).await, ByTransaction::default());
    // The first has its id early, and gets the key's lock last.
    let mut first = world.db.tenant(&world.tenant).begin().await.unwrap();
    first.execute(&WRITE, ("something else",)).await.unwrap();
    world.raise("a").await;
    raise(&mut first, "a").await.unwrap();
    first.commit().await.unwrap();
    world.settled().await;
    until_read(&mut by_transaction, &world, 2).await;
    assert_eq!((by_transaction.read.of("a"), world.seen("see", "a").await), (vec![2, 1], vec![1, 2]));
    relay.stop().await;
}

#[tokio::test]
async fn who_waits_for_the_oldest_transaction_stands_still_behind_a_stranger() {
    let world = World::new().await;
    stands_still_behind(&world, &world).await;
}

#[tokio::test]
async fn who_waits_for_the_oldest_transaction_stands_still_behind_another_database() {
    let (world, elsewhere) = (World::new().await, World::new().await);
    stands_still_behind(&world, &elsewhere).await;
}

/// Somebody has written in this place, and does not commit.
async fn stands_still_behind(world: &World, place: &World) {
    let (relay, mut by_transaction) = (world.relay(seeing()).await, ByTransaction::default());
    let mut stranger = place.db.tenant(&place.tenant).begin().await.unwrap();
    stranger.execute(&WRITE, ("nothing of ours",)).await.unwrap();
    for _ in 0..5 {
        world.raise("a").await;
        by_transaction.poll(world).await;
    }
    world.settled().await;
    assert_eq!((by_transaction.read.of("a"), world.seen("see", "a").await), (vec![], vec![1, 2, 3, 4, 5]));
    stranger.rollback().await;
    until_read(&mut by_transaction, world, 5).await;
    relay.stop().await;
}

/// Polls until it has read so many of the key `a`: other tests of the server have transactions open as well.
async fn until_read(reader: &mut ByTransaction, world: &World, events: usize) {
    let wait = async {
        while reader.read.of("a").len() < events {
            reader.poll(world).await;
            tokio::time::sleep(std::time::Duration::from_millis(2)).await; // a condition is polled
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), wait)
        .await
        .expect("somebody's transaction stays open");
}
