//! A short run of what `cargo xtask chaos queues` does at length; and the proof that its checks find what they look for.

use std::env;
use std::path::Path;

use shared_devkit::child::Child;

use self::parts::check::Verdict;
use self::parts::history::History;
use self::parts::plan::{Aof, Place, Plan, Wrong};
use self::parts::report::Report;
use self::parts::skew::Clocks;

mod checks;

#[path = "../../examples/chaos"]
#[allow(dead_code, reason = "the rest is the command's")]
mod parts {
    pub(crate) mod appended;
    pub(crate) mod check;
    pub(crate) mod faults;
    pub(crate) mod history;
    pub(crate) mod ledger;
    pub(crate) mod plan;
    pub(crate) mod producer;
    pub(crate) mod report;
    pub(crate) mod restarts;
    pub(crate) mod run;
    pub(crate) mod servers;
    pub(crate) mod skew;
    pub(crate) mod worker;
}

/// What a worker process needs to know.
const SPEC: &str = "QUEUES_CHAOS";

/// The test starts itself again as its workers.
async fn run(test: &str, plan: Plan) -> (History, Verdict) {
    if let Ok(spec) = env::var(SPEC) {
        match parts::worker::run(&spec).await {}
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
        let right = history.clocks.iter().all(|off| [0, 3600, -3600].contains(off));
        assert!(right && history.clocks.contains(&3600), "the clocks were not off: {:?}", history.clocks);
    }
    (history, verdict)
}

fn assert_kept((history, verdict): (History, Verdict)) {
    assert!(verdict.is_clear() && history.left == 0, "\n{}", Report(&history, &verdict));
    let again = verdict.restarts.clear.len() + verdict.restarts.hindered.len();
    assert!(again > 0, "no kill has met a job, which tests nothing:\n{}", Report(&history, &verdict));
    // Each kind of fault has come: workers that stood still for too long, connections that were cut, also half-way, and outages.
    let incidents = &history.incidents;
    let all = !incidents.stops.is_empty() && incidents.cuts >= 2 && !incidents.outages.is_empty();
    assert!(all, "a fault is missing:\n{}", Report(&history, &verdict));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promises_are_kept_on_postgres() {
    assert_kept(run("promises_are_kept_on_postgres", Plan::short(Place::Postgres, 1)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promises_are_kept_on_redis() {
    assert_kept(run("promises_are_kept_on_redis", Plan::short(Place::Redis(Aof::Always), 1)).await);
}

/// Jobs that nobody has written to a disk are gone; of the others none, and nothing is done twice though the queue has forgotten that
/// it was done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_forgets_two_seconds_loses_no_more_than_that() {
    let plan = Plan { jobs: 1000, ..Plan::short(Place::Redis(Aof::Torn), 1) };
    let (history, verdict) = run("a_redis_that_forgets_two_seconds_loses_no_more_than_that", plan).await;
    assert!(verdict.is_clear() && history.left == 0, "\n{}", Report(&history, &verdict));
    assert!(!history.incidents.outages.is_empty(), "nothing was torn, which tests nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_that_write_outside_of_the_fence_are_found() {
    let plan = Plan { jobs: 100, wrong: Some(Wrong::Unfenced), ..Plan::short(Place::Postgres, 2) };
    let (history, verdict) = run("handlers_that_write_outside_of_the_fence_are_found", plan).await;
    assert!(!verdict.twice.is_empty(), "{}", Report(&history, &verdict));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_without_their_lanes_are_found() {
    let plan = Plan { jobs: 200, wrong: Some(Wrong::Unlaned), ..Plan::short(Place::Postgres, 3) };
    let (history, verdict) = run("jobs_without_their_lanes_are_found", plan).await;
    assert!(!verdict.unordered.is_empty(), "{}", Report(&history, &verdict));
}
