//! A transaction elsewhere that stays open: what was deleted since can't be cleaned away, and a queue that walks over it slows down.

use std::time::Duration;

use crate::arguments::Arguments;
use crate::contestants::{CONTESTANTS, Contestant};
use crate::drive::Settings;
use crate::process::Process;
use crate::protocol::{Command, How};
use crate::report::{median, sorted};
use crate::scenarios::Scenario;
use crate::servers::{Server, Servers, session};

/// Jobs a second, which any of them can do.
const RATE: u64 = 800;
const PATIENCE: Duration = Duration::from_secs(120);

/// What a queue does before and while the snapshot is held.
struct Held {
    before: f64,
    late: u64,
    first: f64,
    last: f64,
    after: f64,
}

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers) {
    println!("\na snapshot held for {:?} at {RATE} jobs/s", arguments.pin);
    println!(
        "  {:26}  {:>9} {:>9} {:>6}  {:>6}  {:>9} {:>9} {:>6}",
        "", "jobs/s", "after it", "ratio", "late", "start ms", "at last", "ratio"
    );
    let takes_part = |one: &&Contestant| {
        one.settings == Settings::Best
            && one.takes_part(Server::Postgres, Scenario::Latency)
            && arguments.invites(one.name)
    };
    for contestant in CONTESTANTS.iter().filter(takes_part) {
        match hold(arguments, servers, contestant).await {
            Ok(Held { before, late, first, last, after }) => println!(
                "  {:26}  {before:>9.0} {after:>9.0} {:>6.2}  {late:>6}  {first:>9.2} {last:>9.2} {:>6.2}",
                contestant.name,
                after / before,
                last / first
            ),
            Err(failure) => println!("  {:26}  no figure: {failure}", contestant.name),
        }
    }
    println!(
        "  goals for ours: at least 0.95 of the jobs/s, at most 1.50 of the time to the start, none late"
    );
}

async fn hold(
    arguments: &Arguments,
    servers: &Servers,
    contestant: &'static Contestant,
) -> Result<Held, String> {
    let url = servers.url(contestant, Server::Postgres).ok_or("no server that it can use is installed")?;
    let mut process = Process::start(contestant, &url).await?;
    process.tell(&Command::Clear, PATIENCE).await?;
    drain(arguments, &mut process).await?;
    let before = drain(arguments, &mut process).await?;
    let pin = session(&url).await;
    pin.batch_execute("begin isolation level repeatable read; select count(*) from pg_class").await.unwrap();
    let seconds = arguments.pin.as_secs();
    let steady = Command::Steady { rate: RATE, seconds };
    let answer = process.tell(&steady, arguments.pin * 2 + PATIENCE).await?;
    let after = drain(arguments, &mut process).await?;
    pin.batch_execute("rollback").await.unwrap();
    let ninth = (answer.micros.len() / 9).max(1);
    let middle = |part: &[u64]| median(&sorted(part.iter().map(|micros| *micros as f64 / 1_000.0)));
    let (first, last) = (&answer.micros[..ninth], &answer.micros[answer.micros.len() - ninth..]);
    let late = RATE * seconds - answer.jobs;
    Ok(Held { before, late, first: middle(first), last: middle(last), after })
}

/// Jobs a second of a backlog.
async fn drain(arguments: &Arguments, process: &mut Process) -> Result<f64, String> {
    let jobs = if arguments.quick { 5_000 } else { 50_000 };
    process.tell(&Command::Enqueue { how: How::Bulk, jobs, bytes: 100 }, PATIENCE).await?;
    let answer = process.tell(&Command::Drain { at_once: 50, jobs, work: 0 }, PATIENCE).await?;
    Ok(jobs as f64 / answer.seconds)
}
