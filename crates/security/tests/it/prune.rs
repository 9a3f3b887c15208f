//! What is over goes, and nothing else.

use std::time::Duration;

use shared_core::InTenant;
use shared_security::{LoginGuard, prune};

use crate::world::{USER, World};

#[tokio::test]
async fn what_is_over_is_removed_and_what_lives_stays() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let world = World::new().await;
    let superuser = world.superuser().await;
    let ended = world.open("gone").await;
    world.sessions.end(&world.tenant, "gone", ended.session.id).await.unwrap();
    world.open("idle").await;
    let guard = LoginGuard::new(world.db.clone());
    guard.attempt(&world.tenant, "ada", [192, 0, 2, 1].into()).await.unwrap().succeeded().await.unwrap();
    world.passes(9 * DAY).await;
    let live = world.open(USER).await;
    world.sessions.disable(&world.tenant, "disabled").await.unwrap();
    let sql = format!(
        "update shared_security.subject set touched_at = touched_at - interval '2 days';
         update shared_security.login_failures set last_at = last_at - interval '2 days';
         insert into shared_security.revocation (tenant_id, kind, name, expires_at)
         select '{0}', 'token', n::text, clock_timestamp() - interval '1 s' from generate_series(1, 2500) n;
         insert into shared_security.revocation (tenant_id, kind, name, expires_at)
         values ('{0}', 'token', 'live', clock_timestamp() + interval '1 h')",
        world.tenant.context().tenant()
    );
    superuser.batch_execute(&sql).await.unwrap();

    let pruned = prune(&world.db).await.unwrap();
    assert_eq!((pruned.sessions, pruned.subjects, pruned.revocations), (2, 2, 2500));
    assert_eq!(pruned.login_failures, 2, "where the account has logged in from is still known");
    assert_eq!(prune(&world.db).await.unwrap(), Default::default());
    assert!(world.refresh(live.refresh_token.expose()).await.is_ok());
    let login = world.sessions.login(&world.tenant, "disabled").await.unwrap();
    let refused = world.sessions.open(&world.tenant, login, shared_security::NewSession::new("app")).await;
    assert!(refused.is_err(), "who is disabled stays so");
}
