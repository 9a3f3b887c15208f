//! Roles: made, handed out, taken back, and asked about.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{User, send, start};

/// ASVS 8.3.2: what was taken away is gone for tokens that are still valid.
#[tokio::test]
async fn a_role_is_withdrawn_while_the_session_lives() {
    let app = start().await;
    let ada = User::owner(&app.url(), "ada@acme.example").await;
    let bob = ada.invites("bob@acme.example", "admin").await;
    bob.post("/api/auth/invitations", json!({ "role": "member" })).await.is(201);
    ada.delete(&format!("/api/auth/users/{}/roles/admin", bob.id)).await.is(204);
    bob.post("/api/auth/invitations", json!({ "role": "member" })).await.is(403);
    bob.get("/api/auth/me").await.is(200);
    // Every denial is written down, with who it was.
    ada.reads_of("permission.denied").await;
    ada.reads_of(&bob.id).await;
}

/// ASVS 8.2.1: nobody hands out what he does not have, not by an assignment, an invitation, a client or a role of his own.
#[tokio::test]
async fn nobody_hands_out_what_he_does_not_have() {
    let app = start().await;
    let ada = User::owner(&app.url(), "ada@acme.example").await;
    let bob = ada.invites("bob@acme.example", "admin").await;
    bob.put(&format!("/api/auth/users/{}/roles/owner", bob.id), json!(null)).await.is(403);
    bob.post("/api/auth/invitations", json!({ "role": "owner" })).await.is(403);
    ada.post("/api/auth/invitations", json!({ "role": "operator" })).await.is(403);
    ada.post("/api/auth/clients", json!({ "name": "billing", "role": "operator" })).await.is(403);
    let greedy = json!({ "name": "greedy", "permissions": ["tenants:suspend"] });
    let refused = ada.post("/api/auth/roles", greedy).await;
    assert!(matches!(refused.status, 403 | 422), "{refused:?}");
}

#[tokio::test]
async fn a_tenant_makes_a_role_of_its_own() {
    let app = start().await;
    let ada = User::owner(&app.url(), "ada@acme.example").await;
    let bob = ada.invites("bob@acme.example", "member").await;
    let role = json!({ "name": "auditor", "permissions": ["audit:read"], "inherits": ["member"] });
    assert_eq!(ada.post("/api/auth/roles", role.clone()).await.is(201)["version"], 1);
    ada.post("/api/auth/roles", role).await.is(409);
    ada.put(&format!("/api/auth/users/{}/roles/auditor", bob.id), json!(null)).await.is(204);
    bob.get("/api/auth/audit").await.is(403);
    // The next token names it.
    let bob = {
        let mut bob = bob;
        bob.login().await;
        bob
    };
    bob.get("/api/auth/audit").await.is(200);

    let changed = json!({ "version": 1, "permissions": ["roles:read"] });
    assert_eq!(ada.put("/api/auth/roles/auditor", changed.clone()).await.is(200)["version"], 2);
    ada.put("/api/auth/roles/auditor", changed).await.is(409);
    bob.get("/api/auth/audit").await.is(403);
    let all = bob.get("/api/auth/roles").await.is(200);
    assert_eq!(all["own"][0]["name"], "auditor");
    assert!(all["built_in"].as_array().unwrap().contains(&json!("owner")));
    ada.delete("/api/auth/roles/auditor?version=2").await.is(204);
    bob.get("/api/auth/roles").await.is(403);
}

#[tokio::test]
async fn many_permissions_are_asked_about_at_once_and_explained() {
    let app = start().await;
    let ada = User::owner(&app.url(), "ada@acme.example").await;
    let asked = json!({ "permissions": ["users:manage", "tenants:suspend", "moon:land"] });
    let answers = ada.post("/api/permissions/check", asked.clone()).await.is(200);
    let results = answers["results"].as_array().unwrap();
    let allowed: Vec<&Value> = results.iter().map(|result| &result["allowed"]).collect();
    assert_eq!(allowed, [&json!(true), &json!(false), &json!(false)]);
    assert_eq!(
        results[0]["because"],
        "users:manage is granted by the role owner, which inherits it from admin"
    );
    assert!(results[1]["because"].as_str().unwrap().contains("missing"));
    assert!(results[2]["because"].as_str().unwrap().contains("no permission of this service"));
    send(&app.url(), Method::POST, "/api/permissions/check", "", Some(asked)).await.is(401);
}
