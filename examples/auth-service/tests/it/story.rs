//! The life of an account.

use serde_json::json;
use shared_service::core::{AssumedTenant, Secret};
use shared_service::db::statements;
use shared_service::security::{PasswordConfig, Passwords};

use crate::client::{PASSWORD, User, send, start, text};

#[tokio::test]
async fn an_account_is_registered_logs_in_refreshes_and_logs_out() {
    let app = start().await;
    let mut ada = User::owner(&app.url(), "Ada@Acme.example").await;

    let me = ada.get("/api/auth/me").await.is(200);
    assert_eq!((&me["user"]["email"], &me["tenant_name"]), (&json!("ada@acme.example"), &json!("Acme")));
    assert_eq!(me["roles"], json!(["owner"]));
    assert_eq!(ada.get("/auth/user").await.is(200), me);

    // A refresh continues the session; asked again within the grace window, it gives the same successor.
    let first = ada.refreshes(&ada.refresh).await.is(200);
    let again = ada.refreshes(&ada.refresh).await.is(200);
    assert_eq!(first["refresh_token"], again["refresh_token"]);
    assert_eq!(first["session"], json!(ada.session));
    ada.take(&first);

    // A second login is a session of its own.
    let phone = ada.clone();
    ada.login().await;
    assert_ne!(ada.session, phone.session);
    let sessions = ada.get("/api/auth/sessions").await.is(200);
    let current: Vec<_> = sessions["items"].as_array().unwrap().iter().map(|one| &one["current"]).collect();
    assert_eq!(current, [&json!(true), &json!(false)]);

    // It ends the other one, at once.
    ada.delete(&format!("/api/auth/sessions/{}", phone.session)).await.is(204);
    phone.get("/api/auth/me").await.is(401);
    phone.refreshes(&phone.refresh).await.is(401);

    ada.post("/api/auth/logout", json!({})).await.is(204);
    ada.get("/api/auth/me").await.is(401);
    ada.refreshes(&ada.refresh).await.is(401);
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions_and_log_out_everywhere_all() {
    let app = start().await;
    let phone = User::owner(&app.url(), "ada@acme.example").await;
    let mut ada = phone.clone();
    ada.login().await;
    let new = "horses, stapled correctly";
    ada.put("/api/auth/me/password", json!({ "current": "a guess at it", "new": new })).await.is(422);
    let ended = ada.put("/api/auth/me/password", json!({ "current": PASSWORD, "new": new })).await.is(200);
    assert_eq!(ended["ended"], 1);
    phone.get("/api/auth/me").await.is(401);
    ada.get("/api/auth/me").await.is(200);
    ada.tries(PASSWORD).await.is(401);
    ada.tries(new).await.is(200);
    assert_eq!(ada.delete("/api/auth/sessions").await.is(200)["ended"], 2);
    ada.get("/api/auth/me").await.is(401);
}

#[tokio::test]
async fn a_service_asks_what_a_token_is_worth() {
    let app = start().await;
    let ada = User::owner(&app.url(), "ada@acme.example").await;
    let eve = User::owner(&app.url(), "eve@evil.example").await;
    let said = ada.post("/api/auth/verify", json!({ "token": ada.access })).await.is(200);
    assert_eq!((&said["active"], &said["sub"]), (&json!(true), &json!(ada.id)));
    assert_eq!((&said["tenant"], &said["sid"]), (&json!(ada.tenant), &json!(ada.session)));
    assert!(said["permissions"].as_array().unwrap().contains(&json!("tokens:verify")));
    // Another tenant's token, and what is none, are told apart by nobody.
    for token in [eve.access.as_str(), "nonsense", ""] {
        let said = ada.post("/api/auth/verify", json!({ "token": token })).await.is(200);
        assert_eq!(said, json!({ "active": false }), "{token}");
    }
    let shown = Some(json!({ "token": ada.access }));
    send(&app.url(), reqwest::Method::POST, "/api/auth/verify", "", shown).await.is(401);
}

#[tokio::test]
async fn the_keys_are_public_and_where_the_discovery_says() {
    let app = start().await;
    let get = async |path: &str| send(&app.url(), reqwest::Method::GET, path, "", None).await;
    let keys = get("/api/auth/jwks").await;
    assert!(keys.headers["cache-control"].to_str().unwrap().contains("max-age"));
    assert_eq!(keys.headers["access-control-allow-origin"], "*");
    let keys = keys.is(200);
    assert!(!keys["keys"].as_array().unwrap().is_empty() && !keys.to_string().contains("\"d\""));
    let found = get("/.well-known/openid-configuration").await.is(200);
    assert!(text(&found["jwks_uri"]).ends_with("/.well-known/jwks.json"));
    assert_eq!(get("/.well-known/jwks.json").await.is(200), keys);
    assert_eq!(get("/auth/jwks").await.is(200), keys);
}

statements! {
    const SET_HASH: Statement<(String, String), ()> = "
        update auth.account set password_hash = $2 where tenant_id = $tenant and email = $1";
    const HASH: Statement<(String,), String> = "
        select password_hash from auth.account where tenant_id = $tenant and email = $1";
}

/// ASVS 11.4.2: a hash of yesterday's costs is replaced by one of today's at the next login, and the password stays.
#[tokio::test]
async fn a_login_brings_the_hash_up_to_date() {
    let app = start().await;
    let mut ada = User::owner(&app.url(), "ada@acme.example").await;
    let mut costs = PasswordConfig::default();
    (costs.memory_kib, costs.passes) = (7 * 1024, 5);
    let old = Passwords::new(costs).unwrap().hash(&Secret::new(PASSWORD), &[]).await.unwrap();
    let door = app.db().tenant(&AssumedTenant::new(ada.tenant, "a test"));
    door.execute(&SET_HASH, (&ada.email, &old)).await.unwrap();
    ada.login().await;
    let new: String = door.one(&HASH, (&ada.email,)).await.unwrap();
    assert!(old.contains("m=7168") && new.contains("m=19456"));
    ada.login().await;
}
