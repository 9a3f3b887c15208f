//! Jobs of several tenants, worker processes that are killed, stopped and cut off, a server that is killed, clocks that are wrong; and
//! then a look at what the handlers have written down, for what was lost, done twice, out of turn, or too late after a
//! kill. Anything of that is a failure.
//! ```text
//! cargo xtask chaos queues                                 100,000 jobs at the defaults, on Postgres and on Redis
//! cargo xtask chaos queues redis --aof always --seed 7     on one of them, with what Redis keeps and the seed
//! cargo xtask chaos queues redis --aof torn                and an outage tears off what `everysec` had not written
//! cargo xtask chaos queues postgres --quick                some seconds
//! cargo xtask chaos queues --quick --wrong unfenced        handlers that write outside of the fence: that must fail
//! ```
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a program for a terminal, of parts that the tests have too"
)]

use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use shared_devkit::child::Child;

use self::chaos::plan::{Aof, Place, Plan, Wrong};
use self::chaos::report::Report;
use self::chaos::skew::Clocks;

mod chaos {
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

const USAGE: &str = "usage: chaos [postgres|redis] [--jobs N] [--seed N] [--aof always|everysec|torn|none] [--quick] \
                     [--right-clocks] [--wrong unfenced|unlaned]";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [worker, spec] = &arguments[..]
        && worker == "worker"
    {
        match chaos::worker::run(spec).await {}
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
    let (mut places, mut aof, mut seed) = (Vec::new(), Aof::EverySecond, any());
    let (mut jobs, mut quick, mut wrong, mut skewed) = (None, false, None, cfg!(target_os = "linux"));
    let mut arguments = arguments.iter().map(String::as_str);
    while let Some(argument) = arguments.next() {
        match argument {
            "postgres" => places.push(false),
            "redis" => places.push(true),
            "--jobs" => jobs = Some(arguments.next()?.parse().ok()?),
            "--seed" => seed = arguments.next()?.parse().ok()?,
            "--quick" => quick = true,
            "--right-clocks" => skewed = false,
            "--aof" => {
                aof = match arguments.next()? {
                    "always" => Aof::Always,
                    "everysec" => Aof::EverySecond,
                    "torn" => Aof::Torn,
                    "none" => Aof::None,
                    _ => return None,
                }
            }
            "--wrong" => {
                wrong = match arguments.next()? {
                    "unfenced" => Some(Wrong::Unfenced),
                    "unlaned" => Some(Wrong::Unlaned),
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
    if places.is_empty() {
        places = vec![false, true];
    }
    let plan = |in_redis| {
        let place = if in_redis { Place::Redis(aof) } else { Place::Postgres };
        let plan = if quick { Plan::short(place, seed) } else { Plan::long(place, 100_000, seed) };
        Plan { jobs: jobs.unwrap_or(plan.jobs), wrong, skewed, ..plan }
    };
    Some(places.into_iter().map(plan).collect())
}

/// Another one in each run; it is printed, so that a failure can be had again.
fn any() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Whether all promises were kept that this server can keep.
async fn carry_out(plan: &Plan) -> bool {
    println!(
        "{:?}: {} jobs, seed {}, beat {:?}, lease {:?}",
        plan.place, plan.jobs, plan.seed, plan.beat, plan.lease
    );
    let own = std::env::current_exe().unwrap();
    let clocks =
        plan.skewed.then(|| Clocks::make(&own.parent().unwrap_or(Path::new(".")).join("chaos-clocks")));
    let launch = |number, spec: &str| {
        let program = Child::program(&own).args(["worker", spec]);
        clocks.iter().fold(program, |program, clocks| clocks.skew(number, program))
    };
    let (history, verdict) = chaos::run::run(plan, launch).await;
    print!("{}", Report(&history, &verdict));
    verdict.is_clear() && history.left == 0
}
