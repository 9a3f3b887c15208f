//! What of an account's life is in the audit log of its tenant: everything, and each thing once.

use reqwest::Method;
use serde_json::{Value, json};
use shared_service::core::TenantId;
use shared_service::db::statements;
use shared_service::security::audit::NO_TENANT;
use shared_service::testing::TestService;

use crate::client::{PASSWORD, User, send, service, start, text};
use crate::operators::operator;

statements! {
    /// What the service's own start has crossed tenants for is not asked about.
    const ENTRIES: Statement<(TenantId,), (String, String, Option<String>)> = "
        select action, outcome, address from shared_security.audit_log
         where tenant_id = $1 and action <> 'tenancy.crossed' order by pos";
}

type Entry = (String, String);

/// The log of a tenant so far. A client's token is given out when its entry is written, and so everything that was recorded before.
async fn log(app: &TestService<auth_service::App>, user: &User, client: &Value, of: TenantId) -> Vec<Entry> {
    send(&user.url, Method::POST, "/api/auth/token", "", Some(client.clone())).await.is(200);
    let entries = app.db().system().all(&ENTRIES, (of,)).await.unwrap();
    // From where it came stands beside each that a request has caused, but for what the program does of itself.
    for (action, _, address) in &entries {
        let by_the_program = matches!(action.as_str(), "system.scope" | "role.assigned");
        assert!(by_the_program || address.as_deref() == Some("127.0.0.1"), "{action} from {address:?}");
    }
    entries.into_iter().map(|(action, outcome, _)| (action, outcome)).collect()
}

/// What was caused since, sorted.
fn since(before: &[Entry], now: &[Entry]) -> Vec<String> {
    let mut new: Vec<_> =
        now[before.len()..].iter().map(|(action, outcome)| format!("{action} {outcome}")).collect();
    new.sort();
    new
}

async fn a_client(user: &User) -> Value {
    user.post("/api/auth/clients", json!({ "name": "clerk", "role": "service" })).await.is(201)
}

/// ASVS 16.3.1: registering, logging in, refreshing, logging out, a new password, a client's token; and when they fail.
#[tokio::test]
async fn every_authentication_is_there_once() {
    let app = TestService::start_with(service(), [("AUTH_SESSIONS_GRACE", "0s".to_owned())]).await;
    let mut ada = User::owner(&app.url(), "ada@acme.example").await;
    let client = a_client(&ada).await;
    let founded = log(&app, &ada, &client, ada.tenant).await;
    assert_eq!(
        since(&[], &founded),
        [
            "client.authenticated allowed",
            "client.registered allowed",
            "role.assigned allowed",
            "role.assigned allowed",
            "session.opened allowed",
            "system.scope allowed",
            "tenant.founded allowed",
        ]
    );

    let used = ada.refresh.clone();
    let next = ada.refreshes(&used).await.is(200);
    ada.take(&next);
    ada.tries("a guess, hush-hush").await.is(401);
    let change = json!({ "current": "a guess, hush-hush", "new": "horses, hush-hush all" });
    ada.put("/api/auth/me/password", change).await.is(422);
    let change = json!({ "current": PASSWORD, "new": "horses, hush-hush all" });
    ada.put("/api/auth/me/password", change).await.is(200);
    // It comes late, and ends its session.
    ada.refreshes(&used).await.is(401);
    let pair = ada.tries("horses, hush-hush all").await.is(200);
    ada.take(&pair);
    ada.post("/api/auth/logout", json!({})).await.is(204);
    let pair = ada.tries("horses, hush-hush all").await.is(200);
    ada.take(&pair);
    ada.delete("/api/auth/sessions").await.is(200);
    let all = log(&app, &ada, &client, ada.tenant).await;
    assert_eq!(
        since(&founded, &all),
        [
            "client.authenticated allowed",
            "login.failed denied",
            "login.failed denied",
            "password.changed allowed",
            "session.ended allowed",
            "session.opened allowed",
            "session.opened allowed",
            "session.refreshed allowed",
            "session.refreshed denied",
            "subject.sessions_ended allowed",
            "subject.sessions_ended allowed",
        ]
    );

    // Whose nobody knows: no token, a forged one, a refresh token, an invitation, a secret and a tenant that are none.
    let stranger = log(&app, &ada, &client, NO_TENANT).await;
    let get = async |token: &str| send(&ada.url, Method::GET, "/api/auth/me", token, None).await.is(401);
    get("").await;
    get("a.forged.token").await;
    get(&ada.access).await;
    ada.refreshes("r1.nothing").await.is(401);
    let post = async |path: &str, body| send(&ada.url, Method::POST, path, "", Some(body)).await.status;
    let join = json!({ "invitation": "iv_nonsense", "email": "bob@acme.example", "password": PASSWORD });
    assert_eq!(post("/api/auth/register", join).await, 404);
    let wrong = json!({ "client_id": client["client_id"], "client_secret": "ci_nonsense" });
    assert_eq!(post("/api/auth/token", wrong).await, 401);
    let nowhere = json!({ "tenant": TenantId::new(), "email": "ada@acme.example", "password": PASSWORD });
    assert_eq!(post("/api/auth/login", nowhere).await, 401);
    let strangers = log(&app, &ada, &client, NO_TENANT).await;
    assert_eq!(
        since(&stranger, &strangers),
        [
            "client.refused denied",
            "invitation.refused denied",
            "login.failed denied",
            "session.refreshed denied",
            "token.refused denied",
            "token.refused denied",
            "token.refused denied",
        ]
    );
}

/// ASVS 16.3.2: a permission that is missing, a role that is too great, guesses that come too fast.
#[tokio::test]
async fn every_denial_is_there_once() {
    let app = start().await;
    let ada = User::owner(&app.url(), "ada@acme.example").await;
    let bob = ada.invites("bob@acme.example", "admin").await;
    let client = a_client(&ada).await;
    let before = log(&app, &ada, &client, ada.tenant).await;
    bob.post("/api/auth/roles", json!({ "name": "auditor" })).await.is(403);
    bob.post("/api/auth/invitations", json!({ "role": "owner" })).await.is(403);
    let mut guesses = 0;
    while ada.tries(&format!("a guess, hush-hush, number {guesses}")).await.status != 429 {
        guesses += 1;
    }
    let after = log(&app, &ada, &client, ada.tenant).await;
    let mut denied = vec!["client.authenticated allowed", "login.delayed denied"];
    denied.extend(std::iter::repeat_n("login.failed denied", guesses));
    denied.extend(["permission.denied denied", "role.refused denied"]);
    assert_eq!(since(&before, &after), denied);
}

/// ASVS 16.3.2: requests over the limit of their address, whose tenant nobody knows.
#[tokio::test]
async fn a_request_over_the_limit_is_there_once() {
    let app = TestService::start_with(service(), [("AUTH_TOKENS_ATTEMPTS", "2".to_owned())]).await;
    // Registering and logging in spend it; half a minute brings back one.
    let ada = User::owner(&app.url(), "ada@acme.example").await;
    ada.refreshes(&ada.refresh).await.is(429);
    let entries = async || app.db().system().all(&ENTRIES, (NO_TENANT,)).await.unwrap();
    let told = tokio::time::timeout(std::time::Duration::from_secs(20), async {
        while entries().await.is_empty() {
            tokio::task::yield_now().await;
        }
    });
    told.await.unwrap();
    let local = Some("127.0.0.1".to_owned());
    assert_eq!(entries().await, [("limit.exceeded".to_owned(), "denied".to_owned(), local)]);
}

/// ASVS 16.3.3: operators in a tenant that is not theirs, and tokens of another tenant's; where it has to be known.
#[tokio::test]
async fn every_use_across_tenants_is_there_once() {
    let app = start().await;
    let (ada, eve) = (User::owner(&app.url(), "ada@acme.example").await, operator(&app).await);
    let client = a_client(&eve).await;
    let tenant = async |of: &User| log(&app, &eve, &client, of.tenant).await;
    let (before, before_eve) = (tenant(&ada).await, tenant(&eve).await);
    let suspension = format!("/api/auth/tenants/{}/suspension", ada.tenant);
    eve.put(&suspension, json!({ "reason": "ticket 4711: unpaid" })).await.is(204);
    ada.get("/api/auth/me").await.is(403);
    eve.delete(&suspension).await.is(204);
    let asked = json!({ "tenant": ada.tenant, "reason": "ticket 4712: she can't see her notes" });
    let acting = eve.post(&format!("/api/auth/users/{}/impersonate", ada.id), asked).await.is(200);
    let mut acting_as = ada.clone();
    acting_as.access = text(&acting["access_token"]);
    acting_as.delete("/api/auth/sessions").await.is(200);
    assert_eq!(
        since(&before, &tenant(&ada).await),
        [
            "impersonation.granted allowed",
            "subject.sessions_ended allowed",
            "system.scope allowed",
            "system.scope allowed",
            "system.scope allowed",
            "tenant.reactivated allowed",
            "tenant.refused denied",
            "tenant.suspended allowed",
        ]
    );
    // And what she learns of a token that is not her tenant's: nothing.
    let said = eve.post("/api/auth/verify", json!({ "token": acting_as.access })).await.is(200);
    assert_eq!(said["active"], false);
    let of_eve = since(&before_eve, &tenant(&eve).await);
    assert_eq!(of_eve.iter().filter(|entry| *entry == "tenant.mismatch denied").count(), 1, "{of_eve:?}");
}
