//! The operators of the platform.

use std::process::Command;

use auth_service::App;
use serde_json::json;
use shared_service::testing::TestService;

use crate::client::{User, start, text};

/// As whoever runs the platform does it.
pub(crate) async fn operator(app: &TestService<App>) -> User {
    let mut user = User::owner(&app.url(), "ops@platform.example").await;
    let made = Command::new(env!("CARGO_BIN_EXE_auth-service"))
        .args(["operator", &user.tenant.to_string(), &user.email])
        .env("DATABASE_URL", app.database_url())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    user.login().await;
    user
}

#[tokio::test]
async fn a_tenant_is_suspended_at_once_and_comes_back() {
    let app = start().await;
    let (ada, eve) = (User::owner(&app.url(), "ada@acme.example").await, operator(&app).await);
    let path = format!("/api/auth/tenants/{}/suspension", ada.tenant);
    ada.put(&path, json!({ "reason": "because I can" })).await.is(403);
    eve.put(&path, json!({ "reason": "ticket 4711: unpaid" })).await.is(204);
    let refused = ada.get("/api/auth/me").await.is(403);
    assert_eq!(refused["type"], "urn:shared-security:tenant-suspended");
    ada.tries(crate::client::PASSWORD).await.is(403);
    ada.refreshes(&ada.refresh).await.is(403);
    eve.delete(&path).await.is(204);
    ada.get("/api/auth/me").await.is(200);
    let log = ada.get("/api/auth/audit").await.is(200).to_string();
    assert!(log.contains("tenant.suspended") && log.contains("ticket 4711: unpaid"), "{log}");
}

/// ASVS 8.3.3: whoever acts for another is named beside him, can't do what only he may, and his tenant sees it.
#[tokio::test]
async fn support_acts_for_a_user_and_the_tenant_reads_of_it() {
    let app = start().await;
    let (ada, eve) = (User::owner(&app.url(), "ada@acme.example").await, operator(&app).await);
    let path = format!("/api/auth/users/{}/impersonate", ada.id);
    let asked = json!({ "tenant": ada.tenant, "reason": "ticket 4712: she can't see her notes" });
    ada.post(&path, asked.clone()).await.is(403);
    let mut acting = ada.clone();
    acting.access = text(&eve.post(&path, asked).await.is(200)["access_token"]);
    let me = acting.get("/api/auth/me").await.is(200);
    assert_eq!((&me["user"]["id"], &me["acting"]), (&json!(ada.id), &json!(eve.id)));
    let change = json!({ "current": crate::client::PASSWORD, "new": "mine from now on, thank you" });
    acting.put("/api/auth/me/password", change).await.is(403);
    let log = ada.get("/api/auth/audit").await.is(200).to_string();
    assert!(log.contains("impersonation.granted") && log.contains("ticket 4712"), "{log}");

    let nobody = json!({ "tenant": ada.tenant, "reason": "a guess" });
    let unknown = format!("/api/auth/users/{}/impersonate", eve.id);
    eve.post(&unknown, nobody).await.is(404);
}
