//! No tenant reaches another's events, marks or parked events, by whatever statement.

use shared_db::testing::{Outcome, Verb, probe_isolation};

use crate::support::World;

#[tokio::test]
async fn no_statement_of_one_tenant_touches_a_row_of_another() {
    let world = World::new().await;
    let config = shared_db::Config::new(world.database.url());
    let probed = probe_isolation(&config).await.unwrap();
    assert!(probed.is_isolated(), "{probed}");
    for table in [
        "shared_events.log",
        "shared_events.delayed",
        "shared_events.inbox",
        "shared_events.\"position\"",
        "shared_events.parked",
        "it.counter",
    ] {
        assert_eq!(probed.outcome(table, Verb::Select), Some(Outcome::Nothing), "{table}\n{probed}");
        // The log refuses a row of another tenant by its lane before a key is looked up; two tenants may share a lane.
        let unique = probed.outcome(table, Verb::Unique);
        let by_lane = table == "shared_events.log" && unique == Some(Outcome::Refused);
        assert!(by_lane || unique == Some(Outcome::Nothing), "{table}\n{probed}");
    }
    let report = shared_db::doctor(&config).await.unwrap();
    assert_eq!(report.findings(), [], "{report}");
}
