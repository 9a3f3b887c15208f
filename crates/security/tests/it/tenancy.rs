//! Tenants that requests name.

use axum::body::Body;
use axum::http::Request;
use axum::middleware::from_extractor;
use axum::routing::{get as route, post};
use axum::{Json, Router};
use serde::Deserialize;
use shared_core::{Problem, TenantId};
use shared_security::{BearerLayer, ClaimedTenant, Grant, May, SameTenant, VerifyError};
use tower::ServiceExt;

use crate::support::*;

#[derive(Deserialize)]
struct NewNote {
    tenant: ClaimedTenant,
}

async fn create(may: May<ReadNotes>, Json(new): Json<NewNote>) -> Result<&'static str, Problem> {
    new.tenant.confirm(&may)?;
    Ok("created")
}

fn app() -> Router {
    Router::new()
        .route("/tenants/{tenant}/notes", route(async |_: May<ReadNotes>| "notes"))
        .route("/notes", route(async |_: May<ReadNotes>| "notes"))
        .route_layer(from_extractor::<SameTenant>())
        .route("/body", post(create))
        .layer(BearerLayer::new(verifier(), &MATRIX))
}

fn bearer(tenant: TenantId) -> String {
    let token = issuer().issue(&Grant::new(tenant, "user:7").with_permissions(ReadNotes)).unwrap();
    format!("Bearer {}", token.expose())
}

async fn status(request: axum::http::request::Builder, body: String) -> u16 {
    let request: Request<Body> = request.body(Body::from(body)).unwrap();
    app().oneshot(request).await.unwrap().status().as_u16()
}

async fn by_path(tenant: TenantId, named: &str) -> u16 {
    let path = format!("/tenants/{named}/notes");
    status(Request::get(path).header("authorization", bearer(tenant)), String::new()).await
}

async fn by_header(tenant: TenantId, named: &[&[u8]]) -> u16 {
    let request = Request::get("/notes").header("authorization", bearer(tenant));
    status(named.iter().fold(request, |request, named| request.header("x-tenant-id", *named)), String::new())
        .await
}

async fn by_body(tenant: TenantId, named: &str) -> u16 {
    let body = serde_json::json!({ "tenant": named }).to_string();
    let request = Request::post("/body").header("authorization", bearer(tenant));
    status(request.header("content-type", "application/json"), body).await
}

/// ASVS 8.4.1. A tenant's token on another tenant's path, or with another tenant in a header or a body.
#[tokio::test]
async fn a_request_names_its_own_tenant_or_finds_nothing() {
    let (mine, theirs) = (TenantId::new(), TenantId::new());
    assert_eq!(by_path(mine, &mine.to_string()).await, 200);
    assert_eq!(by_path(mine, &theirs.to_string()).await, 404);
    assert_eq!(by_header(mine, &[]).await, 200);
    let (own, other) = (mine.to_string(), theirs.to_string());
    assert_eq!(by_header(mine, &[own.as_bytes()]).await, 200);
    assert_eq!(by_header(mine, &[other.as_bytes()]).await, 404);
    assert_eq!(by_header(mine, &[own.as_bytes(), other.as_bytes()]).await, 404, "each of them is compared");
    assert_eq!(by_body(mine, &own).await, 200);
    assert_eq!(by_body(mine, &other).await, 404);
}

fn spellings(tenant: TenantId) -> Vec<String> {
    let id = tenant.to_string();
    vec![
        id.to_uppercase(),
        id.replace('-', ""),
        format!("{{{id}}}"),
        format!("urn:uuid:{id}"),
        format!("{id} "),
        format!(" {id}"),
        format!("{id}\0"),
        format!("{id}\n"),
        id.replacen('-', "\u{2010}", 1),
        id.replacen('0', "\u{ff10}", 1),
        String::new(),
        "*".to_owned(),
        "00000000-0000-0000-0000-000000000000".to_owned(),
    ]
}

/// ASVS 8.4.1, 2.2.1. Case, Unicode, NUL, braces, nothing: a tenant has one spelling.
#[tokio::test]
async fn a_tenant_has_one_spelling_in_requests() {
    let mine = TenantId::new();
    for named in spellings(mine) {
        assert_eq!(by_body(mine, &named).await, 404, "{named:?}");
        let encoded: String = named.bytes().map(|byte| format!("%{byte:02x}")).collect();
        assert_eq!(by_path(mine, &encoded).await, 404, "{named:?}");
        if !named.contains(['\0', '\n']) {
            assert_eq!(by_header(mine, &[named.as_bytes()]).await, 404, "{named:?}");
        }
    }
    assert_eq!(by_path(mine, "%ff%fe").await, 404, "no UTF-8");
}

/// ASVS 8.4.1, 2.2.1.
#[test]
fn a_tenant_has_one_spelling_in_tokens() {
    let mine = TenantId::new();
    let verify = |tenant: &str| {
        verifier_now().verify(signed(header(), with(claims(), serde_json::json!({ "tenant": tenant }))))
    };
    assert!(verify(&mine.to_string()).is_ok());
    for named in spellings(mine) {
        assert_eq!(verify(&named).unwrap_err(), VerifyError::NoTenant, "{named:?}");
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_compared() {
    let request = Request::get(format!("/tenants/{}/notes", TenantId::new()));
    assert_eq!(status(request, String::new()).await, 401);
}
