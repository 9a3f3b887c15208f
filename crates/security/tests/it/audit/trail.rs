//! What the crate records by itself: every authentication event, every denial, every use of another tenant.

use std::net::IpAddr;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use serde_json::json;
use shared_core::{Secret, TenantId};
use shared_security::audit::Writer;
use shared_security::{
    Audit, Authorizer, BearerLayer, By, ClaimedTenant, CsrfLayer, Device, Grant, InProcess, KeyRing,
    KeyRingConfig, Limit, LimitLayer, Limiter, LoginGuard, May, NewSession, Principal, Question, Resource,
    Revocation, RevocationConfig, Revocations, RoleDefinition, Rule, SessionConfig, Sessions, Tenants,
    TenantsConfig, Undecided, WhenStale,
};
use tower::ServiceExt;

use super::support::{World, a_tenant, quick};
use crate::roles::{ActAsUser, DESK, ManageRoles, ReadNotes, SuspendTenant, WriteNotes};
use crate::support::{THEIRS, claims, header, issuer, signed_by, verifier};

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

/// An engine that is away.
struct Away;

impl Authorizer for Away {
    async fn allows(&self, _: &Question<'_>) -> Result<bool, Undecided> {
        Err(Undecided::new("the engine does not answer"))
    }
}

/// A program with everything that records.
struct Program {
    world: World,
    audit: Audit,
    writer: Writer,
    tenants: Tenants,
    /// What must not be found in the log.
    secrets: Vec<String>,
}

impl Program {
    async fn new() -> Self {
        let world = World::new().await;
        let writer = Writer::start(world.db.clone(), &quick());
        let audit = writer.audit();
        world.db.on_crossing(audit.crossings()).unwrap();
        let tenants = Tenants::start(world.db.clone(), &DESK, TenantsConfig::default()).await.unwrap();
        Self { tenants: tenants.with_audit(audit.clone()), world, audit, writer, secrets: Vec::new() }
    }

    fn token(&mut self, grant: &Grant) -> String {
        let token = issuer().issue(grant).unwrap().expose().to_owned();
        self.secrets.push(token.clone());
        token
    }

    fn principal(&mut self, roles: &[&str]) -> Principal {
        let grant = Grant::new(self.world.id(), "user:7").with_roles(roles.to_vec());
        let token = self.token(&grant);
        Principal::new(verifier().verify(token).unwrap(), &DESK, None).with_audit(self.audit.clone())
    }

    async fn requests(&mut self) {
        let limiter =
            Limiter::new(InProcess::new(100), [Rule::new("route", &[By::Route], Limit::per_minute(1))]);
        let limit =
            LimitLayer::new(limiter.unwrap()).route(|_| Some("/limited")).with_audit(self.audit.clone());
        let app = Router::new()
            .route("/limited", get(async || "once").route_layer(limit))
            .route("/notes", get(async |_: May<ReadNotes>| "notes").post(async || "made"))
            .layer(CsrfLayer::new([]).with_audit(self.audit.clone()))
            .layer(self.tenants.layer())
            .layer(BearerLayer::new(verifier(), &DESK).with_audit(self.audit.clone()));
        let ask = async |method: &str, path: &str, headers: &[(&str, &str)]| {
            let mut request = Request::builder().method(method).uri(path);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
        };
        let forged = format!("Bearer {}", signed_by(THEIRS, header(), claims()));
        let nothing = format!("Bearer {}", self.token(&Grant::new(self.world.id(), "user:7")));
        self.secrets.push(forged.clone());
        assert_eq!(ask("GET", "/notes", &[("authorization", &forged)]).await, 401);
        assert_eq!(ask("GET", "/notes", &[]).await, 401);
        assert_eq!(ask("GET", "/notes", &[("authorization", "Bearer")]).await, 400);
        assert_eq!(ask("GET", "/notes", &[("authorization", &nothing)]).await, 403);
        self.secrets.push("cookie-value".to_owned());
        assert_eq!(
            ask("POST", "/notes", &[("cookie", "s=cookie-value"), ("sec-fetch-site", "cross-site")]).await,
            403
        );
        assert_eq!((ask("GET", "/limited", &[]).await, ask("GET", "/limited", &[]).await), (200, 429));
    }

    async fn permissions(&mut self) {
        let who = self.principal(&["editor"]);
        let may: May<WriteNotes> = who.require().unwrap();
        may.only_if(false).unwrap_err();
        who.prove::<ManageRoles>().unwrap_err();
        let note = Resource::new("Note", "17");
        who.require_by::<WriteNotes>(&Away, note).await.unwrap_err();
        ClaimedTenant::new(TenantId::new().to_string()).confirm(&may).unwrap_err();
    }

    async fn operators(&mut self) {
        let scope = self.audit.scope(&self.world.tenant);
        let roles = self.tenants.system_roles(&scope);
        roles.create(&RoleDefinition::new("night").with_permissions(ReadNotes)).await.unwrap();
        roles.assign("user:9", "night").await.unwrap();
        let admin = self.principal(&["admin"]);
        let admin = self.tenants.admit(admin).await.unwrap();
        let by_admin = self.tenants.roles(&admin.require::<ManageRoles>().unwrap());
        by_admin.assign("user:9", "operator").await.unwrap_err();
        let of_system = RoleDefinition::new("mine").with_permissions(ActAsUser);
        by_admin.create(&of_system).await.unwrap_err();
        roles.withdraw("user:9", "night").await.unwrap();
        roles.delete("night", 1).await.unwrap();

        let operator = self.principal(&["operator"]);
        operator.require::<ActAsUser>().unwrap().in_tenant(self.world.id(), " ").unwrap_err();
        let act = operator.require::<ActAsUser>().unwrap().in_tenant(self.world.id(), "ticket 4711").unwrap();
        self.tenants.impersonate(&act, "user:9").await.unwrap();
        roles.assign("operator:2", "operator").await.unwrap();
        self.tenants.impersonate(&act, "operator:2").await.unwrap_err();
        let suspend =
            operator.require::<SuspendTenant>().unwrap().in_tenant(self.world.id(), "invoice 17").unwrap();
        self.tenants.suspend(&suspend).await.unwrap();
        let user = self.principal(&[]);
        self.tenants.admit(user).await.unwrap_err();
        self.tenants.reactivate(&suspend).await.unwrap();
    }

    async fn logins(&mut self) {
        let (db, tenant) = (self.world.db.clone(), &self.world.tenant);
        let revocations = Revocations::in_process(RevocationConfig::new(WhenStale::Refuse));
        let revocations = revocations.with_audit(self.audit.clone());
        let sessions = Sessions::new(db.clone(), revocations.clone(), SessionConfig::default()).unwrap();
        let sessions = sessions.with_audit(self.audit.clone());
        let guard = LoginGuard::new(db).with_audit(self.audit.clone());

        for _ in 0..6 {
            drop(guard.attempt(tenant, "ada", ADDRESS).await.unwrap());
        }
        guard.attempt(tenant, "ada", ADDRESS).await.unwrap_err();
        guard.attempt(tenant, "eve", ADDRESS).await.unwrap().succeeded().await.unwrap();

        let (device, new) = (Device::new("Browser/1.0", Some(ADDRESS)), NewSession::new("app"));
        let stale = sessions.login(tenant, "user:7").await.unwrap();
        let login = sessions.login(tenant, "user:7").await.unwrap();
        let opened = sessions.open(tenant, login, new.clone().from(device.clone())).await.unwrap();
        let token = Secret::new(opened.refresh_token.expose());
        let next = sessions.refresh(&token, "app", &device).await.unwrap();
        self.secrets.extend([token.expose(), next.refresh_token.expose()].map(str::to_owned));
        sessions.refresh(&Secret::new("r1.nothing"), "app", &device).await.unwrap_err();
        sessions.refresh(&token, "another", &device).await.unwrap_err();
        sessions.end(tenant, "user:7", opened.session.id).await.unwrap();
        sessions.end_all(tenant, "user:7", None).await.unwrap();
        sessions.open(tenant, stale, new).await.unwrap_err();
        let elsewhere = sessions.login(&a_tenant(), "user:7").await.unwrap();
        sessions.open(tenant, elsewhere, NewSession::new("app")).await.unwrap_err();
        sessions.disable(tenant, "user:7").await.unwrap();
        sessions.allow(tenant, "user:7").await.unwrap();
        sessions.end_tenant(tenant).await.unwrap();
        revocations.revoke(tenant, Revocation::Token("token-1".to_owned())).await.unwrap();
    }

    async fn keys(&mut self) {
        let sealer = crate::sealed::sealer(&[1]);
        let ring = KeyRing::open(self.world.db.clone(), sealer, KeyRingConfig::default()).await.unwrap();
        let ring = ring.with_audit(self.audit.clone());
        ring.rotate().await.unwrap();
        let signs = ring.signing_keys().current().unwrap().id().to_owned();
        ring.revoke(&signs).await.unwrap();
        ring.stop().await;
    }
}

/// What has to be there, each as often as it was caused.
const CAUSED: &[(&str, &str, i64)] = &[
    ("impersonation.granted", "allowed", 1),
    ("impersonation.refused", "denied", 1),
    ("key.revoked", "allowed", 1),
    ("key.rotated", "allowed", 1),
    ("limit.exceeded", "denied", 1),
    ("login.delayed", "denied", 1),
    ("login.failed", "denied", 6),
    ("permission.denied", "denied", 3), // by a handler, a rule and a repository
    ("permission.undecided", "failed", 1),
    ("request.forged", "denied", 1),
    ("role.assigned", "allowed", 2),
    ("role.created", "allowed", 1),
    ("role.deleted", "allowed", 1),
    ("role.refused", "denied", 2),
    ("role.withdrawn", "allowed", 1),
    ("session.ended", "failed", 1), // the refusal before has ended it
    ("session.opened", "allowed", 1),
    ("session.opened", "denied", 2), // with a login from before all ended, and with one of another tenant
    ("session.refreshed", "allowed", 1),
    ("session.refreshed", "denied", 2),
    ("subject.allowed", "allowed", 1),
    ("subject.disabled", "allowed", 1),
    ("subject.sessions_ended", "allowed", 1),
    ("system.scope", "allowed", 3),
    ("system.scope", "denied", 1),
    ("tenancy.crossed", "allowed", 1),
    ("tenant.mismatch", "denied", 1),
    ("tenant.reactivated", "allowed", 1),
    ("tenant.refused", "denied", 1),
    ("tenant.sessions_ended", "allowed", 1),
    ("tenant.suspended", "allowed", 1),
    ("token.refused", "denied", 3), // forged, missing, unclear
    ("token.revoked", "allowed", 1),
];

/// ASVS 16.3.1, 16.3.2, 16.3.3: each kind of event, caused once, is found, and nothing else; ASVS 16.2.5: and no secret in it.
#[tokio::test]
async fn every_authentication_event_denial_and_use_of_another_tenant_is_there() {
    let mut program = Program::new().await;
    program.requests().await;
    program.permissions().await;
    program.operators().await;
    program.logins().await;
    program.keys().await;
    program.tenants.stop().await;
    let Program { world, writer, secrets, .. } = program;
    assert_eq!(writer.stop().await.lost, 0);

    let superuser = world.superuser().await;
    // Besides, the crate's own tasks use the doors of the system.
    let found = "select action, outcome, case action when 'tenancy.crossed' then 1 else count(*) end
                   from shared_security.audit_log group by action, outcome order by action collate \"C\", outcome";
    let found = superuser.query(found, &[]).await.unwrap();
    let found: Vec<(String, String, i64)> =
        found.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let caused: Vec<_> =
        CAUSED.iter().map(|(action, outcome, n)| (action.to_string(), outcome.to_string(), *n)).collect();
    assert_eq!(found, caused);

    let all = "select string_agg(log::text, ' ') from shared_security.audit_log log";
    let all: String = superuser.query_one(all, &[]).await.unwrap().get(0);
    for secret in &secrets {
        let parts = secret.trim_start_matches("Bearer ").split('.').filter(|part| part.len() > 8);
        parts.for_each(|part| assert!(!all.contains(part), "{part} is in the log"));
    }
}

/// ASVS 16.2.1: who acts in another's place is the one who did it.
#[tokio::test]
async fn who_acts_for_another_is_named_with_the_other() {
    let mut program = Program::new().await;
    let grant = Grant::new(program.world.id(), "user:7").with_actor("operator:1");
    let token = program.token(&grant);
    let who =
        Principal::new(verifier().verify(token).unwrap(), &DESK, None).with_audit(program.audit.clone());
    who.require::<WriteNotes>().unwrap_err();
    program.writer.stop().await;
    let sql = "select json_build_object('actor', actor, 'for', on_behalf_of, 'what', target_id, 'tenant', tenant_id,
                                        'conversation', correlation)
                 from shared_security.audit_log where action = 'permission.denied'";
    let entry: serde_json::Value = program.world.superuser().await.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(
        entry,
        json!({ "actor": "operator:1", "for": "user:7", "what": "notes:write", "tenant": program.world.id(),
                "conversation": who.context().correlation() })
    );
}
