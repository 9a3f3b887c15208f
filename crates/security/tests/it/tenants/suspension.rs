//! A tenant that is locked out as a whole. ASVS 8.3.2, 7.4.2.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use http_body_util::BodyExt;
use serde_json::Value;
use shared_core::TenantId;
use shared_security::BearerLayer;
use tower::ServiceExt;

use super::*;
use crate::roles::{ReadNotes, SuspendTenant};

fn app(tenants: &Tenants) -> Router {
    Router::new()
        .route("/notes", get(async |_: May<ReadNotes>| "notes"))
        .route("/public", get(async || "hello"))
        .layer(tenants.layer())
        .layer(BearerLayer::new(verifier(), &DESK))
}

async fn answer(tenants: &Tenants, path: &str, tenant: Option<TenantId>) -> (u16, Value) {
    let mut request = Request::get(path);
    if let Some(tenant) = tenant {
        let token = issuer().issue(&Grant::new(tenant, "user:7").with_roles(["reader"])).unwrap();
        request = request.header("authorization", format!("Bearer {}", token.expose()));
    }
    let response = app(tenants).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn a_suspended_tenant_is_locked_out_at_once_and_the_others_are_not() {
    let world = World::new().await;
    let (suspended, other) = (Some(world.tenant), Some(TenantId::new()));
    assert_eq!(answer(&world.tenants, "/notes", suspended).await.0, 200);

    let operator = principal(TenantId::new(), "operator:1", &["operator"], &[]);
    let may = world.admitted::<SuspendTenant>(operator).await;
    let scope = may.in_tenant(world.tenant, "invoice 17 is not paid").unwrap();
    world.tenants.suspend(&scope).await.unwrap();
    for path in ["/notes", "/public"] {
        let (status, problem) = answer(&world.tenants, path, suspended).await;
        assert_eq!((status, problem["type"].as_str()), (403, Some("urn:shared-security:tenant-suspended")));
        assert!(!problem.to_string().contains("invoice"), "the reason is the operator's");
    }
    assert_eq!(answer(&world.tenants, "/notes", other).await.0, 200);
    assert_eq!(answer(&world.tenants, "/public", None).await.0, 200);

    world.tenants.reactivate(&scope).await.unwrap();
    assert_eq!(answer(&world.tenants, "/notes", suspended).await.0, 200);
}

#[tokio::test]
async fn another_process_locks_it_out_too() {
    let world = World::new().await;
    let neighbour = world.neighbour().await;
    let status = async || answer(&neighbour, "/notes", Some(world.tenant)).await.0;
    assert_eq!(status().await, 200);
    world.tenants.suspend(&scope(world.tenant)).await.unwrap();
    until(async || status().await == 403).await;
    world.tenants.reactivate(&scope(world.tenant)).await.unwrap();
    until(async || status().await == 200).await;
}

#[tokio::test]
async fn a_suspension_that_comes_twice_is_lifted_once() {
    let world = World::new().await;
    for _ in 0..2 {
        world.tenants.suspend(&scope(world.tenant)).await.unwrap();
    }
    world.tenants.reactivate(&scope(world.tenant)).await.unwrap();
    assert_eq!(answer(&world.tenants, "/notes", Some(world.tenant)).await.0, 200);
    world.tenants.reactivate(&scope(world.tenant)).await.unwrap();
    assert_eq!(answer(&world.tenants, "/notes", Some(world.tenant)).await.0, 200);
}

/// The layer looks at the token's tenant before any handler runs, and lets no principal of before through.
#[tokio::test]
async fn handlers_see_the_roles_of_now() {
    let world = World::new().await;
    assert_eq!(answer(&world.tenants, "/notes", Some(world.tenant)).await.0, 200);
    world.system().withdraw("user:7", "reader").await.unwrap();
    let (status, problem) = answer(&world.tenants, "/notes", Some(world.tenant)).await;
    assert_eq!(status, 403);
    assert_eq!(problem["detail"], "this needs the permission notes:read");
}
