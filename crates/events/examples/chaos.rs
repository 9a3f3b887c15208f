//! Events of several tenants; processes that publish, relay and consume, which are killed, stopped and cut off; a database and a broker
//! that are killed; clocks that are wrong; and then a look at what everybody has written down in their transactions, for what was lost,
//! had its effect twice or out of turn, or was never committed. Anything of that is a failure.
//! ```text
//! cargo xtask chaos events                          100,000 events at the defaults, for each of the ways to a consumer
//! cargo xtask chaos events --sink redis --seed 7    through Redis alone, which keeps nothing when it is killed; with this seed
//! cargo xtask chaos events --events 5000 --quick    short leases and many faults: some seconds
//! cargo xtask chaos events --quick --wrong outside  consumers that write outside of their transaction: that must fail
//! cargo xtask chaos events --quick --wrong early    publishers that do not wait for their commit: that must fail
//! ```
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a program for a terminal, of parts that the tests have too"
)]

use std::path::Path;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use shared_devkit::child::Child;

use self::chaos::plan::{Plan, Way, Wrong};
use self::chaos::report::Report;
use self::chaos::skew::Clocks;

mod chaos {
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

const USAGE: &str = "usage: chaos [--sink log|redis|nats] [--events N] [--seed N] [--quick] [--right-clocks] \
                     [--wrong outside|early]";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [process, spec] = &arguments[..]
        && process == "process"
    {
        match chaos::process::run(spec).await {}
    }
    let Some(plans) = plans(&arguments) else {
        println!("{USAGE}");
        return ExitCode::from(2);
    };
    let mut clear = true;
    for plan in plans {
        clear &= carry_out(&plan).await;
    }
    if clear { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the arguments ask for, or `None` if they can't be read.
fn plans(arguments: &[String]) -> Option<Vec<Plan>> {
    let (mut ways, mut seed, mut events) = (Vec::new(), any(), None);
    let (mut quick, mut wrong, mut skewed) = (false, None, cfg!(target_os = "linux"));
    let mut arguments = arguments.iter().map(String::as_str);
    while let Some(argument) = arguments.next() {
        match argument {
            "--sink" => ways.push(match arguments.next()? {
                "log" => Way::Log,
                "redis" => Way::Redis,
                "nats" => Way::Nats,
                _ => return None,
            }),
            "--events" => events = Some(arguments.next()?.parse().ok()?),
            "--seed" => seed = arguments.next()?.parse().ok()?,
            "--quick" => quick = true,
            "--right-clocks" => skewed = false,
            "--wrong" => {
                wrong = match arguments.next()? {
                    "outside" => Some(Wrong::Outside),
                    "early" => Some(Wrong::Early),
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
    if ways.is_empty() {
        ways = vec![Way::Log, Way::Redis, Way::Nats];
    }
    let plan = |way| {
        let plan = if quick { Plan::short(way, seed) } else { Plan::long(way, 100_000, seed) };
        Plan { events: events.unwrap_or(plan.events), wrong, skewed, ..plan }
    };
    Some(ways.into_iter().map(plan).collect())
}

/// Another one in each run; it is printed, so that a failure can be had again.
fn any() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Whether all promises were kept.
async fn carry_out(plan: &Plan) -> bool {
    println!("{:?}: {} events, seed {}, lease {:?}", plan.way, plan.events, plan.seed, plan.lease);
    let begin = Instant::now();
    let own = std::env::current_exe().unwrap();
    let clocks =
        plan.skewed.then(|| Clocks::make(&own.parent().unwrap_or(Path::new(".")).join("chaos-clocks")));
    let launch = |number, spec: &str| {
        let program = Child::program(&own).args(["process", spec]);
        clocks.iter().fold(program, |program, clocks| clocks.skew(number, program))
    };
    let (history, verdict) = chaos::run::run(plan, launch).await;
    print!("{}", Report(&history, &verdict));
    println!("  after {:.0?}", begin.elapsed());
    verdict.is_clear() && history.left + history.parked == 0
}
