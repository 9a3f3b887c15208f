//! A run: servers, workers, jobs, faults, and what is found afterwards.

use std::time::{Duration, Instant};

use shared_devkit::child::{Child, Kill, Program};
use shared_queues::Queues;
use tokio_util::sync::CancellationToken;

use super::check::Verdict;
use super::faults::rage;
use super::history::History;
use super::ledger::now;
use super::plan::{Plan, Wrong};
use super::producer::{produce, tenants, unfinished};
use super::servers::{Servers, set_limits};

/// Here the effect is there, and the queue does not know of it.
const BETWEEN: &str = "queues.worker.handled";

/// Does what is planned. `launch` makes the program of a worker out of its number and of what it needs to know.
pub(crate) async fn run(plan: &Plan, launch: impl Fn(usize, &str) -> Program) -> (History, Verdict) {
    let mut servers = Servers::start(plan.place).await;
    let (db, queues) = servers.queues().await;
    let limited_since = now();
    set_limits(&queues).await.unwrap();
    let spec = servers.spec(plan);
    let unfenced = plan.wrong == Some(Wrong::Unfenced);
    let start = |number| {
        let program = launch(number, &spec);
        let program = if unfenced && number == 0 { program.kill(Kill::at(BETWEEN, 1)) } else { program };
        program.start().unwrap()
    };
    let mut workers: Vec<Child> = (0..plan.workers).map(start).collect();

    let (calm, tenants) = (CancellationToken::new(), tenants(plan));
    let produced = async {
        let promises = produce(plan, &queues, &tenants).await;
        calm.cancel();
        promises
    };
    let faults = async {
        if unfenced {
            assert!(workers[0].killed().await.unwrap());
            workers[0].restart().await.unwrap();
        }
        rage(plan, &calm, &mut workers, &mut servers).await
    };
    let (promises, incidents) = tokio::join!(produced, faults);
    let left = settle(plan, &queues).await;
    for worker in &mut workers {
        worker.kill().await.unwrap();
    }
    let history = History::gather(&db, &queues, &workers, promises).await;
    let history = History { incidents, limited_since, left, ..history };
    let verdict = Verdict::of(plan, &history);
    (history, verdict)
}

/// Waits until nothing is left to do, and returns what is left after all patience.
async fn settle(plan: &Plan, queues: &Queues) -> u64 {
    let end = Instant::now() + plan.patience;
    loop {
        let left = unfinished(plan, queues).await;
        match left {
            Ok(0) => return 0,
            _ if Instant::now() > end => return left.unwrap_or(u64::MAX),
            _ => tokio::time::sleep(Duration::from_millis(20)).await, // a condition is polled
        }
    }
}
