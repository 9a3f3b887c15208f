//! What is refused, how it looks, and that it is written down.

use reqwest::Method;
use serde_json::{Value, json};
use shared_service::testing::TestService;

use crate::client::{PASSWORD, User, send, service, start};

#[tokio::test]
async fn every_refusal_is_a_problem_that_names_the_field_and_not_the_value() {
    let app = start().await;
    let url = app.url();
    let ada = User::owner(&url, "ada@acme.example").await;
    let post = async |path: &str, body: Value| send(&url, Method::POST, path, "", Some(body)).await;
    let new = |password: &str, extra: Value| {
        let mut new = json!({ "tenant_name": "Acme", "email": "bob@acme.example", "password": password });
        new.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        new
    };
    for (body, pointer) in [
        (new("short", json!({})), "/password"),
        (new("password123", json!({})), "/password"),
        (new(PASSWORD, json!({ "email": "nonsense" })), "/email"),
        (new(PASSWORD, json!({ "tenant_name": "" })), "/tenant_name"),
        (new(PASSWORD, json!({ "tenant_name": "Ac\u{0}me" })), "/tenant_name"),
        (new(PASSWORD, json!({ "role": "owner" })), "/role"),
        (new(PASSWORD, json!({ "invitation": "iv_x" })), "/tenant_name"),
        (new(PASSWORD, json!({ "tenant_name": null })), "/tenant_name"),
    ] {
        let problem = post("/api/auth/register", body).await.is(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        assert!(!problem.to_string().contains("nonsense"), "{problem}");
    }
    let forged = json!({ "invitation": "iv_nonsense", "email": "bob@acme.example", "password": PASSWORD });
    post("/api/auth/register", forged).await.is(404);
    ada.get("/api/auth/nowhere").await.is(404);
    ada.get("/api/auth/login").await.is(405);
    for path in ["/api/auth/me", "/api/auth/sessions", "/api/auth/audit"] {
        let answer = send(&url, Method::GET, path, "", None).await;
        assert!(answer.headers.contains_key("www-authenticate"));
        answer.is(401);
    }
}

/// ASVS 6.3.8: an account that is there and one that is not get the same answer.
#[tokio::test]
async fn nobody_learns_which_accounts_exist() {
    let app = start().await;
    let ada = User::owner(&app.url(), "ada@acme.example").await;
    let login = async |tenant: Value, email: &str| {
        let shown = json!({ "tenant": tenant, "email": email, "password": "a guess, hush-hush" });
        send(&app.url(), Method::POST, "/api/auth/login", "", Some(shown)).await.is(401)
    };
    let wrong = login(json!(ada.tenant), "ada@acme.example").await;
    assert_eq!(login(json!(ada.tenant), "bob@acme.example").await, wrong);
    assert_eq!(login(json!(shared_service::core::TenantId::new()), "ada@acme.example").await, wrong);
}

/// ASVS 6.3.1: guesses are slowed down, by account and by address.
#[tokio::test]
async fn guesses_are_slowed_down() {
    let app = start().await;
    let ada = User::owner(&app.url(), "ada@acme.example").await;
    let mut guesses = 0;
    let last = loop {
        let answer = ada.tries(&format!("a guess, hush-hush, number {guesses}")).await;
        if answer.status != 401 {
            break answer;
        }
        guesses += 1;
        assert!(guesses < 20, "nobody slows them down");
    };
    assert!(last.headers.contains_key("retry-after"));
    last.is(429);
    ada.reads_of("login.failed").await;
    ada.reads_of("login.delayed").await;
}

#[tokio::test]
async fn an_address_has_a_budget_for_credentials() {
    let app = TestService::start_with(service(), [("AUTH_TOKENS_ATTEMPTS", "3".to_owned())]).await;
    let ada = User::owner(&app.url(), "ada@acme.example").await;
    ada.tries(PASSWORD).await.is(200);
    let over = ada.refreshes(&ada.refresh).await;
    assert!(over.headers.contains_key("ratelimit-policy") && over.headers.contains_key("retry-after"));
    over.is(429);
    // What a client says of its address counts for nothing where no proxy is declared.
    let shown = json!({ "refresh_token": ada.refresh });
    let claims = reqwest::Client::new().post(format!("{}/api/auth/refresh", app.url())).json(&shown);
    assert_eq!(claims.header("x-forwarded-for", "198.51.100.7").send().await.unwrap().status(), 429);
    // Whoever has a token goes on.
    ada.get("/api/auth/me").await.is(200);
}

/// ASVS 8.4.1: what is another tenant's is not there.
#[tokio::test]
async fn a_token_of_one_tenant_finds_nothing_of_another() {
    let app = start().await;
    let ada = User::owner(&app.url(), "ada@acme.example").await;
    let eve = User::owner(&app.url(), "eve@evil.example").await;
    eve.delete(&format!("/api/auth/sessions/{}", ada.session)).await.is(404);
    eve.put(&format!("/api/auth/users/{}/roles/member", ada.id), json!(null)).await.is(404);
    eve.delete(&format!("/api/auth/users/{}/roles/owner", ada.id)).await.is(404);
    ada.post("/api/auth/tenants/nobody/suspension", json!({})).await.is(405);
    let log = eve.get("/api/auth/audit").await.is(200).to_string();
    assert!(!log.contains(&ada.id) && !log.contains("ada@acme.example"), "{log}");
    let shown = json!({ "tenant": eve.tenant, "email": "ada@acme.example", "password": PASSWORD });
    send(&app.url(), Method::POST, "/api/auth/login", "", Some(shown)).await.is(401);
    ada.get("/api/auth/me").await.is(200);
}

/// ASVS 10.4.5: a refresh token that was used before ends its session.
#[tokio::test]
async fn a_refresh_token_that_comes_back_late_ends_the_session() {
    let app = TestService::start_with(service(), [("AUTH_SESSIONS_GRACE", "0s".to_owned())]).await;
    let mut ada = User::owner(&app.url(), "ada@acme.example").await;
    let stolen = ada.refresh.clone();
    let next = ada.refreshes(&stolen).await.is(200);
    ada.take(&next);
    ada.get("/api/auth/me").await.is(200);
    ada.refreshes(&stolen).await.is(401);
    ada.refreshes(&ada.refresh).await.is(401);
    ada.get("/api/auth/me").await.is(401);
    ada.login().await;
    ada.reads_of("\"reason\":\"reused\"").await;
}

/// An invitation is used once, and only for what it was made for.
#[tokio::test]
async fn an_invitation_is_good_for_one_account() {
    let app = start().await;
    let ada = User::owner(&app.url(), "ada@acme.example").await;
    let invitation = ada.post("/api/auth/invitations", json!({ "role": "member" })).await.is(201);
    let join = async |email: &str| {
        let new = json!({ "invitation": invitation["invitation"], "email": email, "password": PASSWORD });
        send(&app.url(), Method::POST, "/api/auth/register", "", Some(new)).await
    };
    join("ADA@acme.example").await.is(409);
    let bob = join("bob@acme.example").await.is(201);
    assert_eq!((&bob["user"]["id"], &bob["tenant"]), (&invitation["user"], &json!(ada.tenant)));
    join("carol@acme.example").await.is(404);
}

/// A client sends its access token with everything, also when it is over or was never one: it still registers, logs in, gets a
/// client's token, refreshes, and reads the documents. What needs a token refuses it as before.
#[tokio::test]
async fn a_bad_access_token_hinders_nobody_from_getting_a_good_one() {
    let app = start().await;
    let ada = User::owner(&app.url(), "ada@acme.example").await;
    let client = ada.post("/api/auth/clients", json!({ "name": "clerk", "role": "service" })).await.is(201);
    let ended = ada.access.clone();
    ada.post("/api/auth/logout", json!({})).await.is(204);
    let mut ada = ada;
    ada.login().await;
    for bad in [ended.as_str(), "a.forged.token", "\u{e9}"] {
        let ask = async |method, path: &str, body| send(&ada.url, method, path, bad, body).await;
        let credentials = json!({ "tenant": ada.tenant, "email": ada.email, "password": PASSWORD });
        let pair = ask(Method::POST, "/api/auth/login", Some(credentials)).await.is(200);
        let shown = json!({ "refresh_token": pair["refresh_token"] });
        ask(Method::POST, "/api/auth/refresh", Some(shown)).await.is(200);
        ask(Method::POST, "/api/auth/token", Some(client.clone())).await.is(200);
        let new = json!({ "tenant_name": "Other", "email": "eve@other.example", "password": PASSWORD });
        ask(Method::POST, "/auth/register", Some(new)).await.is(201);
        ask(Method::GET, "/.well-known/jwks.json", None).await.is(200);
        ask(Method::GET, "/api/auth/me", None).await.is(401);
        ask(Method::GET, "/api/auth/login", None).await.is(405);
    }
}
