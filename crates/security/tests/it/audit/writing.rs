//! Recording outside of transactions: bounded, counted, and there if it was acknowledged.

use std::env;
use std::time::Duration;

use shared_devkit::child::{self, Child, Kill, Matrix, Outcome};
use shared_security::audit::{Config, Writer};
use shared_security::{AuditEvent, Error};

use crate::audit::support::{World, a_tenant, connect, until};

/// The URL of the database in which the victim works.
const DATABASE: &str = "AUDIT_TEST_DATABASE";

const COUNT: &str = "select count(*) from shared_security.audit_log";

#[tokio::test]
async fn what_was_recorded_is_there_after_a_stop() {
    let world = World::new().await;
    let writer = Writer::start(world.db.clone(), &Config::default());
    for _ in 0..1200 {
        writer.audit().record(AuditEvent::new("session.opened").within(&world.tenant));
    }
    let flushed = writer.stop().await;
    assert_eq!((flushed.written, flushed.lost), (1200, 0));
    assert_eq!(world.positions().await.len(), 1200);
}

#[tokio::test]
async fn what_finds_no_room_is_counted() {
    let world = World::new().await;
    let superuser = world.superuser().await;
    superuser.batch_execute("begin; lock table shared_security.audit_log").await.unwrap();
    let writer = Writer::start(world.db.clone(), &Config { buffer: 4, ..Config::default() });
    let audit = writer.audit();
    for _ in 0..20 {
        audit.record(AuditEvent::new("session.opened"));
    }
    superuser.batch_execute("commit").await.unwrap();
    let flushed = writer.stop().await;
    assert_eq!(flushed.written + flushed.lost, 20);
    // The test's thread did not yield to the writer: exactly what fits the buffer was taken.
    assert_eq!((flushed.written, world.number(COUNT).await), (4, 4));
    // Behind the end nothing is taken, and that is counted as well.
    audit.record(AuditEvent::new("session.opened"));
    assert!(matches!(
        audit.durable().record(AuditEvent::new("session.opened")).await,
        Err(Error::NotRecorded("the writer has stopped"))
    ));
}

#[tokio::test]
async fn a_stop_gives_up_in_the_end_and_says_what_it_lost() {
    let world = World::new().await;
    let superuser = world.superuser().await;
    superuser.batch_execute("begin; lock table shared_security.audit_log").await.unwrap();
    let config = Config { flush_within: Duration::from_millis(50), ..Config::default() };
    let writer = Writer::start(world.db.clone(), &config);
    for _ in 0..3 {
        writer.audit().record(AuditEvent::new("session.opened"));
    }
    let flushed = writer.stop().await;
    assert_eq!((flushed.written, flushed.lost), (0, 3));
}

/// ASVS 16.5.3: it fails closed.
#[tokio::test]
async fn a_durable_recording_fails_when_the_database_does_not_answer() {
    let world = World::new().await;
    let superuser = world.superuser().await;
    let config = Config { durable_within: Duration::from_millis(50), ..Config::default() };
    let writer = Writer::start(world.db.clone(), &config);
    let durable = writer.audit().durable();
    superuser.batch_execute("begin; lock table shared_security.audit_log").await.unwrap();
    let refused = durable.record(AuditEvent::new("key.exported")).await;
    assert!(matches!(refused, Err(Error::NotRecorded(_))), "{refused:?}");
    superuser.batch_execute("commit").await.unwrap();
    until(async || world.number(COUNT).await == 1).await;
    writer.stop().await;
}

#[tokio::test]
async fn an_event_that_the_server_refuses_takes_no_other_with_it() {
    let world = World::new().await;
    let superuser = world.superuser().await;
    let sql = "alter table shared_security.audit_log add constraint no_bad check (action <> 'bad.one')";
    superuser.batch_execute(sql).await.unwrap();
    let writer = Writer::start(world.db.clone(), &Config::default());
    for action in ["good.one", "bad.one", "good.two"] {
        writer.audit().record(AuditEvent::new(action));
    }
    let flushed = writer.stop().await;
    assert_eq!((flushed.written, flushed.lost), (2, 1));
    assert_eq!(world.number(COUNT).await, 2);
}

const POINTS: [&str; 2] = ["security.audit.writing", "security.audit.written"];

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    if let Some(ledger) = child::enter().unwrap() {
        let db = connect(&env::var(DATABASE).unwrap()).await;
        let writer = Writer::start(db, &Config::default());
        let (durable, tenant) = (writer.audit().durable(), a_tenant());
        for n in 0_u64.. {
            let event = AuditEvent::new("key.exported").within(&tenant).target("key", n);
            durable.record(event).await.unwrap();
            ledger.append(n).unwrap();
        }
    }
    let at = POINTS.iter().map(|point| Kill::at(*point, 7));
    let kills = Matrix::new(at).moments(4, Duration::from_millis(50)..Duration::from_millis(300), 7);
    let report = kills.run(a_writer_is_killed).await.unwrap();
    assert!(report.total("acknowledged") > 0);
}

async fn a_writer_is_killed(kill: Kill) -> Outcome {
    let world = World::new().await;
    let victim = Child::test_function("audit::writing::what_was_acknowledged_survives_kill_9");
    let mut victim = victim.env(DATABASE, world.database.url()).kill(kill).start().unwrap();
    victim.killed().await.unwrap();
    let acknowledged = victim.ledger().unwrap();
    let sql = "select target_id from shared_security.audit_log";
    let rows = world.superuser().await.query(sql, &[]).await.unwrap();
    let there: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let lost = acknowledged.iter().filter(|n| !there.contains(n)).count();
    Outcome::new().count("acknowledged", acknowledged.len()).wrong("lost", lost)
}
