//! A process of a run: it does its part until it is killed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::TenantId;
use shared_db::{Db, statements};
use shared_devkit::child;

use super::ledger::{Fact, now};
use super::{publisher, worker};

/// What it is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Role {
    Publisher,
    /// Reads the log.
    Relay,
    /// Reads a broker.
    Consumer,
}

/// What it needs to know, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub role: Role,
    pub database: String,
    pub redis: Option<String>,
    pub nats: Option<String>,
    pub tenants: Vec<TenantId>,
    pub keys: u64,
    pub concurrency: u64,
    pub pace: Duration,
    pub lease: Duration,
    pub poll: Duration,
    /// Whether effects are written outside of the consumer's transaction.
    pub outside: bool,
    /// Whether events are published before what they tell of.
    pub early: bool,
}

statements! {
    const CLOCK: Statement<(), i64> = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
}

/// Does its part until the process is killed.
pub(crate) async fn run(spec: &str) -> Infallible {
    let ledger = Arc::new(child::enter().unwrap().unwrap());
    let spec: Spec = serde_json::from_str(spec).unwrap();
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr);
    // Where the tests' binary is the program, one is there already.
    drop(log.try_init());
    let db = loop {
        match connect(&spec).await {
            Ok((db, clock)) => {
                let clock_off_by = (now() - clock + 30_000_000).div_euclid(60_000_000);
                let started = Fact::Started { role: spec.role, clock_off_by };
                ledger.append(serde_json::to_string(&started).unwrap()).unwrap();
                break db;
            }
            Err(error) => tracing::warn!(%error, "the server is away"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await; // a condition is polled
    };
    match spec.role {
        Role::Publisher => publisher::run(db, spec, ledger).await,
        Role::Relay | Role::Consumer => worker::run(db, spec).await,
    }
}

async fn connect(spec: &Spec) -> Result<(Db, i64), shared_db::Error> {
    let db = Db::connect(&shared_db::Config::new(&*spec.database)).await?;
    let clock = db.system().one(&CLOCK, ()).await?;
    Ok((db, clock))
}
