//! What one process changes, the others see. ASVS 8.3.2.

use std::time::Duration;

use shared_security::RoleDefinition;

use super::*;

#[tokio::test]
async fn another_process_sees_a_removed_role() {
    let world = World::new().await;
    let neighbour = world.neighbour().await;
    world.system().create(&RoleDefinition::new("helper").with_permissions(["notes:read"])).await.unwrap();
    let user = principal(world.tenant, "user:7", &["helper"], &[]);
    assert_eq!(permissions(&neighbour, &user).await, ["notes:read"]);

    world.system().withdraw("user:7", "helper").await.unwrap();
    until(async || permissions(&neighbour, &user).await.is_empty()).await;
    world.system().assign("user:7", "helper").await.unwrap();
    until(async || permissions(&neighbour, &user).await == ["notes:read"]).await;
    world.system().delete("helper", 1).await.unwrap();
    until(async || permissions(&neighbour, &user).await.is_empty()).await;
}

/// Notifications are a hint: here none is sent at all.
#[tokio::test]
async fn what_nobody_was_told_of_is_found_by_looking() {
    let world = World::new().await;
    let neighbour = world.neighbour().await;
    let mute = "create or replace function shared_security.tell() returns trigger language plpgsql
        set search_path = pg_catalog, pg_temp as 'begin new.changed := pg_current_xact_id(); return new; end'";
    world.superuser().await.batch_execute(mute).await.unwrap();
    let user = principal(world.tenant, "user:7", &["editor"], &[]);
    assert_eq!(permissions(&neighbour, &user).await.len(), 2);
    world.system().withdraw("user:7", "editor").await.unwrap();
    until(async || permissions(&neighbour, &user).await.is_empty()).await;
}

/// A transaction that is open while others commit is not overlooked when it commits at last.
#[tokio::test]
async fn a_change_that_commits_late_is_found_too() {
    let world = World::new().await;
    let neighbour = world.neighbour().await;
    let (late, other) = (TenantId::new(), TenantId::new());
    let mut superuser = world.superuser().await;
    superuser.batch_execute("drop trigger tell on shared_security.tenant").await.unwrap();
    let open = superuser.transaction().await.unwrap();
    let suspend = "insert into shared_security.tenant (tenant_id, suspended_at) values ($1, now())";
    open.execute(suspend, &[&late.as_uuid()]).await.unwrap();
    let user = |tenant| principal(tenant, "user:7", &[], &[]);
    assert!(neighbour.admit(user(late)).await.is_ok(), "not committed");

    // A younger one commits first, and is seen: the look has passed it by.
    let admitted = async |tenant| neighbour.admit(user(tenant)).await.is_ok();
    assert!(admitted(other).await);
    let quick = world.superuser().await;
    quick.execute(suspend, &[&other.as_uuid()]).await.unwrap();
    until(async || !admitted(other).await).await;
    assert!(admitted(late).await);
    open.commit().await.unwrap();
    until(async || !admitted(late).await).await;
}

/// ASVS 16.5.3. Views that nobody confirms are believed for a while, and then no more.
#[tokio::test]
async fn whoever_can_no_longer_look_admits_nobody() {
    let world = World::new().await;
    let config = TenantsConfig { max_stale: Duration::from_secs(1), ..TenantsConfig::default() };
    let (_, tenants) = process(&world.database, config).await;
    let user = principal(world.tenant, "user:7", &["editor"], &[]);
    assert!(tenants.admit(user.clone()).await.is_ok());
    tenants.stop().await;
    until(async || tenants.admit(user.clone()).await.is_err()).await;
    let problem = tenants.admit(user).await.unwrap_err();
    assert_eq!(problem.status(), 503);
    assert!(world.tenants.admit(principal(world.tenant, "user:7", &[], &[])).await.is_ok());
}

#[tokio::test]
async fn settings_that_can_not_work_are_refused() {
    let world = World::new().await;
    for (poll, max_stale) in [(0, 1000), (1000, 1000), (2000, 1000)] {
        let (poll, max_stale) = (Duration::from_millis(poll), Duration::from_millis(max_stale));
        let config = TenantsConfig { poll, max_stale, ..TenantsConfig::default() };
        assert!(matches!(Tenants::start(world.db.clone(), &DESK, config).await, Err(Error::Tenants(_))));
    }
}
