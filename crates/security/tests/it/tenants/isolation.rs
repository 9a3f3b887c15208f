//! No tenant reaches another's roles, by whatever statement, nor the state that only the system sets. ASVS 8.4.1.

use shared_core::AssumedTenant;
use shared_db::statements;
use shared_db::testing::{Outcome, Verb, probe_isolation};

use super::*;

statements! {
    const FREE: Statement<(), ()> = "
        update shared_security.tenant set suspended_at = null, epoch = epoch + 1 where tenant_id = $tenant";
    const REMOVE: Statement<(), ()> = "delete from shared_security.tenant where tenant_id = $tenant";
}

#[tokio::test]
async fn no_statement_of_one_tenant_touches_a_row_of_another() {
    let world = World::new().await;
    let config = shared_db::Config::new(world.database.url());
    let probed = probe_isolation(&config).await.unwrap();
    assert!(probed.is_isolated(), "{probed}");
    for table in ["tenant", "role", "role_assignment", "role_withdrawal"] {
        let table = format!("shared_security.{table}");
        assert_eq!(probed.outcome(&table, Verb::Select), Some(Outcome::Nothing), "{table}\n{probed}");
    }
    let report = shared_db::doctor(&config).await.unwrap();
    assert_eq!(report.findings(), [], "{report}");
}

#[tokio::test]
async fn a_tenant_does_not_free_itself() {
    let world = World::new().await;
    world.tenants.suspend(&scope(world.tenant)).await.unwrap();
    let door = world.db.tenant(&AssumedTenant::new(world.tenant, "a test"));
    assert!(door.execute(&FREE, ()).await.unwrap_err().to_string().contains("42501"));
    assert!(door.execute(&REMOVE, ()).await.unwrap_err().to_string().contains("42501"));
}
