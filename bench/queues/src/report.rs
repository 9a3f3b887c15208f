//! What is printed, as it comes; and all comparisons once more at the end.

pub(crate) use bench_report::{Line, comparisons_head as head, median, percentile, sorted};

use crate::arguments::Arguments;
use crate::contestants::{CONTESTANTS, Contestant};
use crate::goals;
use crate::rounds::{Entry, Figure, Outcome};
use crate::scenarios::Scenario;
use crate::servers::{POSTGRES, Server, Servers};

/// Who takes part, and how they are set up.
pub(crate) fn settings(arguments: &Arguments, servers: &Servers) {
    println!("{}", servers.versions.join("; "));
    println!("Redis: no persistence; with AOF: appendonly yes, appendfsync everysec");
    let lines = POSTGRES.map(|(name, value)| format!("{name} = {value}"));
    println!("PostgreSQL: {}", lines.join(", "));
    for one in CONTESTANTS.iter().filter(|one| arguments.invites(one)) {
        println!("  {:26}  {}", one.name, one.said);
    }
    if !cfg!(feature = "peers") {
        println!("BUILT WITHOUT PEERS: ours is compared with the floor and with itself");
    }
    if arguments.quick {
        println!("QUICK: rounds this small show that it runs, and nothing else");
    }
}

/// One scenario: all who took part, and the comparisons.
pub(crate) fn block(outcome: &Outcome) -> Vec<Line> {
    let unit = if outcome.scenario.is_latency() { "p99 ms" } else { "jobs/s" };
    println!("\n{}", outcome.scenario);
    println!("  {:42}  {unit:>9}  {:>22}  {:>8}  CPU s per 100,000: client, server", "", "spread", "p50 ms");
    for entry in &outcome.entries {
        let who = format!("{}{}", entry.contestant.name, file(entry));
        println!("  {who:42}  {}", figures(entry, outcome.scenario));
    }
    let lines = lines(outcome);
    if !lines.is_empty() {
        head();
    }
    lines.iter().for_each(|line| println!("{line}"));
    lines
}

fn figures(entry: &Entry, scenario: Scenario) -> String {
    if let (Some(failure), true) = (&entry.failure, entry.figures.is_empty()) {
        return format!("no figure: {failure}");
    }
    let of = |part: fn(&Figure) -> f64| sorted(entry.figures.iter().map(part));
    let values = of(|one| one.value);
    let show = |value| shown(value, scenario);
    let spread = format!("{} to {}", show(values[0]), show(values[values.len() - 1]));
    let p50 = if scenario.is_latency() { show(median(&of(|one| one.median))) } else { String::new() };
    let (client, server) = (median(&of(|one| one.client)), median(&of(|one| one.server)));
    let broken =
        entry.failure.as_ref().map(|failure| format!("  then failed: {failure}")).unwrap_or_default();
    format!("{:>9}  {spread:>22}  {p50:>8}  {client:>6.2} {server:>6.2}{broken}", show(median(&values)))
}

/// Microseconds as milliseconds, or jobs a second.
fn shown(value: f64, scenario: Scenario) -> String {
    if scenario.is_latency() { format!("{:.2}", value / 1_000.0) } else { format!("{value:.0}") }
}

/// Ours beside each peer with the same kind of settings; or where ours is compared with itself, what is switched on beside what is not.
fn lines(outcome: &Outcome) -> Vec<Line> {
    // What there is to say without the file was said elsewhere.
    let with_file = outcome.entries.iter().any(|one| one.server == Server::RedisAof);
    let pairs = outcome.entries.iter().flat_map(|one| outcome.entries.iter().map(move |other| (one, other)));
    let lines = pairs.filter(|(one, _)| !with_file || one.server == Server::RedisAof);
    lines.filter_map(|(one, other)| line(outcome.scenario, one, other)).collect()
}

fn line(scenario: Scenario, ours: &Entry, peer: &Entry) -> Option<Line> {
    let (one, other) = (ours.contestant, peer.contestant);
    let (name, goal) = match scenario {
        _ if (ours.server, peer.server) == (Server::RedisAof, Server::Redis) && one.name == other.name => {
            (format!("{scenario}: {} with AOF / without", one.name), goals::of_file(one))
        }
        Scenario::Flow { work } if ours.server == peer.server => {
            let goal = goals::of_flow(work, one, other)?;
            (format!("{scenario}: {} / best", one.name), Some(goal))
        }
        _ if ours.server == peer.server && is_beside(one, other) => {
            let server = if one.server == Server::Postgres { "PostgreSQL" } else { "Redis" };
            (
                format!("{scenario} on {server}{} / {}", file(ours), other.name),
                goals::beside(ours.server, scenario, other.name),
            )
        }
        _ => return None,
    };
    let ratios = ours.figures.iter().zip(&peer.figures).map(|(ours, peer)| ours.value / peer.value).collect();
    let middle = |entry: &Entry| shown(median(&sorted(entry.figures.iter().map(|one| one.value))), scenario);
    let line = Line { name, ours: middle(ours), peer: middle(peer), ratios, goal };
    (!line.ratios.is_empty()).then_some(line)
}

fn is_beside(one: &Contestant, other: &Contestant) -> bool {
    one.is_ours() && !other.is_ours() && one.settings == other.settings
}

fn file(entry: &Entry) -> &'static str {
    if entry.server == Server::RedisAof { " with AOF" } else { "" }
}
