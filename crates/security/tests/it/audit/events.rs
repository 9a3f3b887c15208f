//! What an entry says, with which transaction it comes, and what it never shows.

use std::time::Duration;

use shared_core::{Actor, AssumedTenant, Context, Secret};
use shared_db::{Db, TenantTx, statements};
use shared_devkit::Proxy;
use shared_security::audit::{Config, Export, NO_TENANT, Writer};
use shared_security::prelude::*;
use shared_security::{AuditEvent, Error};

use crate::audit::support::{World, a_tenant};
use crate::log::Log;

statements! {
    const ACROSS: Statement<(), i32> = "select 1";
}

async fn exported(world: &World) -> Vec<serde_json::Value> {
    let mut out = Vec::new();
    Export::default().run(&world.db, &mut out).await.unwrap();
    String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// ASVS 16.2.1.
#[tokio::test]
async fn an_entry_says_who_what_which_when_why_and_from_where() {
    let world = World::new().await;
    let context = Context::new(world.id(), Actor::new("user:7"))
        .with_correlation("req-1".parse().unwrap())
        .with_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().ok());
    let proof = AssumedTenant::continuing(context, "a test");
    let work = async |tx: &mut TenantTx| -> Result<(), Error> {
        let event = AuditEvent::new("role.granted")
            .on_behalf_of(&Actor::new("user:8"))
            .target("user", "user:9")
            .because("joined \"finance\"")
            .from_address("::ffff:192.0.2.7".parse().unwrap())
            .user_agent("curl/8")
            .detail("role", "accountant")
            .detail("times", 3);
        tx.audit(event)
    };
    world.db.tenant(&proof).tx(work).await.unwrap();
    let mut entry = exported(&world).await.remove(0);
    for name in ["pos", "id", "at", "waited_ms", "hash"] {
        assert!(!entry[name].take().is_null(), "{name}");
    }
    let expected = serde_json::json!({
        "pos": null, "id": null, "at": null, "waited_ms": null, "hash": null,
        "tenant": world.id(), "action": "role.granted", "outcome": "allowed",
        "actor": "user:7", "on_behalf_of": "user:8", "target_kind": "user", "target_id": "user:9",
        "reason": "joined \"finance\"", "address": "192.0.2.7", "user_agent": "curl/8", "correlation": "req-1",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "details": { "role": "accountant", "times": 3 },
    });
    assert_eq!(entry, expected);
}

#[tokio::test]
async fn an_entry_commits_with_its_transaction_or_not_at_all() {
    let world = World::new().await;
    let event = |id: &str| AuditEvent::new("note.written").target("note", id);
    let rolled_back = async |tx: &mut TenantTx| -> Result<(), Error> {
        tx.audit(event("never"))?;
        Err(Error::NotRecorded("the work fails"))
    };
    assert!(world.db.tenant(&world.tenant).tx(rolled_back).await.is_err());
    let half = async |tx: &mut TenantTx| -> Result<(), Error> {
        tx.audit(event("first"))?;
        let inner = async |tx: &mut TenantTx| -> Result<(), Error> {
            tx.audit(event("undone"))?;
            Err(Error::NotRecorded("the work fails"))
        };
        let _ = tx.savepoint(inner).await;
        tx.audit(event("second"))
    };
    world.db.tenant(&world.tenant).tx(half).await.unwrap();
    let targets: Vec<_> = exported(&world).await.iter().map(|entry| entry["target_id"].clone()).collect();
    assert_eq!(targets, ["first", "second"]);
}

/// How long an answer is on its way: what the client sends meanwhile was not waiting for it.
const DELAY: Duration = Duration::from_millis(40);

#[tokio::test]
async fn an_event_takes_no_round_trip_of_its_own() {
    let world = World::new().await;
    let proxy = Proxy::to(world.database.url()).await.unwrap();
    proxy.to_client().delay(DELAY);
    let mut config = shared_db::Config::new(proxy.url(world.database.url()));
    config.pool_size = 1;
    let db = Db::connect(&config).await.unwrap();
    let transaction = async |events: usize| {
        let work = async |tx: &mut TenantTx| -> Result<(), Error> {
            tx.one(&ACROSS, ()).await?;
            (0..events).try_for_each(|_| tx.audit(AuditEvent::new("note.written")))
        };
        db.tenant(&world.tenant).tx(work).await.unwrap();
    };
    transaction(1).await; // prepares the statements
    let without = proxy.round_trips(transaction(0)).await;
    assert_eq!(proxy.round_trips(transaction(20)).await, without);
    assert_eq!(world.positions().await.len(), 21);
}

/// It is the transaction's tenant's, whatever the event says.
#[tokio::test]
async fn a_transaction_writes_into_its_own_tenant_s_log() {
    let world = World::new().await;
    let work = async |tx: &mut TenantTx| -> Result<(), Error> {
        tx.audit(AuditEvent::new("note.written").within(&a_tenant()))
    };
    world.db.tenant(&world.tenant).tx(work).await.unwrap();
    assert_eq!(world.positions().await.len(), 1);
}

#[tokio::test]
async fn a_transaction_has_room_for_a_thousand_events() {
    let world = World::new().await;
    let mut tx = world.db.tenant(&world.tenant).begin().await.unwrap();
    for _ in 0..1000 {
        tx.audit(AuditEvent::new("note.written")).unwrap();
    }
    assert!(matches!(
        tx.audit(AuditEvent::new("note.written")),
        Err(Error::TooManyEvents { most: 1000, .. })
    ));
    tx.commit().await.unwrap();
    assert_eq!(world.positions().await.len(), 1000);
}

/// ASVS 16.2.5, 16.4.1. Neither in the tables nor in the log, also of an event that was lost.
#[tokio::test]
async fn secrets_do_not_appear_and_lines_can_t_be_forged() {
    let log = Log::default();
    let _logging = log.install();
    let world = World::new().await;
    let writer = Writer::start(world.db.clone(), &Config::default());
    let audit = writer.audit();
    let secret = Secret::new("hush-hush, a secret");
    let event =
        || AuditEvent::new("key.exported").detail("with", &secret).because("line\r\n2026 admin logged in");
    audit.record(event());
    writer.stop().await;
    audit.record(event());
    let entries = exported(&world).await;
    assert_eq!(entries[0]["details"]["with"], "***");
    assert_eq!(entries[0]["reason"], "line\u{fffd}\u{fffd}2026 admin logged in");
    let everything = format!("{entries:?}{}", log.text());
    assert!(everything.contains("an audit event was lost"), "{everything}");
    assert!(!everything.contains("hush-hush") && !log.text().contains("2026 admin"), "{everything}");
}

/// ASVS 16.3.3. Every use of the door across tenants.
#[tokio::test]
async fn crossings_are_recorded() {
    let world = World::new().await;
    let writer = Writer::start(world.db.clone(), &Config::default());
    world.db.on_crossing(writer.audit().crossings()).unwrap();
    for _ in 0..2 {
        world.db.across_tenants("the yearly report").one(&ACROSS, ()).await.unwrap();
    }
    writer.stop().await;
    let entries = exported(&world).await;
    let crossings: Vec<_> =
        entries.iter().filter(|entry| entry["details"]["door"] == "across_tenants").collect();
    assert_eq!(crossings.len(), 2, "{entries:?}");
    assert_eq!(crossings[0]["action"], "tenancy.crossed");
    assert_eq!(crossings[0]["reason"], "the yearly report");
    assert_eq!(crossings[0]["target_id"], "ACROSS");
    assert!(crossings[0]["tenant"].is_null());
    assert!(crossings[0]["details"]["location"].as_str().unwrap().contains("events.rs"));
    let mut out = Vec::new();
    let written = Export::default().tenant(NO_TENANT).run(&world.db, &mut out).await.unwrap();
    assert_eq!(written, entries.len() as u64);
}
