//! Acting as somebody else, and in other tenants. ASVS 8.2.1, 8.4.1, 16.3.3.

use shared_core::{InTenant, TenantId};
use shared_security::Error;

use super::*;
use crate::log::Log;
use crate::roles::ActAsUser;

fn operator(tenant: TenantId) -> Principal {
    principal(tenant, "operator:1", &["operator"], &[])
}

#[tokio::test]
async fn who_acts_as_a_user_has_what_the_user_has_and_both_are_named() {
    let (world, log) = (World::new().await, Log::default());
    let _logging = log.install();
    world.system().assign("user:7", "editor").await.unwrap();
    let may = world.admitted::<ActAsUser>(operator(TenantId::new())).await;
    let scope = may.in_tenant(world.tenant, "ticket 4711: the list is empty").unwrap();
    let grant = world.tenants.impersonate(&scope, "user:7").await.unwrap();

    let user = world.tenants.admit(issued(&grant, &verifier())).await.unwrap();
    assert_eq!(user.permissions().names().collect::<Vec<_>>(), ["notes:read", "notes:write"]);
    let context = user.context();
    assert_eq!((context.tenant(), context.actor().as_str()), (world.tenant, "user:7"));
    assert_eq!(context.delegate().map(|delegate| delegate.as_str()), Some("operator:1"));
    for part in ["impersonation.granted", "operator:1", "user:7", "ticket 4711: the list is empty"] {
        assert!(log.text().contains(part), "{part} is missing in\n{}", log.text());
    }

    // The user has less: so has who acts as him.
    world.system().withdraw("user:7", "editor").await.unwrap();
    assert_eq!(world.permissions(&user).await, [""; 0]);
}

#[tokio::test]
async fn nobody_acts_as_somebody_with_a_permission_of_the_system() {
    let world = World::new().await;
    world.system().assign("operator:2", "operator").await.unwrap();
    let may = world.admitted::<ActAsUser>(operator(world.tenant)).await;
    let scope = may.in_tenant(world.tenant, "ticket 4711").unwrap();
    let refused = world.tenants.impersonate(&scope, "operator:2").await.unwrap_err();
    assert!(matches!(refused, Error::NotImpersonated { .. }), "{refused}");
}

/// One who acts as another has no power of the system, whatever the token says, and so goes no further.
#[tokio::test]
async fn nobody_acts_as_another_through_a_third() {
    let world = World::new().await;
    let grant = Grant::new(world.tenant, "operator:2").with_roles(["operator"]).with_actor("operator:1");
    let may = world.admitted::<ActAsUser>(issued(&grant, &verifier())).await;
    assert!(matches!(may.in_tenant(TenantId::new(), "ticket 4711"), Err(Error::Delegated)));
}

#[tokio::test]
async fn the_power_of_the_system_needs_a_reason_and_is_audited() {
    let log = Log::default();
    let _logging = log.install();
    let (home, other) = (TenantId::new(), TenantId::new());
    let may = operator(home).require::<ActAsUser>().unwrap();
    for reason in ["", "  ", "two\nlines", &"x".repeat(1001)] {
        assert!(matches!(may.in_tenant(other, reason), Err(Error::Reason)), "{reason:?}");
    }
    let refused = log.text();
    assert_eq!(refused.matches("system.scope").count(), 4, "{refused}");
    assert!(refused.contains("denied") && refused.contains("users:impersonate"), "{refused}");
    assert!(!refused.contains("allowed") && !refused.contains("two"), "{refused}");
    let scope = may.in_tenant(other, "ticket 4711").unwrap();
    assert_eq!((scope.context().tenant(), scope.context().actor().as_str()), (other, "operator:1"));
    assert_eq!(scope.context().correlation(), may.context().correlation());
    for part in ["system.scope", &other.to_string(), "operator:1", "ticket 4711"] {
        assert!(log.text().contains(part), "{part} is missing in\n{}", log.text());
    }
}

/// ASVS 16.3.2. Denials and requests for another tenant are in the audit, with who it was.
#[tokio::test]
async fn denials_are_audited() {
    let log = Log::default();
    let _logging = log.install();
    let (mine, theirs) = (TenantId::new(), TenantId::new());
    let who = principal(mine, "user:7", &["reader"], &[]);
    let may = who.require::<crate::roles::ReadNotes>().unwrap();
    who.require::<ActAsUser>().unwrap_err();
    shared_security::ClaimedTenant::new(theirs.to_string()).confirm(&may).unwrap_err();
    let text = log.text();
    for part in ["permission.denied", "users:impersonate", "tenant.mismatch", "user:7", &mine.to_string()] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(!text.contains(&theirs.to_string()), "what a caller sent is not repeated\n{text}");
}
