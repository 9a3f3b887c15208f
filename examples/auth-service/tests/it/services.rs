//! Services of a tenant: their tokens are for one audience, and end with them.

use reqwest::Method;
use serde_json::{Value, json};
use shared_service::testing::TestService;

use crate::client::{Answer, User, send, service, text};

async fn token(url: &str, client: &Value, audience: &str) -> Answer {
    let mut shown = client.clone();
    shown["audience"] = json!(audience);
    send(url, Method::POST, "/api/auth/token", "", Some(shown)).await
}

#[tokio::test]
async fn a_client_gets_tokens_for_a_service_each() {
    let audiences = [("AUTH_TOKENS_AUDIENCES", "billing,search".to_owned())];
    let app = TestService::start_with(service(), audiences).await;
    let url = app.url();
    let ada = User::owner(&url, "ada@acme.example").await;
    let client = ada.post("/api/auth/clients", json!({ "name": "worker", "role": "service" })).await.is(201);
    let here = token(&url, &client, "platform").await.is(200);
    let billing = token(&url, &client, "billing").await.is(200);
    token(&url, &client, "nobody").await.is(422);

    let verify = async |with: &Value, of: &Value| {
        let shown = Some(json!({ "token": of["access_token"] }));
        send(&url, Method::POST, "/api/auth/verify", &text(&with["access_token"]), shown).await
    };
    let said = verify(&here, &billing).await.is(200);
    assert_eq!((&said["active"], &said["client_id"]), (&json!(true), &client["client_id"]));
    // A token for another service opens nothing here.
    verify(&billing, &here).await.is(401);

    // ASVS 10.4.16 and 7.4.1: a wrong secret, one of another tenant, and a client that is gone.
    let eve = User::owner(&url, "eve@evil.example").await;
    let foreign = eve.post("/api/auth/clients", json!({ "name": "worker", "role": "service" })).await.is(201);
    let mixed = json!({ "client_id": client["client_id"], "client_secret": foreign["client_secret"] });
    token(&url, &mixed, "platform").await.is(401);
    eve.delete(&format!("/api/auth/clients/{}", text(&client["client_id"]))).await.is(404);
    ada.delete(&format!("/api/auth/clients/{}", text(&client["client_id"]))).await.is(204);
    token(&url, &client, "platform").await.is(401);
    verify(&here, &here).await.is(401);
}
