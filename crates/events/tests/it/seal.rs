//! What was changed behind the triggers shows.

use shared_db::statements;
use shared_events::{Error, seal};

use crate::support::{World, seeing, until};

statements! {
    const SEALED: Statement<(), i64> = "select coalesce(sum(events), 0)::int8 from shared_events.seal";
    const TODAY: Statement<(), String> = "select 'log_' || to_char(clock_timestamp() at time zone 'UTC', 'YYYYMMDD')";
}

const GONE: &str = "select to_regclass('shared_events.log_20200101') is null";

async fn sealed(world: &World, events: i64) {
    until(async || world.db.system().one(&SEALED, ()).await.unwrap() == events).await;
}

#[tokio::test]
async fn a_row_that_is_changed_added_or_removed_is_found() {
    let world = World::new().await;
    let relay = world.relay(seeing()).await;
    for round in 1..=3 {
        for n in 0..10 {
            world.raise(&format!("key {n}")).await;
        }
        world.settled().await;
        sealed(&world, round * 10).await;
    }
    relay.stop().await;
    let verified = seal::verify(&world.db, 1).await.unwrap();
    assert_eq!((verified.events, verified.gone), (30, 0));
    assert!(verified.seals >= 3 && verified.last.is_some());

    let superuser = world.superuser().await;
    let today = world.db.system().one(&TODAY, ()).await.unwrap();
    superuser
        .batch_execute(&format!("alter table shared_events.{today} disable trigger append_only"))
        .await
        .unwrap();
    for change in [
        "update shared_events.log set payload = '{\"key\": \"key 3\", \"n\": 7}' where key = 'key 3' and pos = (select min(pos) from shared_events.log where key = 'key 3')",
        "update shared_events.log set at = at + interval '1 microsecond' where key = 'key 4'",
        "delete from shared_events.log where key = 'key 5'",
        "insert into shared_events.log (lane, id, tenant_id, name, version, key, payload, context, xid)
         select lane, id, tenant_id, name, version, key, payload, context, xid from shared_events.log where key = 'key 6'",
        "update shared_events.seal set root = sha256('') where seal = (select max(seal) from shared_events.seal)",
        "update shared_events.seal set previous = sha256('') where seal = (select max(seal) from shared_events.seal)",
        "delete from shared_events.seal where seal = (select max(seal) - 1 from shared_events.seal)",
    ] {
        superuser.batch_execute("begin; alter table shared_events.log disable trigger append_only").await.unwrap();
        superuser.batch_execute(change).await.unwrap();
        superuser.batch_execute("commit").await.unwrap();
        let found = seal::verify(&world.db, 1).await;
        assert!(matches!(found, Err(Error::Tampered { .. })), "{change}: {found:?}");
        // The next change is found by itself.
        superuser.batch_execute("delete from shared_events.seal").await.unwrap();
        let relay = world.relay(seeing()).await;
        for _ in 0..3 {
            world.raise("again").await;
            world.settled().await;
            let all = superuser.query_one("select count(*) from shared_events.log", &[]).await.unwrap();
            sealed(&world, all.get(0)).await;
        }
        relay.stop().await;
        assert!(seal::verify(&world.db, 1).await.is_ok(), "{change}");
    }
}

#[tokio::test]
async fn seals_of_days_that_are_gone_are_told_apart() {
    let world = World::new().await;
    let superuser = world.superuser().await;
    superuser.batch_execute("select shared_events.make_day('2020-01-01')").await.unwrap();
    let old = "
        insert into shared_events.log (lane, id, tenant_id, name, version, key, payload, context, at)
        values (0, gen_random_uuid(), gen_random_uuid(), 'a.b', 1, 'old', '{}', '{}', '2020-01-01 12:00+00')";
    superuser.batch_execute(old).await.unwrap();
    let relay = world.relay(seeing()).await;
    world.settled().await;
    sealed(&world, 1).await;
    // It is older than the log is kept, and passed.
    let gone = async || superuser.query_one(GONE, &[]).await.unwrap().get(0);
    until(gone).await;
    world.raise("a").await;
    world.settled().await;
    sealed(&world, 2).await;
    relay.stop().await;
    let verified = seal::verify(&world.db, 1).await.unwrap();
    assert_eq!((verified.seals, verified.events, verified.gone), (1, 1, 1));
}
