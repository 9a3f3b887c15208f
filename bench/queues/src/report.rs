//! What is printed, as it comes; and all comparisons once more at the end.

use crate::arguments::Arguments;
use crate::contestants::{CONTESTANTS, Contestant};
use crate::goals::{self, Goal};
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

/// Ours beside another: the medians of both, and the ratios of the rounds.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) ours: String,
    pub(crate) peer: String,
    pub(crate) ratios: Vec<f64>,
    pub(crate) goal: Option<Goal>,
}

/// What stands above the lines.
pub(crate) fn head() {
    println!(
        "  {:74}  {:>9} {:>9}  {:>7}  {:>18}  goal",
        "ours / the peer's", "ours", "peer", "ratio", "spread"
    );
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ratios = sorted(self.ratios.iter().copied());
        let middle = median(&ratios);
        let spread = match ratios.as_slice() {
            [] | [_] => String::new(),
            [least, .., most] => format!("{least:.2} to {most:.2}"),
        };
        let goal = match self.goal {
            None => String::new(),
            Some(goal) if goal.is_met(middle) => goal.to_string(),
            Some(goal) => format!("{goal}: NOT REACHED"),
        };
        let Self { name, ours, peer, .. } = self;
        write!(f, "  {name:74}  {ours:>9} {peer:>9}  {middle:>7.2}  {spread:>18}  {goal}")
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

pub(crate) fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The middle of sorted values; no number if there is none.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}
