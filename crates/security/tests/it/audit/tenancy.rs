//! Who may read and write what.

use shared_db::statements;
use shared_db::testing::{Outcome, Verb, probe_isolation};

use crate::audit::support::{World, a_tenant};

statements! {
    const COUNT: Statement<(), i64> = "select count(*) from shared_security.audit_log -- without tenant: that is what is tested";
    const UPDATE: Statement<(), ()> = "update shared_security.audit_log set actor = 'x'";
    const DELETE: Statement<(), ()> = "delete from shared_security.audit_log";
    const TRUNCATE: Statement<(), ()> = "truncate shared_security.audit_log";
    const FORGE: Statement<(), ()> = "
        insert into shared_security.audit_log (id, tenant_id, action, outcome, at)
        values (gen_random_uuid(), $tenant, 'a.b', 'allowed', '2000-01-01')";
    const FOREIGN: Statement<(), ()> = "
        insert into shared_security.audit_log (id, tenant_id, action, outcome)
        select gen_random_uuid(), gen_random_uuid(), 'a.b', 'allowed' where $tenant::uuid is not null";
    const SEALS: Statement<(), i64> = "select count(*) from shared_security.audit_seal";
    const UNSEAL: Statement<(), ()> = "delete from shared_security.audit_seal";
    const RESEAL: Statement<(), ()> = "update shared_security.audit_seal set root = root";
    const UNPRUNE: Statement<(), ()> = "delete from shared_security.audit_pruned";
}

/// ASVS 16.4.2.
#[tokio::test]
async fn nobody_updates_deletes_or_truncates() {
    let world = World::new().await;
    world.record(2).await;
    world.seal().await;
    for statement in [&UPDATE, &DELETE, &TRUNCATE, &UNSEAL, &RESEAL, &UNPRUNE] {
        let app = world.db.tenant(&world.tenant).execute(statement, ()).await.unwrap_err();
        let system = world.db.system().execute(statement, ()).await.unwrap_err();
        assert!(
            app.is_permission_denied() && system.is_permission_denied(),
            "{}: {system}",
            statement.name()
        );
        // Not even who may do everything, as long as the triggers are there.
        let superuser = world.superuser().await.batch_execute(statement.sql()).await.unwrap_err();
        assert_eq!(superuser.as_db_error().unwrap().message(), "the audit log is append-only");
    }
    assert_eq!(world.db.system().one(&COUNT, ()).await.unwrap(), 2);
}

/// ASVS 8.4.1.
#[tokio::test]
async fn a_tenant_reads_its_own_entries_and_writes_no_other_s() {
    let world = World::new().await;
    world.record(1).await;
    assert_eq!(world.db.tenant(&world.tenant).one(&COUNT, ()).await.unwrap(), 1);
    assert_eq!(world.db.tenant(&a_tenant()).one(&COUNT, ()).await.unwrap(), 0);
    assert_eq!(world.db.untenanted().one(&COUNT, ()).await.unwrap(), 0);
    for statement in [&FORGE, &FOREIGN] {
        let refused = world.db.tenant(&world.tenant).execute(statement, ()).await.unwrap_err();
        assert!(refused.is_permission_denied(), "{}: {refused}", statement.name());
    }
    assert!(world.db.tenant(&world.tenant).one(&SEALS, ()).await.unwrap_err().is_permission_denied());
}

/// ASVS 8.4.1.
#[tokio::test]
async fn no_statement_of_one_tenant_touches_an_entry_of_another() {
    let world = World::new().await;
    let config = shared_db::Config::new(world.database.url());
    let probed = probe_isolation(&config).await.unwrap();
    assert!(probed.is_isolated(), "{probed}");
    for verb in [Verb::Select, Verb::Unique] {
        let outcome = probed.outcome("shared_security.audit_log", verb);
        assert_eq!(outcome, Some(Outcome::Nothing), "{probed}");
    }
    let report = shared_db::doctor(&config).await.unwrap();
    assert_eq!(report.findings(), [], "{report}");
}
