//! Everything at once, against a model: writers with savepoints and roll-backs, recordings, sealers that compete and are killed, and
//! verifications meanwhile.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use shared_core::{AssumedTenant, InTenant, TenantId};
use shared_db::{Db, TenantTx};
use shared_security::audit::{Audit, Config, Export, Sealer, Writer};
use shared_security::prelude::*;
use shared_security::{AuditEvent, Error};

use crate::audit::support::{World, a_tenant, connect, quick};

const WRITERS: u64 = 6;
const TRANSACTIONS: usize = 60;

/// What must be in the log: for each tenant the targets, however often.
type Model = Mutex<BTreeMap<TenantId, Vec<String>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_is_there_once_and_sealed_once() {
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let world = World::new().await;
    let tenants = [a_tenant(), a_tenant(), a_tenant()];
    let model = Model::default();
    let writer = Writer::start(world.db.clone(), &Config::default());
    let others = [connect(world.database.url()).await, connect(world.database.url()).await];
    let write = async {
        let one = |n| write(&world.db, writer.audit(), &tenants, &model, StdRng::seed_from_u64(seed ^ n));
        futures_util::future::join_all((1..=WRITERS).map(one)).await;
    };
    tokio::select! {
        () = write => {}
        () = kill_again_and_again(&others[0], StdRng::seed_from_u64(seed ^ 100)) => {}
        () = kill_again_and_again(&others[1], StdRng::seed_from_u64(seed ^ 200)) => {}
        () = verify_again_and_again(&world) => {}
    }
    assert_eq!(writer.stop().await.lost, 0);
    world.seal().await;
    let report = world.verified().await;
    assert!(report.is_intact(), "seed {seed}\n{report}");
    let model = model.into_inner().unwrap();
    assert_eq!(report.entries as usize, model.values().map(Vec::len).sum::<usize>(), "seed {seed}");
    for (tenant, mut expected) in model {
        let mut found = targets(&world.db, tenant).await;
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "seed {seed}");
    }
}

async fn targets(db: &Db, tenant: TenantId) -> Vec<String> {
    let mut out = Vec::new();
    Export::default().tenant(tenant).run(db, &mut out).await.unwrap();
    let target = |line: &str| {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        entry["target_id"].as_str().unwrap().to_owned()
    };
    String::from_utf8(out).unwrap().lines().map(target).collect()
}

async fn kill_again_and_again(db: &Db, mut random: StdRng) {
    loop {
        let config = Config { lease: Duration::from_millis(300), ..quick() };
        let sealer = Sealer::start(db.clone(), &config).await.unwrap();
        tokio::time::sleep(Duration::from_millis(random.random_range(0..500))).await; // time itself is tested: a kill at any moment
        drop(sealer);
    }
}

/// A log that is being written is intact at every moment.
async fn verify_again_and_again(world: &World) {
    loop {
        let report = world.verified().await;
        assert!(report.is_intact(), "{report}");
    }
}

async fn write(db: &Db, audit: Audit, tenants: &[AssumedTenant; 3], model: &Model, mut random: StdRng) {
    for n in 0..TRANSACTIONS {
        let tenant = &tenants[random.random_range(0..3)];
        let name = |what: &str| format!("{what} {n}");
        let mut expected = Vec::new();
        if random.random_bool(0.3) {
            audit.record(AuditEvent::new("note.read").within(tenant).target("note", name("read")));
            expected.push(name("read"));
        }
        let rolled_back = random.random_bool(0.2);
        let mut written = Vec::new();
        let work = async |tx: &mut TenantTx| transaction(tx, &mut random, rolled_back, n, &mut written).await;
        assert_eq!(db.tenant(tenant).tx(work).await.is_err(), rolled_back);
        if !rolled_back {
            expected.append(&mut written);
        }
        model.lock().unwrap().entry(tenant.context().tenant()).or_default().append(&mut expected);
    }
}

async fn transaction(
    tx: &mut TenantTx,
    random: &mut StdRng,
    rolled_back: bool,
    n: usize,
    written: &mut Vec<String>,
) -> Result<(), Error> {
    for part in 0..random.random_range(1..4) {
        let (target, undone) = (format!("{n}.{part}"), random.random_bool(0.3));
        let event = AuditEvent::new("note.written").target("note", &target);
        let inner = async |tx: &mut TenantTx| {
            tx.audit(event)?;
            if undone { Err(Error::NotRecorded("undo it")) } else { Ok(()) }
        };
        let _ = tx.savepoint(inner).await;
        if !undone {
            written.push(target);
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..8))).await; // time itself is tested: long and short writers
    }
    if rolled_back { Err(Error::NotRecorded("roll it back")) } else { Ok(()) }
}
