//! The app role adds jobs of its own tenant, and sees none.

use shared_core::{InTenant, TenantId};
use shared_db::{Statement, statements};
use shared_queues::{Enqueue, Enqueued, NewJob, Unique};

use crate::support::{Note, bench, tenant};

statements! {
    const SEE_BODY: Statement<(), i64> = "select count(*) from shared_queues.body";
    const SEE_READY: Statement<(), i64> = "select count(*) from shared_queues.ready";
    const SEE_WAITING: Statement<(), i64> = "select count(*) from shared_queues.waiting";
    const SEE_NEWS: Statement<(), i64> = "select count(*) from shared_queues.news";
    const SEE_MARKS: Statement<(), i64> = "select count(*) from shared_queues.mark";
    const SEE_LIMITS: Statement<(), i64> = "select count(*) from shared_queues.limit_use";
    const SEE_SCHEDULES: Statement<(), i64> = "select count(*) from shared_queues.schedule";
    const FORGE_READY: Statement<(TenantId,), ()> = "
        insert into shared_queues.ready (queue, band, position, job_id, tenant_id) values ('default', 1, 1, gen_random_uuid(), $1)";
    const FORGE_BODY: Statement<(TenantId,), ()> = "
        insert into shared_queues.body (job_id, position, tenant_id, queue, name, version, payload, context, band, due_at)
        values (gen_random_uuid(), 1, $1, 'default', 'a:b', 1, '{}', '{}', 1, now())";
    const FORGE_SCHEDULED: Statement<(TenantId,), ()> = "
        insert into shared_queues.scheduled (queue, due_at, position, band, tenant_id, job_id)
        values ('default', now(), 1, 1, $1, gen_random_uuid())";
    const FORGE_WAITING: Statement<(TenantId,), ()> = "
        insert into shared_queues.waiting (lane, position, queue, band, tenant_id, job_id, ordered, due_at)
        values (gen_random_uuid(), 1, 'default', 1, $1, gen_random_uuid(), false, now())";
    const FORGE_NEWS: Statement<(TenantId,), ()> = "
        insert into shared_queues.news (queue, position, tenant_id, ordered, lanes)
        values ('default', 1, $1, false, array[gen_random_uuid()])";
    const FREE_BY_NEWS: Statement<(TenantId,), ()> = "
        insert into shared_queues.news (queue, position, tenant_id, ordered, lanes, freed, limits)
        values ('default', 1, $1, false, array[gen_random_uuid()], true, array['stripe'])";
    const FORGE_UNIQUE: Statement<(TenantId,), i64> = "
        select e.place from shared_queues.enqueue_unique(array[$1::uuid], array[gen_random_uuid()], array['default'], array['a:b'], array[1],
               array['{}'], array['{}'], array[1::smallint], array[0::bigint], array[null], array[null], array['[\"existing\", \"0\", \"k\"]']) e";
    const FREE: Statement<(), String> = "select shared_queues.free('{}', '{}')::text";
    const COMPLETE: Statement<(), ()> = "
        select shared_queues.complete(gen_random_uuid(), 1, gen_random_uuid(), 0)";
}

const SEE: [&Statement<(), i64>; 7] =
    [&SEE_BODY, &SEE_READY, &SEE_WAITING, &SEE_NEWS, &SEE_MARKS, &SEE_LIMITS, &SEE_SCHEDULES];

const FORGE: [&Statement<(TenantId,), ()>; 5] =
    [&FORGE_READY, &FORGE_BODY, &FORGE_SCHEDULED, &FORGE_WAITING, &FORGE_NEWS];

#[tokio::test]
async fn another_tenant_sees_and_forges_nothing() {
    let bench = bench().await;
    bench.enqueue(Note { n: 1 }).await;
    let (victim, thief) = (bench.tenant.context().tenant(), tenant());
    for see in SEE {
        for proof in [&bench.tenant, &thief] {
            let refused = bench.db.tenant(proof).one(see, ()).await.unwrap_err();
            assert!(refused.is_permission_denied(), "{see:?}: {refused}");
        }
    }
    let freed =
        bench.db.tenant(&thief).execute(&FREE_BY_NEWS, (thief.context().tenant(),)).await.unwrap_err();
    assert!(freed.is_permission_denied(), "places in limits are not a tenant's to free: {freed}");
    for forge in FORGE {
        let refused = bench.db.tenant(&thief).execute(forge, (victim,)).await.unwrap_err();
        assert!(refused.is_permission_denied(), "{forge:?}: {refused}");
        let refused = bench.db.untenanted().execute(forge, (victim,)).await.unwrap_err();
        assert!(refused.is_permission_denied(), "{forge:?}: {refused}");
    }
    let refused = bench.db.tenant(&thief).one(&FORGE_UNIQUE, (victim,)).await.unwrap_err();
    assert!(refused.is_permission_denied(), "{refused}");
    let refused = bench.db.tenant(&thief).one(&FREE, ()).await.unwrap_err();
    assert!(refused.is_permission_denied(), "{refused}");
    assert_eq!(bench.db.tenant(&thief).execute(&COMPLETE, ()).await.unwrap_err().code(), Some("SQ001"));
    assert_eq!(bench.backlog().await.ready, 1);
}

#[tokio::test]
async fn the_same_key_is_another_in_each_tenant() {
    let bench = bench().await;
    let note = || NewJob::of(Note { n: 1 }).unique(Unique::existing("the key"));
    for proof in [&bench.tenant, &tenant()] {
        let answer = bench.db.tenant(proof).tx(async |tx| tx.enqueue(note()).await).await.unwrap();
        assert!(answer.is_inserted(), "{answer:?}");
    }
    let again = bench.db.tenant(&bench.tenant).tx(async |tx| tx.enqueue(note()).await).await.unwrap();
    assert!(matches!(again, Enqueued::Existing(_)));
}

#[tokio::test]
async fn statements_fit_the_schema() {
    let bench = bench().await;
    for statements in shared_queues::statements() {
        assert_eq!(
            shared_db::testing::mismatches(&bench.db, statements).await.unwrap(),
            Vec::<String>::new()
        );
    }
}
