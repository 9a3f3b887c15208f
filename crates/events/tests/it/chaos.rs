//! A short run of what `cargo xtask chaos events` does at length; and the proof that its checks find what they look for.

use std::collections::BTreeSet;
use std::env;
use std::path::Path;

use shared_devkit::child::Child;

use self::parts::check::Verdict;
use self::parts::history::History;
use self::parts::plan::{Plan, Way, Wrong};
use self::parts::process::Role;
use self::parts::report::Report;
use self::parts::skew::Clocks;

mod checks;

#[path = "../../examples/chaos"]
#[allow(dead_code, reason = "the rest is the command's")]
mod parts {
    pub(crate) mod check;
    pub(crate) mod faults;
    pub(crate) mod history;
    pub(crate) mod ledger;
    pub(crate) mod plan;
    pub(crate) mod process;
    pub(crate) mod publisher;
    pub(crate) mod report;
    pub(crate) mod run;
    pub(crate) mod servers;
    #[path = "../../../queues/examples/chaos/skew.rs"]
    pub(crate) mod skew;
    pub(crate) mod watch;
    pub(crate) mod worker;
}

/// What a process needs to know.
const SPEC: &str = "EVENTS_CHAOS";

/// The test starts itself again as its processes.
async fn run(test: &str, plan: Plan) -> (History, Verdict) {
    if let Ok(spec) = env::var(SPEC) {
        match parts::process::run(&spec).await {}
    }
    let plan = Plan { skewed: cfg!(target_os = "linux"), ..plan };
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let clocks = plan.skewed.then(|| Clocks::make(&directory));
    let launch = |number, spec: &str| {
        let program = Child::test_function(format!("chaos::{test}")).env(SPEC, spec);
        clocks.iter().fold(program, |program, clocks| clocks.skew(number, program))
    };
    let (history, verdict) = parts::run::run(&plan, launch).await;
    if plan.skewed {
        assert_eq!(history.clocks, clocks_of(&plan), "each role has been right, ahead and behind");
    }
    (history, verdict)
}

/// Of each role that there is, a process that is right, one that is an hour ahead, and one that is an hour behind.
fn clocks_of(plan: &Plan) -> BTreeSet<(Role, i64)> {
    let counts =
        [(Role::Publisher, plan.publishers), (Role::Relay, plan.relays), (Role::Consumer, plan.consumers)];
    let there = counts.into_iter().filter(|(_, count)| *count > 0);
    there.flat_map(|(role, _)| [0, 60, -60].map(|off| (role, off))).collect()
}

fn assert_kept((history, verdict): (History, Verdict)) {
    let kept = verdict.is_clear() && history.left + history.parked == 0;
    assert!(kept, "\n{}", Report(&history, &verdict));
    // Each kind of fault has come.
    let incidents = &history.incidents;
    let all = incidents.relay_kills.len() >= 2
        && incidents.publisher_kills > 0
        && incidents.cuts >= 2
        && !incidents.stops.is_empty()
        && !incidents.outages.is_empty();
    assert!(all, "a fault is missing:\n{}", Report(&history, &verdict));
    let taken = history.take_overs.clear.len() + history.take_overs.hindered.len();
    assert!(taken > 0, "no kill has met a lane, which tests nothing:\n{}", Report(&history, &verdict));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promises_are_kept_from_the_log() {
    assert_kept(run("promises_are_kept_from_the_log", Plan::short(Way::Log, 1)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promises_are_kept_through_a_redis_that_forgets() {
    let (history, verdict) =
        run("promises_are_kept_through_a_redis_that_forgets", Plan::short(Way::Redis, 1)).await;
    assert!(!history.incidents.broker_outages.is_empty(), "nothing was forgotten, which tests nothing");
    assert!(history.incidents.redeliveries > 0, "nothing came again, which tests nothing");
    assert_kept((history, verdict));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promises_are_kept_through_nats() {
    assert_kept(run("promises_are_kept_through_nats", Plan::short(Way::Nats, 1)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_that_write_outside_of_their_transaction_are_found() {
    let plan = Plan { events: 400, wrong: Some(Wrong::Outside), ..Plan::short(Way::Log, 2) };
    let (history, verdict) = run("consumers_that_write_outside_of_their_transaction_are_found", plan).await;
    assert!(!verdict.twice.is_empty(), "{}", Report(&history, &verdict));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_that_do_not_wait_for_their_commit_are_found() {
    let plan = Plan { events: 400, wrong: Some(Wrong::Early), ..Plan::short(Way::Log, 3) };
    let plan = Plan { patience: std::time::Duration::from_secs(1), ..plan };
    let (history, verdict) = run("publishers_that_do_not_wait_for_their_commit_are_found", plan).await;
    let found = !verdict.lost.is_empty() || !verdict.phantoms.is_empty() || !verdict.twice.is_empty();
    assert!(found, "{}", Report(&history, &verdict));
}
