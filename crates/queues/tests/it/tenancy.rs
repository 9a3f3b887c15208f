//! The app role adds jobs of its own tenant, and sees none.

use shared_core::InTenant;
use shared_db::statements;

use crate::support::{Note, bench, tenant};

statements! {
    const COUNT: Statement<(), i64> = "select count(*) from shared_queues.body";
    const FORGE: Statement<(shared_core::TenantId,), ()> = "
        insert into shared_queues.ready (queue, id, tenant_id) values ('default', 1, $1)";
    const FORGE_BODY: Statement<(shared_core::TenantId,), ()> = "
        insert into shared_queues.body (id, tenant_id, job_id, queue, name, version, payload, context, due_at)
        values (999, $1, gen_random_uuid(), 'default', 'a:b', 1, '{}', '{}', now())";
    const COMPLETE: Statement<(), ()> = "
        select shared_queues.complete(gen_random_uuid(), 1, 1)";
}

#[tokio::test]
async fn another_tenant_sees_and_forges_nothing() {
    let bench = bench().await;
    bench.enqueue(Note { n: 1 }).await;
    for proof in [&bench.tenant, &tenant()] {
        let refused = bench.db.tenant(proof).one(&COUNT, ()).await.unwrap_err();
        assert!(refused.is_permission_denied(), "{refused}");
    }
    let victim = bench.tenant.context().tenant();
    let thief = tenant();
    for forge in [&FORGE, &FORGE_BODY] {
        assert!(bench.db.tenant(&thief).execute(forge, (victim,)).await.unwrap_err().is_permission_denied());
        assert!(bench.db.untenanted().execute(forge, (victim,)).await.unwrap_err().is_permission_denied());
    }
    assert_eq!(bench.db.tenant(&thief).execute(&COMPLETE, ()).await.unwrap_err().code(), Some("SQ001"));
    assert_eq!(bench.backlog().await.ready, 1);
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
