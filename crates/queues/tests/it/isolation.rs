//! No tenant reaches another's jobs, by whatever statement.

use shared_db::testing::{Outcome, Verb, probe_isolation};

use crate::support::bench;

#[tokio::test]
async fn no_statement_of_one_tenant_touches_a_row_of_another() {
    let bench = bench().await;
    let config = shared_db::Config::new(&bench.url);
    let mut probe = probe_isolation(&config);
    for table in ["shared_queues.body", "shared_queues.ready", "shared_queues.scheduled"] {
        for verb in [Verb::Unique, Verb::Upsert] {
            probe =
                probe.exempt(table, verb, "ids come from a sequence, which no statement of a program names");
        }
    }
    let probed = probe.await.unwrap();
    assert!(probed.is_isolated(), "{probed}");
    for table in
        ["shared_queues.body", "shared_queues.ready", "shared_queues.scheduled", "shared_queues.dead"]
    {
        assert_eq!(probed.outcome(table, Verb::Select), Some(Outcome::Refused), "{table}\n{probed}");
    }
    let report = shared_db::doctor(&config).await.unwrap();
    // Of the same three keys.
    assert!(
        report.findings().iter().all(|finding| finding.severity == shared_db::Severity::Note),
        "{report}"
    );
    assert_eq!(report.findings().len(), 3, "{report}");
}
