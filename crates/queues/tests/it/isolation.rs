//! No tenant reaches another's jobs, by whatever statement.

use shared_db::testing::{Outcome, Verb, probe_isolation};

use crate::support::bench;

/// What a tenant's transaction may insert into.
const ENTRANCES: [&str; 5] = [
    "shared_queues.body",
    "shared_queues.ready",
    "shared_queues.scheduled",
    "shared_queues.waiting",
    "shared_queues.news",
];

#[tokio::test]
async fn no_statement_of_one_tenant_touches_a_row_of_another() {
    let bench = bench().await;
    let config = shared_db::Config::new(&bench.url);
    let mut probe = probe_isolation(&config);
    // Those of the others begin with the tenant, or there are none.
    for table in ["shared_queues.body", "shared_queues.scheduled", "shared_queues.waiting"] {
        for verb in [Verb::Unique, Verb::Upsert] {
            let why =
                "positions come from a sequence and ids are random: no statement of a program names them";
            probe = probe.exempt(table, verb, why);
        }
    }
    let probed = probe.await.unwrap();
    assert!(probed.is_isolated(), "{probed}");
    let others = ["dead", "finished", "mark", "lane", "share", "schedule"]
        .map(|table| format!("shared_queues.{table}"));
    for table in ENTRANCES.map(str::to_owned).iter().chain(&others) {
        assert_eq!(probed.outcome(table, Verb::Select), Some(Outcome::Refused), "{table}\n{probed}");
    }
    let report = shared_db::doctor(&config).await.unwrap();
    // Of the same keys.
    assert!(
        report.findings().iter().all(|finding| finding.severity == shared_db::Severity::Note),
        "{report}"
    );
}
