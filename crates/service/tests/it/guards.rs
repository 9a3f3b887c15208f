//! What guards a service beside tokens, as far as it was asked for.

use std::time::Duration;

use shared_service::core::AssumedTenant;
use shared_service::prelude::*;
use shared_service::security::{
    Audit, By, ClientAddress, Cors, ForwardedBy, Grant, InProcess, Issuer, Limit, Limiter, NewSession,
    RevocationConfig, Rule, SessionConfig, Sessions, Tenants, WhenStale,
};
use shared_service::testing::TestService;

use crate::support::{Ask, MATRIX};

#[derive(Config)]
#[config(prefix = "DESK")]
struct Settings {
    service: shared_service::Config,
    db: shared_service::db::Config,
    security: shared_service::security::Config,
}

#[derive(Clone)]
struct Desk {
    audit: Audit,
    tenants: Tenants,
    sessions: Sessions,
    issuer: Issuer,
    /// Requests an hour to what is dear.
    dear: u64,
}

impl Desk {
    async fn open(start: Start<Settings>) -> Result<Desk, Failure> {
        let (audit, revocations) = (start.audit()?, start.revocations()?);
        let sessions = Sessions::new(start.db.clone(), revocations, SessionConfig::default())?;
        Ok(Desk {
            sessions: sessions.with_audit(audit.clone()),
            audit,
            tenants: start.tenants()?,
            issuer: start.settings.security.issuer()?,
            dear: 2,
        })
    }
}

fn service() -> Service<Settings, Desk> {
    Service::open("desk", Desk::open)
        .permissions(&MATRIX)
        .audited()
        .tenants()
        .revocations(RevocationConfig::new(WhenStale::Refuse))
        .routes(
            Router::new().route("/asked", get(async |_: May<Ask>| "yes")).route("/open", get(async || "yes")),
        )
}

/// Routes that nobody has to be known for, beside one of the same path that somebody has to.
#[tokio::test]
async fn public_routes_look_at_no_token() {
    let once = |_: &Desk| {
        Limiter::new(InProcess::new(100), [Rule::new("route", &[By::Route], Limit::per_minute(1))])
    };
    let service = service()
        .routes(Router::new().route("/notes", post(async |_: May<Ask>| "made")))
        .public_routes(
            Router::new().route("/notes", get(async || "all")).route("/who", get(async |_: Principal| "who")),
        )
        .limited_public_routes(Router::new().route("/login", get(async || "in")), once);
    let app = TestService::start(service).await;
    for token in ["a.forged.token", ""] {
        assert_eq!(status(&app, "/notes", token).await, 200);
        assert_eq!(status(&app, "/who", token).await, 500);
    }
    assert_eq!(status(&app, "/asked", "a.forged.token").await, 401);
    assert_eq!(status(&app, "/login", "a.forged.token").await, 200);
    assert_eq!(status(&app, "/login", "a.forged.token").await, 429);
    let asker = app.tenant_with(Ask);
    app.post("/notes", &asker, ()).await.ok();
    app.post("/notes", &app.tenant_with(()), ()).await.status(403);
    app.put("/notes", &asker, ()).await.status(405);
}

#[tokio::test]
#[should_panic(expected = "public routes are limited by tenant or principal")]
async fn public_routes_are_not_limited_by_principal() {
    let by_tenant = |_: &Desk| {
        Limiter::new(InProcess::new(100), [Rule::new("tenant", &[By::Tenant], Limit::per_minute(1))])
    };
    TestService::start(service().limited_public_routes(Router::new(), by_tenant)).await;
}

statements! {
    const ENTRIES: Statement<(TenantId, String), i64> = "
        select count(*) from shared_security.audit_log where tenant_id = $1 and action || ' ' || outcome = $2";
    const ADDRESSES: Statement<(TenantId,), (String, Option<String>)> = "
        select action, address from shared_security.audit_log where tenant_id = $1 order by action";
}

/// Waits until the tenant's log has this entry.
async fn recorded(app: &TestService<Desk>, tenant: TenantId, entry: &str) {
    let there = async {
        while app.db().system().one(&ENTRIES, (tenant, entry)).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await; // a condition is polled
        }
    };
    tokio::time::timeout(Duration::from_secs(20), there).await.unwrap_or_else(|_| panic!("no entry {entry}"));
}

async fn status(app: &TestService<Desk>, path: &str, token: &str) -> u16 {
    let request = reqwest::Client::new().get(format!("{}{path}", app.url())).bearer_auth(token);
    request.send().await.unwrap().status().as_u16()
}

/// ASVS 16.3.2.
#[tokio::test]
async fn a_denial_is_in_the_audit_log() {
    let app = TestService::start(service()).await;
    let nobody = app.tenant_with(());
    app.get("/asked", &nobody).await.status(403);
    recorded(&app, nobody.id(), "permission.denied denied").await;
}

/// ASVS 7.4.1.
#[tokio::test]
async fn a_session_that_was_ended_is_refused() {
    let app = TestService::start(service()).await;
    let Desk { sessions, issuer, .. } = app.running().state();
    let tenant = AssumedTenant::new(TenantId::new(), "a test");
    let login = sessions.login(&tenant, "user:7").await.unwrap();
    let session = sessions.open(&tenant, login, NewSession::new("desk")).await.unwrap().session;
    let grant =
        Grant::new(tenant.context().tenant(), "user:7").with_permissions(Ask).with_session(session.id);
    let token = issuer.issue(&grant).unwrap();
    assert_eq!(status(&app, "/asked", token.expose()).await, 200);
    assert!(sessions.end(&tenant, "user:7", session.id).await.unwrap());
    assert_eq!(status(&app, "/asked", token.expose()).await, 401);
    recorded(&app, tenant.context().tenant(), "session.ended allowed").await;
}

/// ASVS 8.3.2.
#[tokio::test]
async fn a_suspended_tenant_is_refused() {
    let app = TestService::start(service()).await;
    let asker = app.tenant_with(Ask);
    app.get("/asked", &asker).await.ok();
    let Desk { audit, tenants, .. } = app.running().state();
    let scope = audit.scope(&AssumedTenant::new(asker.id(), "invoice 17 is not paid"));
    tenants.suspend(&scope).await.unwrap();
    assert!(app.get("/asked", &asker).await.status(403).text().contains("tenant-suspended"));
    recorded(&app, asker.id(), "tenant.suspended allowed").await;
}

/// ASVS 2.4.1: by principal behind the verifier, by address in front of it.
#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let hourly = |requests| Limit::per(requests, Duration::from_secs(3600));
    let service = service()
        .limits(move |_| {
            let rule = Rule::new("user", &[By::Tenant, By::Principal], hourly(2));
            Limiter::new(InProcess::new(1000), [rule])
        })
        .limits(move |_| {
            Limiter::new(InProcess::new(1000), [Rule::new("address", &[By::Address], hourly(5))])
        });
    let app = TestService::start(service).await;
    let (one, two) = (app.tenant_with(Ask), app.tenant_with(Ask));
    for left in ["r=1", "r=0"] {
        let answer = app.get("/asked", &one).await.ok();
        assert!(answer.header("ratelimit").unwrap().contains(left), "{:?}", answer.header("ratelimit"));
    }
    let refused = app.get("/asked", &one).await.status(429);
    assert!(refused.header("retry-after").is_some());
    assert!(refused.header("ratelimit-policy").unwrap().contains("user"));
    recorded(&app, one.id(), "limit.exceeded denied").await;
    app.get("/asked", &two).await.ok();
    // The fifth of this address; from now on no token is looked at.
    assert_eq!(status(&app, "/asked", "no token").await, 401);
    assert_eq!(status(&app, "/asked", "no token").await, 429);
}

/// ASVS 2.4.1: what is dear has a limit of its own, of whatever the state says, beside routes without one.
#[tokio::test]
async fn some_routes_have_limits_of_their_own() {
    let dear = Router::new().route("/dear", get(async || "yes"));
    let service = service().limited_routes(dear, |desk| {
        let rule = Rule::new("dear", &[By::Address], Limit::per(desk.dear, Duration::from_secs(3600)));
        Limiter::new(InProcess::new(1000), [rule])
    });
    let app = TestService::start(service).await;
    let asker = app.tenant_with(Ask);
    for _ in 0..2 {
        app.get("/dear", &asker).await.ok();
        app.get("/open", &asker).await.ok();
    }
    app.get("/dear", &asker).await.status(429);
    recorded(&app, asker.id(), "limit.exceeded denied").await;
    assert!(app.get("/open", &asker).await.ok().header("ratelimit").is_none());
    app.post("/dear", &asker, ()).await.status(405);
}

/// ASVS 16.2.1: from where a denial comes is recorded, behind as many proxies as are declared and no more.
#[tokio::test]
async fn a_denial_says_from_where_it_came() {
    let app =
        TestService::start(service().behind(|_| ClientAddress::behind(1, ForwardedBy::XForwardedFor))).await;
    let nobody = app.tenant_with(());
    let request = reqwest::Client::new().get(format!("{}/asked", app.url())).bearer_auth(nobody.token());
    let request = request.header("x-forwarded-for", "203.0.113.66, 198.51.100.7");
    assert_eq!(request.send().await.unwrap().status(), 403);
    recorded(&app, nobody.id(), "permission.denied denied").await;
    let entries = app.db().system().all(&ADDRESSES, (nobody.id(),)).await.unwrap();
    assert_eq!(entries, [("permission.denied".to_owned(), Some("198.51.100.7".to_owned()))]);
}

/// ASVS 3.4.2: the origin is compared, and a preflight needs no token.
#[tokio::test]
async fn pages_of_other_origins_may_call_it_where_it_says_so() {
    let cors = Cors::from_origins(["https://app.example".parse().unwrap()]);
    let app = TestService::start(service().cors(move |_| cors.layer())).await;
    for (origin, allowed) in
        [("https://app.example", Some("https://app.example")), ("https://evil.example", None)]
    {
        let request =
            reqwest::Client::new().request(reqwest::Method::OPTIONS, format!("{}/asked", app.url()));
        let request = request.header("origin", origin).header("access-control-request-method", "GET");
        let answer = request.send().await.unwrap();
        let said = answer.headers().get("access-control-allow-origin").map(|origin| origin.to_str().unwrap());
        assert_eq!(said, allowed);
    }
}

/// What the state wants has to be asked for.
#[tokio::test]
async fn what_was_not_asked_for_is_named() {
    let app = TestService::start(Service::<Settings, _>::open("bare", async |start: Start<Settings>| {
        Ok(start.audit().err().map(|failure| failure.to_string()))
    }))
    .await;
    assert!(app.running().state().as_ref().unwrap().contains("audited"));
}

/// Everything that was recorded is written and sealed when a stop returns.
#[tokio::test]
async fn a_stop_writes_what_was_recorded() {
    let app = TestService::start(service()).await;
    let audit = app.running().state().audit.clone();
    (0..500).for_each(|_| audit.record(AuditEvent::new("probe.asked")));
    let stopped = app.stop().await;
    assert_eq!(stopped.audit_events, 0);
    assert!(stopped.is_clean());
}
