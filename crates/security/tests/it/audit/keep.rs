//! How long entries are kept, and what is left of them.

use shared_security::audit::{Export, Finding, prune};
use time::OffsetDateTime;

use crate::audit::support::World;

async fn now(world: &World) -> OffsetDateTime {
    world.superuser().await.query_one("select clock_timestamp()", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn old_batches_go_and_the_chain_still_holds() {
    let world = World::new().await;
    world.record(5).await;
    world.seal().await;
    let before = now(&world).await;
    world.record(4).await;
    world.seal().await;
    let pruned = prune(&world.db, before).await.unwrap();
    assert_eq!(pruned.entries, 5);
    assert_eq!(world.positions().await.len(), 4);
    assert_eq!(world.without_tenant("audit.pruned").await, 1);
    assert_eq!(prune(&world.db, before).await.unwrap().batches, 0);
    world.seal().await;
    let report = world.verified().await;
    assert!(report.is_intact(), "{report}");
    assert_eq!((report.pruned, report.entries), (5, 5), "{report}");
    assert!(report.to_string().contains("5 entries up to"), "{report}");

    // What was not pruned is as well kept as before.
    let pos = world.positions().await[0];
    let sql = format!("delete from shared_security.audit_log where pos = {pos}");
    world.owner().await.batch_execute(&sql).await.unwrap();
    assert!(
        matches!(world.verified().await.findings[..], [Finding::Removed { pos: gone, .. }] if gone == pos)
    );
}

/// An entry goes with its whole batch, in the transaction that notes that, and in no other way.
#[tokio::test]
async fn the_system_role_deletes_nothing_but_whole_batches_that_it_notes() {
    let world = World::new().await;
    world.record(2).await;
    world.seal().await;
    let superuser = world.superuser().await;
    superuser.batch_execute("set role shared_system").await.unwrap();
    let note = "insert into shared_security.audit_pruned (tenant_id, number)
                select tenant_id, number from shared_security.audit_seal";
    let delete = "delete from shared_security.audit_log";
    let refused = superuser.batch_execute(delete).await.unwrap_err();
    assert_eq!(refused.as_db_error().unwrap().message(), "the audit log is append-only");
    superuser.batch_execute(note).await.unwrap();
    let late = superuser.batch_execute(delete).await.unwrap_err();
    assert_eq!(late.as_db_error().unwrap().message(), "the audit log is append-only");
    assert_eq!(world.positions().await.len(), 2);
}

#[tokio::test]
async fn an_export_is_by_tenant_and_time() {
    let world = World::new().await;
    world.record(3).await;
    let between = now(&world).await;
    world.record(2).await;
    crate::audit::support::record(&world.db, &crate::audit::support::a_tenant(), "theirs").await;
    let count = async |export: Export| export.run(&world.db, &mut std::io::sink()).await.unwrap();
    assert_eq!(count(Export::default()).await, 6);
    assert_eq!(count(Export::default().tenant(world.id())).await, 5);
    assert_eq!(count(Export::default().tenant(world.id()).since(between)).await, 2);
    assert_eq!(count(Export::default().until(between)).await, 3);
}
