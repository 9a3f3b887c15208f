//! Processes that are killed: between the rotation and its answer, and before anybody has written down what they did. The tests are
//! their own victims.

use std::env;
use std::time::Duration;

use shared_core::AssumedTenant;
use shared_db::Db;
use shared_devkit::child::{self, Child, Kill, Matrix, Outcome};
use shared_security::audit::Writer;
use shared_security::{
    AuditEvent, KeyRing, KeyRingConfig, NewSession, Revocation, Revocations, RoleDefinition, SessionConfig,
    Sessions, SystemScope, Tenants, TenantsConfig,
};

use crate::roles::{DESK, ReadNotes};
use crate::world::{USER, World, a_tenant, connect, refresh, revocation_config};

const DATABASE: &str = "SECURITY_TEST_DATABASE";
const TOKEN: &str = "SECURITY_TEST_TOKEN";

#[tokio::test]
async fn a_refresh_that_was_killed_is_repeated_with_the_same_token() {
    if child::enter().unwrap().is_some() {
        let db = connect(&env::var(DATABASE).unwrap()).await;
        let revocations = Revocations::in_process(revocation_config());
        let sessions = Sessions::new(db, revocations, SessionConfig::default()).unwrap();
        refresh(&sessions, &env::var(TOKEN).unwrap()).await.unwrap();
        return std::future::pending().await;
    }
    let points = ["db.commit.sending", "db.commit.answered", "security.refresh.committed"];
    let kills = Matrix::new(points).moments(3, Duration::ZERO..Duration::from_millis(60), 7);
    let report = kills.run(a_refresh_is_killed_and_repeated).await.unwrap();
    assert_eq!(report.total("refreshed"), 6);
}

async fn a_refresh_is_killed_and_repeated(kill: Kill) -> Outcome {
    let world = World::new().await;
    let first = world.open(USER).await;
    let victim = Child::test_function("kill::a_refresh_that_was_killed_is_repeated_with_the_same_token");
    let victim = victim.env(DATABASE, world.database.url()).env(TOKEN, first.refresh_token.expose());
    victim.kill(kill).start().unwrap().killed().await.unwrap();

    let repeated = world.refresh(first.refresh_token.expose()).await;
    let again = world.refresh(first.refresh_token.expose()).await;
    let same = match (&repeated, &again) {
        (Ok(one), Ok(two)) => one.refresh_token.expose() == two.refresh_token.expose(),
        _ => false,
    };
    let next = match &repeated {
        Ok(one) => world.refresh(one.refresh_token.expose()).await.is_ok(),
        Err(_) => false,
    };
    Outcome::new()
        .count("refreshed", usize::from(repeated.is_ok()))
        .wrong("siblings", usize::from(!same))
        .wrong("ended", usize::from(!next))
}

/// ASVS 16.3.3: what changes the database is on record with the change, though whoever writes the rest of the log is killed before its
/// first word.
#[tokio::test]
async fn every_change_is_on_record_though_the_log_s_buffer_dies() {
    if child::enter().unwrap().is_some() {
        return change_everything(connect(&env::var(DATABASE).unwrap()).await).await;
    }
    let world = World::new().await;
    let victim = Child::test_function("kill::every_change_is_on_record_though_the_log_s_buffer_dies");
    let victim = victim.env(DATABASE, world.database.url()).kill(Kill::at("security.audit.writing", 1));
    assert!(victim.start().unwrap().killed().await.unwrap());

    let sql = "select action || ' ' || outcome from shared_security.audit_log order by pos";
    let rows = world.superuser().await.query(sql, &[]).await.unwrap();
    let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(found, CHANGES, "the event of the buffer, `note.read`, is gone, and nothing else");
}

/// In the order of [`change_everything`].
const CHANGES: [&str; 18] = [
    "session.opened allowed",
    "session.refreshed allowed",
    "session.ended allowed",
    "session.opened allowed",
    "session.ended allowed", // to make room for the next
    "session.opened allowed",
    "subject.sessions_ended allowed",
    "subject.disabled allowed",
    "subject.allowed allowed",
    "tenant.sessions_ended allowed",
    "role.created allowed",
    "role.assigned allowed",
    "impersonation.granted allowed",
    "role.withdrawn allowed",
    "tenant.suspended allowed",
    "token.revoked allowed",
    "key.rotated allowed",
    "key.revoked allowed",
];

async fn change_everything(db: Db) {
    let (tenant, writer) =
        (a_tenant(), Writer::start(db.clone(), &shared_security::audit::Config::default()));
    let audit = writer.audit();
    let (revocations, _worker) = Revocations::over_postgres(db.clone(), revocation_config()).await.unwrap();
    let revocations = revocations.with_audit(audit.clone());
    let config = SessionConfig { per_subject: 1, ..SessionConfig::default() };
    let sessions = Sessions::new(db.clone(), revocations.clone(), config).unwrap().with_audit(audit.clone());
    change_sessions(&sessions, &tenant).await;
    let tenants = Tenants::start(db.clone(), &DESK, TenantsConfig::default()).await.unwrap();
    let (tenants, scope) = (tenants.with_audit(audit.clone()), SystemScope::assumed(&tenant));
    let roles = tenants.system_roles(&scope);
    roles.create(&RoleDefinition::new("night").with_permissions(ReadNotes)).await.unwrap();
    roles.assign(USER, "night").await.unwrap();
    tenants.impersonate(&scope, USER).await.unwrap();
    roles.withdraw(USER, "night").await.unwrap();
    tenants.suspend(&scope).await.unwrap();
    revocations.revoke(&tenant, Revocation::Token("token-1".to_owned())).await.unwrap();
    let ring = KeyRing::open(db, crate::sealed::sealer(&[1]), KeyRingConfig::default()).await.unwrap();
    let ring = ring.with_audit(audit.clone());
    ring.rotate().await.unwrap();
    ring.revoke(ring.signing_keys().current().unwrap().id()).await.unwrap();
    // The first that is left to the buffer: it kills.
    audit.record(AuditEvent::new("note.read").within(&tenant));
    std::future::pending().await
}

async fn change_sessions(sessions: &Sessions, tenant: &AssumedTenant) {
    let open = async || {
        let login = sessions.login(tenant, USER).await.unwrap();
        sessions.open(tenant, login, NewSession::new(crate::world::CLIENT)).await.unwrap()
    };
    let opened = open().await;
    refresh(sessions, opened.refresh_token.expose()).await.unwrap();
    sessions.end(tenant, USER, opened.session.id).await.unwrap();
    open().await;
    // It makes room.
    open().await;
    sessions.end_all(tenant, USER, None).await.unwrap();
    sessions.disable(tenant, USER).await.unwrap();
    sessions.allow(tenant, USER).await.unwrap();
    sessions.end_tenant(tenant).await.unwrap();
}
