//! What is done now and then, by one of all instances.

use std::time::Duration;

use shared_core::InTenant;
use shared_security::Upkeep;
use shared_security::audit::{Config, Root, Verify};

use crate::audit::support::{World, a_tenant, record, until};
use crate::log::Log;

/// Looks all the time, and keeps nothing.
fn hasty() -> Config {
    Config { keep: Duration::ZERO, upkeep_every: Duration::from_millis(20), ..Config::default() }
}

/// The roots that were told, in their order.
fn told(log: &Log) -> Vec<Root> {
    let text = log.text();
    let json = text.lines().filter(|line| line.contains("the end of a chain")).filter_map(|line| {
        let json = line.split_once("root=\"")?.1.split_once("}\"")?.0;
        Some(format!("{}}}", json.replace("\\\"", "\"")))
    });
    json.map(|json| serde_json::from_str(&json).unwrap()).collect()
}

/// Waits until it is noted that everything is told.
async fn noted(world: &World) {
    let sql = "select count(*) from shared_security.audit_upkeep
                where told_until = (select max(until) from shared_security.audit_seal)";
    until(async || world.number(sql).await == 1).await;
}

/// ASVS 16.4.3: the ends of the chains leave the database before entries whose time is over go, and anchor what is left.
#[tokio::test]
async fn roots_are_told_and_old_entries_go() {
    let (world, log) = (World::new().await, Log::default());
    world.record(5).await;
    world.seal().await;
    let _guard = log.install();
    let upkeep = Upkeep::start(world.db.clone(), &hasty());
    until(async || world.positions().await.is_empty()).await;
    upkeep.stop().await;
    let roots = told(&log);
    let own = roots.iter().find(|root| root.tenant == world.id()).unwrap();
    assert_eq!(own.number, 1);

    world.seal().await;
    let report = Verify::default().anchors(roots.clone()).run(&world.db).await.unwrap();
    assert!(report.is_intact() && report.pruned == 5, "{report}");
    // Who owns the tables takes the chain away with all that tells of it: the anchors do not agree.
    let forge = "delete from shared_security.audit_chain; delete from shared_security.audit_seal;
                 delete from shared_security.audit_pruned; delete from shared_security.audit_log";
    world.owner().await.batch_execute(forge).await.unwrap();
    assert!(world.verified().await.is_intact());
    assert!(!Verify::default().anchors(roots).run(&world.db).await.unwrap().is_intact());
}

/// A chain that has not grown is told no more, and one turn of an hour is one of all instances.
#[tokio::test]
async fn one_instance_does_it_and_tells_what_is_new() {
    let (world, log) = (World::new().await, Log::default());
    world.record(1).await;
    world.seal().await;
    let _guard = log.install();
    let all: Vec<_> = (0..4).map(|_| Upkeep::start(world.db.clone(), &Config::default())).collect();
    until(async || !told(&log).is_empty()).await;
    noted(&world).await;
    for one in all {
        one.stop().await;
    }
    assert_eq!(told(&log).len(), 1);

    // Later turns, each after another tenant's chain has grown. What was sealed by the last cut that was told comes once more.
    for turn in 0..2 {
        let other = a_tenant();
        record(&world.db, &other, "theirs").await;
        world.seal().await;
        let again = "update shared_security.audit_upkeep set begun_at = '-infinity'";
        world.superuser().await.batch_execute(again).await.unwrap();
        let upkeep = Upkeep::start(world.db.clone(), &Config::default());
        until(async || told(&log).iter().any(|root| root.tenant == other.context().tenant())).await;
        noted(&world).await;
        upkeep.stop().await;
        let own = told(&log).iter().filter(|root| root.tenant == world.id()).count();
        assert_eq!(own, 2, "in turn {turn}");
    }
    assert_eq!(world.positions().await.len(), 1);
}
