//! All that is known after a run, whoever has written it down.

use std::collections::BTreeSet;

use shared_core::TenantId;
use shared_db::redis::{Redis, cmd};
use shared_db::{Db, statements};
use shared_devkit::child::Child;
use shared_events::Lane;

use super::faults::{Incidents, Processes};
use super::ledger::Fact;
use super::process::Role;
use super::watch::TakeOvers;

statements! {
    const ALL_RAISED: Statement<(), (TenantId, String, i64)> = "select tenant_id, key, n from chaos.raised";
    const ALL_EFFECTS: Statement<(), (TenantId, String, i64, String)> = "
        select tenant_id, key, n, consumer from chaos.effect order by seq";
}

/// A counter's value: the tenant, the key, the number.
pub(crate) type Value = (String, String, i64);

#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// What was committed, in no order.
    pub raised: Vec<Value>,
    /// What publishers were told to be committed.
    pub told: Vec<Value>,
    /// Who has seen what, in the order of their writing.
    pub effects: Vec<(String, Value)>,
    /// What the broker's lanes hold in the end, each in its order; empty where there is no broker that can be read.
    pub lanes: Vec<Vec<Value>>,
    pub incidents: Incidents,
    pub take_overs: TakeOvers,
    /// Effects that were still missing when all patience had ended, and what was parked then.
    pub left: u64,
    pub parked: u64,
    /// By how many minutes the clocks of each role's processes were off.
    pub clocks: BTreeSet<(Role, i64)>,
}

impl History {
    pub(crate) async fn gather(db: &Db, redis: Option<&str>, processes: &Processes) -> Self {
        let mut history = Self::default();
        let Processes { publishers, relays, consumers } = processes;
        for process in publishers.iter().chain(relays).chain(consumers) {
            history.read(process);
        }
        let everybody = || db.across_tenants("all that was published is compared with all its effects");
        let raised = everybody().all(&ALL_RAISED, ()).await.unwrap();
        history.raised = raised.into_iter().map(|(tenant, key, n)| (tenant.to_string(), key, n)).collect();
        let effects = everybody().all(&ALL_EFFECTS, ()).await.unwrap();
        let value = |(tenant, key, n, consumer): (TenantId, String, i64, String)| {
            (consumer, (tenant.to_string(), key, n))
        };
        history.effects = effects.into_iter().map(value).collect();
        if let Some(url) = redis {
            history.lanes = lanes(url).await;
        }
        history
    }

    /// The file of a process, with all its lives.
    fn read(&mut self, process: &Child) {
        for line in process.ledger().unwrap() {
            match serde_json::from_str(&line).unwrap() {
                Fact::Started { role, clock_off_by } => {
                    self.clocks.insert((role, clock_off_by));
                }
                Fact::Told { tenant, raised } => {
                    self.told.extend(raised.into_iter().map(|(key, n)| (tenant.clone(), key, n)));
                }
            }
        }
    }
}

/// What the streams hold.
async fn lanes(url: &str) -> Vec<Vec<Value>> {
    let redis = Redis::connect(&shared_db::redis::Config::new(url)).await.unwrap();
    let mut lanes = Vec::new();
    for lane in Lane::all() {
        let range = cmd("XRANGE").arg(format!("{{events:{lane}}}")).arg("-").arg("+").to_owned();
        let entries: Vec<(String, Vec<(String, String)>)> = redis.command(&range).await.unwrap();
        lanes.push(entries.into_iter().map(|(_, fields)| value(&fields)).collect());
    }
    lanes
}

/// Of an entry's fields, by their CloudEvents names.
fn value(fields: &[(String, String)]) -> Value {
    let field = |ends: &str| {
        let found = fields.iter().find(|(name, _)| name.ends_with(ends));
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let data: serde_json::Value = serde_json::from_str(&field("data")).unwrap_or_default();
    let key = data["key"].as_str().unwrap_or_default().to_owned();
    (field("tenantid"), key, data["n"].as_i64().unwrap_or_default())
}
