//! The log can't be changed, and shows each tenant its own.

use shared_db::statements;

use crate::support::{World, a_tenant};

statements! {
    const COUNT: Statement<(), i64> = "select count(*) from shared_events.log";
    const UPDATE: Statement<(), ()> = "update shared_events.log set key = 'x'";
    const DELETE: Statement<(), ()> = "delete from shared_events.log";
    const TRUNCATE: Statement<(), ()> = "truncate shared_events.log";
    const FORGE: Statement<(), ()> = "
        insert into shared_events.log (lane, id, tenant_id, name, version, key, payload, context, xid)
        values (shared_events.lane_of($tenant, 'k'), gen_random_uuid(), $tenant, 'a.b', 1, 'k', '{}', '{}', '3')";
    const FOREIGN: Statement<(), ()> = "
        insert into shared_events.log (lane, id, tenant_id, name, version, key, payload, context)
        select shared_events.lane_of(other, 'k'), gen_random_uuid(), other, 'a.b', 1, 'k', '{}', '{}'
          from gen_random_uuid() as other where $tenant::uuid is not null";
    const ASTRAY: Statement<(), ()> = "
        insert into shared_events.log (lane, id, tenant_id, name, version, key, payload, context)
        values ((shared_events.lane_of($tenant, 'k') + 1) & 15, gen_random_uuid(), $tenant, 'a.b', 1, 'k', '{}', '{}')";
    const WRITE: Statement<(String, i32, String), ()> = "
        insert into shared_events.log (lane, id, tenant_id, name, version, key, payload, context)
        values (shared_events.lane_of($tenant, $3::text), gen_random_uuid(), $tenant, $1::text, $2::int4, $3::text, '{}', '{}')";
    const UNMARK: Statement<(), ()> = "delete from shared_events.position";
}

#[tokio::test]
async fn nobody_changes_the_log() {
    let world = World::new().await;
    world.raise("a").await;
    for statement in [&UPDATE, &DELETE, &TRUNCATE] {
        let app = world.db.tenant(&world.tenant).execute(statement, ()).await.unwrap_err();
        let system = world.db.system().execute(statement, ()).await.unwrap_err();
        assert!(app.is_permission_denied() && system.is_permission_denied(), "{}", statement.name());
        // Not even who may do everything.
        let superuser = world.superuser().await.batch_execute(statement.sql()).await.unwrap_err();
        assert_eq!(superuser.as_db_error().unwrap().message(), "the log of events is append-only");
    }
    assert_eq!(world.db.system().one(&COUNT, ()).await.unwrap(), 1);
    // Nor a day of it that is named itself.
    let superuser = world.superuser().await;
    let days = "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
                 where i.inhparent = 'shared_events.log'::regclass";
    let days = superuser.query(days, &[]).await.unwrap();
    assert!(days.len() >= 4);
    for day in days {
        let day: String = day.get(0);
        let refused = superuser.batch_execute(&format!("delete from shared_events.{day}")).await.unwrap_err();
        assert_eq!(refused.as_db_error().unwrap().message(), "the log of events is append-only", "{day}");
    }
}

#[tokio::test]
async fn a_tenant_sees_its_own_events_and_writes_no_other_s() {
    let world = World::new().await;
    world.raise("a").await;
    assert_eq!(world.db.tenant(&world.tenant).one(&COUNT, ()).await.unwrap(), 1);
    assert_eq!(world.db.tenant(&a_tenant()).one(&COUNT, ()).await.unwrap(), 0);
    assert_eq!(world.db.untenanted().one(&COUNT, ()).await.unwrap(), 0);
    for statement in [&FORGE, &FOREIGN, &ASTRAY, &UNMARK] {
        let refused = world.db.tenant(&world.tenant).execute(statement, ()).await.unwrap_err();
        assert!(refused.is_permission_denied(), "{}: {refused}", statement.name());
    }
}

#[tokio::test]
async fn the_server_too_takes_only_what_an_event_may_be() {
    let world = World::new().await;
    let door = world.db.tenant(&world.tenant);
    let long = |characters| "ä".repeat(characters);
    for (name, version, key) in [
        (String::new(), 1, long(1)),
        (long(101), 1, long(1)),
        (long(1), 0, long(1)),
        (long(1), 1, String::new()),
        (long(1), 1, long(256)),
    ] {
        let refused = door.execute(&WRITE, (name, version, key)).await.unwrap_err();
        assert!(refused.is_check_violation(), "{refused}");
    }
    door.execute(&WRITE, (long(100), i32::from(u16::MAX), long(255))).await.unwrap();
}
