//! A transaction elsewhere that stays open: what was deleted since can't be cleaned away, and a queue that walks over it slows down.

use std::time::Duration;

use bench_report::Goal;
use tokio::time::sleep;

use crate::arguments::Arguments;
use crate::claims;
use crate::contestants::{CONTESTANTS, Contestant};
use crate::drive::{Aim, Settings};
use crate::process::Process;
use crate::protocol::{Answer, Command, How, LATE};
use crate::report::{Line, head, median, sorted};
use crate::scenarios::Scenario;
use crate::servers::{Server, Servers, session};

/// Jobs a second, which any of them can do.
const RATE: u64 = 800;
const PATIENCE: Duration = Duration::from_secs(120);
/// Ours and one peer are held for as long as was asked for; of the others it is shown in shorter time what becomes of them.
const LONG: [&str; 2] = ["ours on PostgreSQL, best", "graphile_worker, best"];
const SHORT: Duration = Duration::from_secs(20);

/// What a queue does before and while the snapshot is held.
struct Held {
    /// Jobs a second of a backlog, some times before and beneath it.
    drained: [Vec<f64>; 2],
    late: u64,
    /// Milliseconds from enqueueing to the start: the median of the first and of the last ninth.
    start: [f64; 2],
    /// Milliseconds of a claim.
    claim: [f64; 2],
}

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers) -> Vec<Line> {
    println!(
        "\na snapshot held for {:?} (peers but graphile_worker: {:?}) at {RATE} jobs/s; beneath it / before it, or at its end / at its begin",
        arguments.pin,
        arguments.pin.min(SHORT)
    );
    head();
    let takes_part = |one: &&Contestant| {
        one.settings == Settings::Best
            && one.takes_part(Server::Postgres, Scenario::Latency)
            && arguments.invites(one)
    };
    let mut all = Vec::new();
    for contestant in CONTESTANTS.iter().filter(takes_part) {
        match hold(arguments, servers, contestant).await {
            Ok(held) => {
                let lines = lines(contestant, &held);
                lines.iter().for_each(|line| println!("{line}"));
                println!("  {}: {} jobs not begun with in time", contestant.name, held.late);
                all.extend(lines);
            }
            Err(failure) => println!("  {:26}  no figure: {failure}", contestant.name),
        }
    }
    all
}

fn lines(contestant: &Contestant, held: &Held) -> Vec<Line> {
    let line = |what: &str, [before, after]: [&[f64]; 2], digits: usize, goal: Goal| {
        let middle = |all: &[f64]| figure(median(&sorted(all.iter().copied())), digits);
        Line {
            name: format!("{}, snapshot held: {what}", contestant.name),
            ours: middle(after),
            peer: middle(before),
            ratios: ratios(after, before),
            goal: contestant.is_ours().then_some(goal),
        }
    };
    let ends = |[before, after]: &[f64; 2]| [[*before], [*after]];
    let ([[claim, claims], [start, starts]], [before, after]) =
        ([ends(&held.claim), ends(&held.start)], &held.drained);
    vec![
        line("jobs/s of a backlog", [before, after], 0, Goal::AtLeast(0.95)),
        line("claim, p50 ms", [&claim, &claims], 3, Goal::AtMost(1.5)),
        line("from enqueueing to the start, p50 ms", [&start, &starts], 2, Goal::AtMost(1.5)),
    ]
}

/// A contestant whose jobs were not begun with in time has no figure: `late`; and one that claimed nothing meanwhile has `none`.
fn figure(value: f64, digits: usize) -> String {
    match value {
        value if value.is_nan() => "none".to_owned(),
        value if value.is_infinite() => "late".to_owned(),
        value => format!("{value:.digits$}"),
    }
}

fn ratios(after: &[f64], before: &[f64]) -> Vec<f64> {
    let ratios = after.iter().zip(before).map(|(after, before)| after / before);
    ratios.filter(|ratio| ratio.is_finite()).collect()
}

async fn hold(
    arguments: &Arguments,
    servers: &Servers,
    contestant: &'static Contestant,
) -> Result<Held, String> {
    let url = servers.url(contestant, Server::Postgres).ok_or("no server that it can use is installed")?;
    let mut process = Process::start(contestant, &url, Aim::Throughput).await?;
    process.tell(&Command::Clear, PATIENCE).await?;
    drain(arguments, &mut process).await?;
    let before = drains(arguments, &mut process).await?;
    let pin = session(&url).await;
    pin.batch_execute("begin isolation level repeatable read; select count(*) from pg_class").await.unwrap();
    let long = LONG.contains(&contestant.name);
    let pinned = if long { arguments.pin } else { arguments.pin.min(SHORT) };
    let steady = Command::Steady { rate: RATE, seconds: pinned.as_secs() };
    let log = servers.log(contestant);
    let watch = async {
        let first = claims::median_millis(&url, &log).await;
        sleep(pinned.mul_f64(0.9).saturating_sub(claims::WATCHED * 2)).await;
        [first, claims::median_millis(&url, &log).await]
    };
    let (answer, claim) = tokio::join!(process.tell(&steady, pinned * 2 + PATIENCE), watch);
    let Answer { jobs, micros, .. } = answer?;
    let after = drains(arguments, &mut process).await?;
    pin.batch_execute("rollback").await.unwrap();
    let ninth = (micros.len() / 9).max(1);
    let millis = |micros: &u64| if *micros == LATE { f64::INFINITY } else { *micros as f64 / 1_000.0 };
    let middle = |part: &[u64]| median(&sorted(part.iter().map(millis)));
    let start = [middle(&micros[..ninth]), middle(&micros[micros.len() - ninth..])];
    let late = RATE * pinned.as_secs() - jobs;
    Ok(Held { drained: [before, after], late, start, claim })
}

/// The same some times, since a moment's work of somebody else is a tenth of one.
async fn drains(arguments: &Arguments, process: &mut Process) -> Result<Vec<f64>, String> {
    let mut all = Vec::new();
    for _ in 0..arguments.rounds {
        all.push(drain(arguments, process).await?);
    }
    Ok(all)
}

/// Jobs a second of a backlog.
async fn drain(arguments: &Arguments, process: &mut Process) -> Result<f64, String> {
    let jobs = if arguments.quick { 1_000 } else { 30_000 };
    process.tell(&Command::Enqueue { how: How::Bulk, jobs, bytes: 100 }, PATIENCE).await?;
    let answer = process.tell(&Command::Drain { at_once: 50, jobs, work: 0 }, PATIENCE).await?;
    Ok(jobs as f64 / answer.seconds)
}
