//! A process that publishes until it is killed: transactions of every kind that is hard for a reader of the log.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use shared_core::AssumedTenant;
use shared_db::{Db, TenantTx};
use shared_devkit::child::Ledger;
use shared_events::{Error, Publish as _};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::ledger::{Fact, GUESS, RAISE, Raised, WRITE_SOMETHING, now};
use super::plan::{part, scattered};
use super::process::Spec;

/// How long a transaction may stay open: some ticks.
const OPEN: Duration = Duration::from_millis(150);

/// Publishes until the process is killed.
pub(crate) async fn run(db: Db, spec: Spec, ledger: Arc<Ledger>) -> Infallible {
    let mut tasks = JoinSet::new();
    for task in 0..spec.concurrency {
        let (db, spec, ledger) = (db.clone(), spec.clone(), ledger.clone());
        // Each life publishes something else.
        let seed = scattered(now() as u64 ^ task);
        tasks.spawn(async move {
            for nth in 0u64.. {
                let random = scattered(seed ^ scattered(nth));
                // A transaction that fails has published nothing, or more than it knows of: nobody was told.
                let told = transaction(&db, &spec, random).await.unwrap_or_default();
                if !told.raised.is_empty() {
                    ledger.append(serde_json::to_string(&told.fact()).unwrap()).unwrap();
                }
                sleep(spec.pace.mul_f64(part(random))).await; // time itself is planned: the load's pace
            }
        });
    }
    tasks.join_all().await;
    std::future::pending().await
}

#[derive(Default)]
struct Told {
    tenant: String,
    raised: Vec<(String, i64)>,
}

impl Told {
    fn fact(self) -> Fact {
        Fact::Told { tenant: self.tenant, raised: self.raised }
    }
}

async fn transaction(db: &Db, spec: &Spec, random: u64) -> Result<Told, Error> {
    let tenant = spec.tenants[random as usize % spec.tenants.len()];
    let proof = AssumedTenant::new(tenant, "chaos has no token");
    let keys = keys(spec, random);
    if spec.early {
        publish_early(db, &proof, &keys[0]).await?;
    }
    let mut tx = db.tenant(&proof).begin().await?;
    let open = OPEN.mul_f64(part(scattered(random)));
    let kind = (random >> 8) % 10;
    if kind == 0 {
        // Its id is older than that of others who publish before it.
        tx.execute(&WRITE_SOMETHING, ()).await?;
        sleep(open).await; // time itself is planned: others commit meanwhile
    }
    if kind == 1 {
        let undone: Result<(), Error> = tx
            .savepoint(async |tx: &mut TenantTx| {
                raise(tx, &keys[0], spec.early).await?;
                Err(Error::Config("undone, as planned".to_owned()))
            })
            .await;
        drop(undone);
    }
    let mut raised = Vec::new();
    for key in keys {
        let n = raise(&mut tx, &key, spec.early).await?;
        raised.push((key, n));
    }
    if kind == 2 {
        sleep(open).await; // time itself is planned: it stays open over some ticks
    }
    if kind == 3 {
        tx.rollback().await;
        return Ok(Told::default());
    }
    tx.commit().await?;
    Ok(Told { tenant: tenant.to_string(), raised })
}

/// One to three keys of a tenant, in the order in which everybody locks them.
fn keys(spec: &Spec, random: u64) -> Vec<String> {
    let count = 1 + (random >> 16) % 3;
    let mut numbers: Vec<u64> = (0..count).map(|nth| scattered(random ^ nth) % spec.keys).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.into_iter().map(|number| format!("k{number}")).collect()
}

async fn raise(tx: &mut TenantTx, key: &str, is_published: bool) -> Result<i64, Error> {
    let n = tx.one(&RAISE, (key,)).await?;
    if !is_published {
        tx.publish(Raised { key: key.to_owned(), n }).await?;
    }
    Ok(n)
}

/// As it is done without an outbox.
async fn publish_early(db: &Db, proof: &AssumedTenant, key: &str) -> Result<(), Error> {
    let mut tx = db.tenant(proof).begin().await?;
    let n = tx.one(&GUESS, (key,)).await?;
    tx.publish(Raised { key: key.to_owned(), n }).await?;
    Ok(tx.commit().await?)
}
