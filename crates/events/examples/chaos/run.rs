//! A run: servers, processes, events, faults, and what is found afterwards.

use std::time::{Duration, Instant};

use shared_core::{AssumedTenant, TenantId};
use shared_db::Db;
use shared_devkit::child::{Child, Program};
use shared_events::backlog;
use tokio_util::sync::CancellationToken;

use super::check::Verdict;
use super::faults::{Processes, rage};
use super::history::History;
use super::ledger::HEAL;
use super::plan::Plan;
use super::process::Role;
use super::servers::{Servers, Superuser};
use super::watch::{TakeOvers, watch};

/// Does what is planned. `launch` makes a process's program out of its number and of what it needs to know.
pub(crate) async fn run(plan: &Plan, launch: impl Fn(usize, &str) -> Program) -> (History, Verdict) {
    let mut servers = Servers::start(plan.way).await;
    let tenants: Vec<TenantId> = (0..plan.tenants).map(|_| TenantId::new()).collect();
    let start = |role, count, first: usize| -> Vec<Child> {
        let spec = servers.spec(plan, role, &tenants);
        (first..first + count).map(|number| launch(number, &spec).start().unwrap()).collect()
    };
    let mut processes = Processes {
        publishers: start(Role::Publisher, plan.publishers, 0),
        relays: start(Role::Relay, plan.relays, 0),
        consumers: start(Role::Consumer, plan.consumers, 0),
    };
    let (db, url) = (servers.db().await, servers.database_url());

    let (calm, over) = (CancellationToken::new(), CancellationToken::new());
    let published = async {
        until_published(plan, &url).await;
        calm.cancel();
    };
    let rest = async {
        let ((), incidents) = tokio::join!(published, rage(plan, &calm, &mut processes, &mut servers));
        for publisher in &mut processes.publishers {
            publisher.kill().await.unwrap();
        }
        let (left, parked) = settle(plan, &db, &url, &tenants).await;
        over.cancel();
        (incidents, left, parked)
    };
    let (grants, (incidents, left, parked)) = tokio::join!(watch(&url, &over), rest);
    for process in processes.relays.iter_mut().chain(&mut processes.consumers) {
        process.kill().await.unwrap();
    }
    let redis = servers.redis.as_ref().map(shared_devkit::Redis::url);
    let history = History::gather(&db, redis, &processes).await;
    let take_overs = TakeOvers::of(&grants, &incidents);
    let history = History { incidents, take_overs, left, parked, ..history };
    let verdict = Verdict::of(&history);
    (history, verdict)
}

const PUBLISHED: &str = "select count(*) from chaos.raised";
/// Effects that are still to come.
const MISSING: &str = "
    select (select count(*) from chaos.raised) * 2
         - (select count(*) from (select distinct tenant_id, consumer, key, n from chaos.effect) as seen)";
const PARKED: &str = "select count(*) from shared_events.parked where state <> 'sent'";
/// What has failed for good comes again.
const REDRIVE: &str = "
    update shared_events.parked set state = 'retrying', next_at = clock_timestamp(), attempts = 0 where state = 'dead'";

async fn count(url: &str, what: &str) -> Option<i64> {
    let row = Superuser::open(url).await?.query_one(what, &[]).await.ok()?;
    Some(row.get(0))
}

/// Waits until as much is published as was planned.
async fn until_published(plan: &Plan, url: &str) {
    while count(url, PUBLISHED).await.is_none_or(|events| events.unsigned_abs() < plan.events) {
        tokio::time::sleep(Duration::from_millis(200)).await; // a condition is polled
    }
}

/// Heals what is hopeless, and waits until nothing is left to do. Returns which effects are missing, and what is parked, after all patience.
async fn settle(plan: &Plan, db: &Db, url: &str, tenants: &[TenantId]) -> (u64, u64) {
    let end = Instant::now() + plan.patience;
    for tenant in tenants {
        let proof = AssumedTenant::new(*tenant, "chaos has no token");
        while db.tenant(&proof).execute(&HEAL, ()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await; // a condition is polled
        }
    }
    loop {
        if let Some(superuser) = Superuser::open(url).await {
            superuser.batch_execute(REDRIVE).await.unwrap();
        }
        let is_passed = backlog(db).await.is_ok_and(|backlog| backlog.waiting == 0);
        if is_passed && count(url, PARKED).await == Some(0) && count(url, MISSING).await == Some(0) {
            // What would come a second time, from somebody who was stopped or cut off, comes within a lease.
            tokio::time::sleep(plan.lease).await; // time itself is tested
            return (0, 0);
        }
        if Instant::now() > end {
            let left = |count: Option<i64>| count.map_or(u64::MAX, i64::unsigned_abs);
            return (left(count(url, MISSING).await), left(count(url, PARKED).await));
        }
        tokio::time::sleep(Duration::from_millis(200)).await; // a condition is polled
    }
}
