//! Roles of a tenant's own.

use std::time::Duration;

use shared_core::{Clock, TenantId};
use shared_security::{Grant, Principal, RoleDefinition, RoleRefusal};
use time::OffsetDateTime;

use super::*;
use crate::roles::{ReadNotes, WriteNotes};

#[tokio::test]
async fn a_tenant_makes_a_role_and_its_users_have_it() {
    let world = World::new().await;
    let roles = world.system();
    let night = RoleDefinition::new("night-shift").inheriting(["reader"]).with_permissions(["books:read"]);
    roles.create(&night).await.unwrap();
    roles.assign("user:7", "night-shift").await.unwrap();
    assert_eq!(roles.of("user:7").await.unwrap(), ["night-shift"]);

    let user = principal(world.tenant, "user:7", &["night-shift"], &[]);
    assert_eq!(world.permissions(&user).await, ["notes:read", "books:read"]);
    let user = world.tenants.admit(user).await.unwrap();
    assert_eq!(
        user.explain("notes:read").to_string(),
        "notes:read is granted by the role night-shift, which inherits it from reader"
    );
    assert!(user.may::<ReadNotes>().is_some() && user.may::<WriteNotes>().is_none());
}

#[tokio::test]
async fn a_change_holds_for_tokens_that_are_out_and_names_its_version() {
    let world = World::new().await;
    let roles = world.system();
    let role = |permission| RoleDefinition::new("helper").with_permissions([permission]);
    roles.create(&role("notes:read")).await.unwrap();
    let user = principal(world.tenant, "user:7", &["helper"], &[]);
    assert_eq!(world.permissions(&user).await, ["notes:read"]);

    assert_eq!(roles.change(&role("books:read"), 1).await.unwrap(), 2);
    assert_eq!(world.permissions(&user).await, ["books:read"]);
    let stale = refusal(roles.change(&role("notes:erase"), 1).await);
    assert!(matches!(stale, RoleRefusal::Stale { found: 2, .. }), "{stale}");
    assert!(matches!(refusal(roles.delete("helper", 1).await), RoleRefusal::Stale { found: 2, .. }));
    let listed = roles.list().await.unwrap();
    assert_eq!((listed[0].name.as_str(), listed[0].version), ("helper", 2));
}

/// Two administrators read version 1 and change it: one wins, the other learns so.
#[tokio::test]
async fn of_two_changes_of_one_version_one_is_stale() {
    let world = World::new().await;
    let roles = world.system();
    roles.create(&RoleDefinition::new("helper")).await.unwrap();
    let change = async |permission: &'static str| {
        roles.change(&RoleDefinition::new("helper").with_permissions([permission]), 1).await
    };
    let (one, other) = tokio::join!(change("notes:read"), change("books:read"));
    let stale = if one.is_ok() { other } else { one.and(other.map(|_| 0)) };
    assert!(matches!(refusal(stale), RoleRefusal::Stale { found: 2, .. }));
    assert_eq!(roles.list().await.unwrap()[0].version, 2);
}

/// ASVS 8.3.2, 7.4.1. The token lives on and names the role; the subject no longer has it.
#[tokio::test]
async fn a_role_removed_while_its_session_lives_is_gone_at_the_next_request() {
    let world = World::new().await;
    let roles = world.system();
    roles.assign("user:7", "editor").await.unwrap();
    let (user, other) = (
        principal(world.tenant, "user:7", &["editor"], &["books:read"]),
        principal(world.tenant, "user:8", &["editor"], &[]),
    );
    assert_eq!(world.permissions(&user).await, ["notes:read", "notes:write", "books:read"]);

    roles.withdraw("user:7", "editor").await.unwrap();
    assert_eq!(world.permissions(&user).await, ["books:read"]);
    assert_eq!(world.permissions(&other).await, ["notes:read", "notes:write"], "another subject keeps it");
    let explained = world.tenants.admit(user.clone()).await.unwrap().explain("notes:write").to_string();
    assert!(explained.ends_with("unknown here or withdrawn: editor"), "{explained}");

    roles.assign("user:7", "editor").await.unwrap();
    assert_eq!(world.permissions(&user).await.len(), 3, "given back");
}

/// ASVS 8.3.2.
#[tokio::test]
async fn a_role_that_comes_back_under_its_name_is_not_in_tokens_from_before() {
    let world = World::new().await;
    let roles = world.system();
    let clock = Clock::manual(OffsetDateTime::now_utc());
    let verifier = verifier().with_clock(clock.clone());
    let token = || {
        let grant = Grant::new(world.tenant, "user:7").with_roles(["helper"]);
        let token = issuer().with_clock(clock.clone()).issue(&grant).unwrap();
        Principal::new(verifier.verify(token.expose()).unwrap(), &DESK, None)
    };
    roles.create(&RoleDefinition::new("helper").with_permissions(ReadNotes)).await.unwrap();
    let before = token();
    roles.delete("helper", 1).await.unwrap();
    assert_eq!(world.permissions(&before).await, [""; 0]);

    roles.create(&RoleDefinition::new("helper").with_permissions(WriteNotes)).await.unwrap();
    assert_eq!(world.permissions(&before).await, [""; 0], "it is another role");
    clock.advance(Duration::from_secs(60));
    assert_eq!(world.permissions(&token()).await, ["notes:write"]);
}

/// Withdrawals are forgotten after a day, so nothing may be older.
#[tokio::test]
async fn roles_in_a_token_of_more_than_a_day_count_for_nothing() {
    let world = World::new().await;
    let clock = Clock::manual(OffsetDateTime::now_utc() - Duration::from_secs(25 * 60 * 60));
    let issuer = issuer().with_clock(clock).with_lifetime(Duration::from_secs(48 * 60 * 60));
    let grant = Grant::new(world.tenant, "user:7").with_roles(["editor"]).with_permissions(["books:read"]);
    let token = issuer.issue(&grant).unwrap();
    let user = Principal::new(verifier().verify(token.expose()).unwrap(), &DESK, None);
    assert_eq!(world.permissions(&user).await, ["books:read"]);
}

#[tokio::test]
async fn a_role_that_others_inherit_from_stays_and_its_changes_reach_them() {
    let world = World::new().await;
    let roles = world.system();
    roles.create(&RoleDefinition::new("base").with_permissions(ReadNotes)).await.unwrap();
    roles.create(&RoleDefinition::new("middle").inheriting(["base"])).await.unwrap();
    roles.create(&RoleDefinition::new("top").inheriting(["middle"])).await.unwrap();
    let heir = refusal(roles.delete("base", 1).await);
    assert_eq!(heir.to_string(), "the role `middle` inherits from it; change that first");

    let user = principal(world.tenant, "user:7", &["top"], &[]);
    assert_eq!(world.permissions(&user).await, ["notes:read"]);
    roles.change(&RoleDefinition::new("base").with_permissions(["books:read"]), 1).await.unwrap();
    assert_eq!(world.permissions(&user).await, ["books:read"]);
}

#[tokio::test]
async fn what_no_role_can_be_is_refused() {
    let world = World::new().await;
    let roles = world.system();
    let new = |name: &str| RoleDefinition::new(name);
    roles.create(&new("a").inheriting(["reader"])).await.unwrap();
    roles.create(&new("b").inheriting(["a"])).await.unwrap();
    for name in ["", "*", "Helper", "a b", "ädmin", "a\0", &"x".repeat(64)] {
        assert_eq!(refusal(roles.create(&new(name)).await), RoleRefusal::Name, "{name:?}");
    }
    assert_eq!(refusal(roles.create(&new("a")).await), RoleRefusal::Taken);
    assert_eq!(refusal(roles.create(&new("admin")).await), RoleRefusal::Taken, "the program's");
    for permission in ["notes:*", "*", "notes:fly", "NOTES:READ", ""] {
        let refused = refusal(roles.create(&new("c").with_permissions([permission])).await);
        assert!(matches!(refused, RoleRefusal::NoPermission { .. }), "{permission}: {refused}");
    }
    let refused = refusal(roles.create(&new("c").inheriting(["ghost"])).await);
    assert!(matches!(refused, RoleRefusal::NoParent { .. }), "{refused}");
    assert_eq!(refusal(roles.change(&new("a").inheriting(["a"]), 1).await), RoleRefusal::Circle);
    assert_eq!(refusal(roles.change(&new("a").inheriting(["b"]), 1).await), RoleRefusal::Circle);
    assert_eq!(refusal(roles.change(&new("ghost"), 1).await), RoleRefusal::Unknown);
    assert_eq!(refusal(roles.assign("user:7", "ghost").await), RoleRefusal::Unknown);
    assert_eq!(refusal(roles.assign("two\nlines", "reader").await), RoleRefusal::Subject);
}

#[tokio::test]
async fn a_line_of_inheritance_has_an_end() {
    let world = World::new().await;
    let roles = world.system();
    roles.create(&RoleDefinition::new("r0").with_permissions(ReadNotes)).await.unwrap();
    let mut refused = None;
    for n in 1..40 {
        let role = RoleDefinition::new(format!("r{n}")).inheriting([format!("r{}", n - 1)]);
        if let Err(error) = roles.create(&role).await {
            refused = Some((n, refusal::<()>(Err(error))));
            break;
        }
    }
    assert!(matches!(refused, Some((32, RoleRefusal::TooMany { max: 32, .. }))), "{refused:?}");
}

/// ASVS 8.4.1. Both tenants call a role `helper`; each means its own.
#[tokio::test]
async fn tenants_that_use_one_name_have_two_roles() {
    let world = World::new().await;
    let neighbour = TenantId::new();
    let (ours, theirs) = (world.system(), world.tenants.system_roles(&scope(neighbour)));
    ours.create(&RoleDefinition::new("helper").with_permissions(ReadNotes)).await.unwrap();
    theirs.create(&RoleDefinition::new("helper").with_permissions(WriteNotes)).await.unwrap();
    theirs.withdraw("user:8", "helper").await.unwrap();

    let user = |tenant, subject| principal(tenant, subject, &["helper"], &[]);
    assert_eq!(world.permissions(&user(world.tenant, "user:7")).await, ["notes:read"]);
    assert_eq!(world.permissions(&user(world.tenant, "user:8")).await, ["notes:read"]);
    assert_eq!(world.permissions(&user(neighbour, "user:7")).await, ["notes:write"]);
    assert_eq!(world.permissions(&user(neighbour, "user:8")).await, [""; 0]);
    theirs.delete("helper", 1).await.unwrap();
    assert_eq!(world.permissions(&user(world.tenant, "user:7")).await, ["notes:read"]);
    assert_eq!(ours.list().await.unwrap().len(), 1);
}
