//! The API as HTTP users expect it: problems in the form of RFC 9457, and nothing of another tenant's.

use std::sync::Arc;

use quickstart::{App, ReadDocuments, WriteDocuments, document_id};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use shared_service::db::vector::Hashing;
use shared_service::security::{Config, Grant};
use shared_service::testing::{TestService, TestTenant};
use std::time::Duration;

async fn start() -> TestService<App> {
    TestService::start(quickstart::service(Arc::new(Hashing::new(384)))).await
}

fn note(text: &str) -> Value {
    json!({ "path": "note.txt", "title": "A note", "media": "text", "text": text })
}

fn path(tenant: &TestTenant) -> String {
    format!("/documents/{}", document_id(tenant.id(), "note.txt"))
}

/// Expects a problem of this status, and returns it.
async fn problem(request: RequestBuilder, status: u16) -> Value {
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::from_u16(status).expect("a status"));
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: Value = response.json().await.expect("a problem");
    assert_eq!(problem["status"], status);
    problem
}

#[tokio::test]
async fn a_document_is_found_by_its_own_tenant_only() {
    let app = start().await;
    let (owner, other) =
        (app.tenant_with((ReadDocuments, WriteDocuments)), app.tenant_with((ReadDocuments, WriteDocuments)));
    app.put(&path(&owner), &owner, note("rotate the signing keys every month")).await.created();
    app.settle().await;
    app.get("/search?text=signing+keys", &owner).await.ok().has_hits(1);
    app.get("/search?text=signing+keys", &other).await.ok().has_hits(0);
    app.get(&path(&owner), &owner).await.ok();
    app.get(&path(&owner), &other).await.status(404);
}

#[tokio::test]
async fn an_upload_is_created_then_unchanged_then_replaced() {
    let app = start().await;
    let tenant = app.tenant_with((ReadDocuments, WriteDocuments));
    let upload = async |text| app.put(&path(&tenant), &tenant, note(text)).await;
    assert_eq!(upload("one").await.created().json::<Value>()["outcome"], "created");
    assert_eq!(upload("one").await.ok().json::<Value>()["outcome"], "unchanged");
    assert_eq!(upload("other").await.ok().json::<Value>()["outcome"], "replaced");
    app.settle().await;
    let status = app.get("/status", &tenant).await.ok().json::<Value>();
    assert_eq!(
        (&status["documents"], &status["uploads"], &status["chunks"]),
        (&json!(1), &json!(2), &json!(1))
    );
    assert_eq!(status["digest"]["uploads"], 2);
    assert_eq!(status["digest"]["bytes"], "other".len());
    let found = app.get("/search?text=one", &tenant).await.has_hits(1).json::<Value>();
    assert_eq!(found["items"][0]["text"], "other");
}

#[tokio::test]
async fn tokens_are_asked_for_and_looked_at() {
    let app = start().await;
    let (http, search) = (Client::new(), format!("{}/search?text=keys", app.url()));
    let reader = app.tenant_with(ReadDocuments);
    problem(http.get(&search), 401).await;
    problem(http.get(&search).bearer_auth("broken"), 401).await;
    let expired = shared_service::core::schema::from_pairs::<Config>([])
        .expect("the defaults")
        .issuer()
        .expect("a key");
    let expired = expired.with_clock(shared_service::core::Clock::manual(
        time::OffsetDateTime::now_utc() - Duration::from_secs(3600),
    ));
    let expired =
        expired.issue(&Grant::new(reader.id(), "late").with_permissions(ReadDocuments)).expect("a token");
    let said = problem(http.get(&search).bearer_auth(expired.expose()), 401).await;
    assert_eq!(said["detail"], "the token has expired");
    let said = problem(
        http.put(format!("{}{}", app.url(), path(&reader))).bearer_auth(reader.token()).json(&note("x")),
        403,
    )
    .await;
    assert_eq!(said["detail"], "this needs the permission documents:write");
}

#[tokio::test]
async fn requests_that_make_no_sense_are_told_why() {
    let app = start().await;
    let tenant = app.tenant_with((ReadDocuments, WriteDocuments));
    let http = Client::new();
    let put = || http.put(format!("{}{}", app.url(), path(&tenant))).bearer_auth(tenant.token());
    problem(put().json(&note(&"x".repeat(20_000_000))), 413).await;
    problem(put().body("words"), 415).await;
    problem(put().header("content-type", "application/json").body("{"), 400).await;
    let said = problem(put().json(&note("")), 422).await;
    assert_eq!(said["errors"][0]["pointer"], "/text");
    let get = |path: &str| http.get(format!("{}{path}", app.url())).bearer_auth(tenant.token());
    problem(get("/search"), 400).await;
    problem(get("/search?text=a&k=1000"), 422).await;
    problem(get("/documents/none"), 404).await;
    problem(get("/nowhere"), 404).await;
    problem(http.delete(format!("{}/search", app.url())), 405).await;
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let app = start().await;
    let response = reqwest::get(app.url()).await.expect("the page");
    let policy = response.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let page = response.text().await.expect("text");
    assert!(!page.contains("https://") && !page.contains("src=\"http"), "it names another site");
    for file in ["/page.css", "/page.js"] {
        assert!(page.contains(&file[1..]));
        assert!(reqwest::get(format!("{}{file}", app.url())).await.expect(file).status().is_success());
    }
}

#[tokio::test]
async fn tokens_are_handed_out_in_development_only() {
    // The profile of tests is `test`.
    let app = start().await;
    problem(Client::new().get(format!("{}/development/tenants", app.url())), 404).await;
}
