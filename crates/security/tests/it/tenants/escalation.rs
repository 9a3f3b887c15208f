//! Nobody hands out what he does not have. ASVS 8.2.1, 8.2.2, 8.3.1.

use shared_security::{RoleDefinition, RoleRefusal};

use super::*;

/// All that an administrator may try who manages roles and reads notes, and nothing else.
#[tokio::test]
async fn an_administrator_hands_out_no_more_than_he_has() {
    let world = World::new().await;
    world.system().create(&RoleDefinition::new("writers").with_permissions(["notes:write"])).await.unwrap();
    world.system().assign("user:9", "writers").await.unwrap();
    let roles = world.by(&["roles:manage", "notes:read"]).await;
    let new = |name: &str| RoleDefinition::new(name);
    let too_much = |refused: RoleRefusal| {
        assert!(matches!(refused, RoleRefusal::Escalation { permission: "notes:write", .. }), "{refused}");
    };

    too_much(refusal(roles.create(&new("mine").with_permissions(["notes:write"])).await));
    too_much(refusal(roles.create(&new("mine").inheriting(["editor"])).await));
    too_much(refusal(roles.create(&new("mine").inheriting(["writers"])).await));
    too_much(refusal(roles.assign("admin:1", "editor").await));
    too_much(refusal(roles.assign("admin:1", "writers").await));
    // Nor does he disarm those who have more.
    too_much(refusal(roles.withdraw("user:9", "writers").await));
    too_much(refusal(roles.change(&new("writers"), 1).await));
    too_much(refusal(roles.delete("writers", 1).await));
    // In steps: first a role within his limit, then more in it.
    roles.create(&new("mine").with_permissions(["notes:read"])).await.unwrap();
    roles.assign("admin:1", "mine").await.unwrap();
    too_much(refusal(roles.change(&new("mine").inheriting(["writers"]), 1).await));

    let admin = principal(world.tenant, "admin:1", &["mine"], &["roles:manage"]);
    assert_eq!(world.permissions(&admin).await, ["notes:read", "roles:manage"]);
}

/// Whoever has a permission of the system may use it, and hands it out to nobody.
#[tokio::test]
async fn permissions_of_the_system_are_not_handed_out_by_tenants() {
    let world = World::new().await;
    let all: Vec<&str> = DESK.permissions().to_vec();
    let roles = world.by(&all).await;
    let system = |refused: RoleRefusal| {
        assert!(matches!(refused, RoleRefusal::System { permission: "users:impersonate", .. }), "{refused}");
    };
    system(refusal(roles.create(&RoleDefinition::new("mine").with_permissions(["users:impersonate"])).await));
    system(refusal(roles.create(&RoleDefinition::new("mine").inheriting(["operator"])).await));
    system(refusal(roles.assign("user:7", "operator").await));
    system(refusal(roles.withdraw("user:7", "operator").await));
    // Not even the system puts one into a role of a tenant's own; the program's roles it may assign.
    system(refusal(world.system().create(&RoleDefinition::new("mine").inheriting(["operator"])).await));
    world.system().assign("user:7", "operator").await.unwrap();
}

/// A row that was written past the crate, by a restore or by hand, gives nothing of the system either.
#[tokio::test]
async fn a_role_with_a_permission_of_the_system_in_its_row_grants_it_to_nobody() {
    let world = World::new().await;
    let superuser = world.superuser().await;
    superuser
        .execute(
            "insert into shared_security.role (tenant_id, name, permissions, inherits) values ($1, 'forged', $2, $3)",
            &[&world.tenant.as_uuid(), &vec!["tenants:suspend", "notes:read", "*"], &vec!["operator", "forged"]],
        )
        .await
        .unwrap();
    let user = principal(world.tenant, "user:7", &["forged"], &[]);
    assert_eq!(world.permissions(&user).await, ["notes:read"]);
}

/// An administrator's limit is what he has now, not what his token was issued with.
#[tokio::test]
async fn an_administrator_who_has_lost_a_role_hands_out_nothing_of_it() {
    let world = World::new().await;
    world.system().assign("admin:1", "admin").await.unwrap();
    let admin = principal(world.tenant, "admin:1", &["admin"], &["roles:manage"]);
    let before = world.admitted::<ManageRoles>(admin.clone()).await;
    world.tenants.roles(&before).assign("user:7", "editor").await.unwrap();

    world.system().withdraw("admin:1", "admin").await.unwrap();
    let after = world.admitted::<ManageRoles>(admin).await;
    let refused = refusal(world.tenants.roles(&after).assign("user:8", "editor").await);
    assert!(matches!(refused, RoleRefusal::Escalation { .. }), "{refused}");
}
