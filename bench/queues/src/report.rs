//! What is printed.

use crate::arguments::Arguments;
use crate::contestants::CONTESTANTS;
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
    for one in CONTESTANTS.iter().filter(|one| arguments.invites(one.name)) {
        println!("  {:26}  {}", one.name, one.said);
    }
    if arguments.quick {
        println!("QUICK: rounds this small show that it runs, and nothing else");
    }
}

/// One scenario, all who took part.
pub(crate) fn block(outcome: &Outcome) {
    let latency = outcome.scenario == Scenario::Latency;
    let unit = if latency { "p99 ms" } else { "jobs/s" };
    println!("\n{} on {}", outcome.scenario, name(outcome.server));
    println!("  {:26}  {unit:>9}  {:>22}  {:>8}  CPU s per 100,000: client, server", "", "spread", "p50 ms");
    for entry in &outcome.entries {
        println!("  {:26}  {}", entry.contestant.name, figures(entry, latency));
    }
}

fn figures(entry: &Entry, latency: bool) -> String {
    if let (Some(failure), true) = (&entry.failure, entry.figures.is_empty()) {
        return format!("no figure: {failure}");
    }
    let of = |part: fn(&Figure) -> f64| sorted(entry.figures.iter().map(part));
    let (values, shown): (_, fn(f64) -> String) = match latency {
        true => (of(|one| one.value / 1_000.0), |value| format!("{value:.2}")),
        false => (of(|one| one.value), |value| format!("{value:.0}")),
    };
    let spread = format!("{} to {}", shown(values[0]), shown(values[values.len() - 1]));
    let p50 = if latency { format!("{:.2}", median(&of(|one| one.median / 1_000.0))) } else { String::new() };
    let (client, server) = (median(&of(|one| one.client)), median(&of(|one| one.server)));
    let broken =
        entry.failure.as_ref().map(|failure| format!("  then failed: {failure}")).unwrap_or_default();
    format!("{:>9}  {spread:>22}  {p50:>8}  {client:>6.2} {server:>6.2}{broken}", shown(median(&values)))
}

/// Ours divided by each peer's, where both have the same kind of settings, round by round.
pub(crate) fn ratios(outcomes: &[Outcome]) {
    let lines: Vec<String> = outcomes
        .iter()
        .flat_map(lines)
        .chain(outcomes.iter().flat_map(flow))
        .chain(persistence(outcomes))
        .collect();
    if lines.is_empty() {
        return;
    }
    println!("\n{:76}  {:>7}  {:>18}  goal", "ours / the peer's", "ratio", "spread");
    lines.iter().for_each(|line| println!("{line}"));
}

fn lines(outcome: &Outcome) -> Vec<String> {
    let (ours, peers): (Vec<_>, Vec<_>) = outcome.entries.iter().partition(|one| is_ours(one));
    let of_same_kind = |ours: &Entry, peer: &Entry| ours.contestant.settings == peer.contestant.settings;
    let pairs = ours.iter().flat_map(|ours| {
        peers.iter().filter(|peer| of_same_kind(ours, peer)).map(move |peer| (*ours, *peer))
    });
    let goal = |peer: &Entry| goals::beside(outcome.server, outcome.scenario, peer.contestant.name);
    pairs.filter_map(|(ours, peer)| line(outcome, ours, peer, goal(peer))).collect()
}

/// Ours with limits and fairness divided by ours without.
fn flow(outcome: &Outcome) -> Vec<String> {
    let (Scenario::Flow { work }, [plain, others @ ..]) = (outcome.scenario, outcome.entries.as_slice())
    else {
        return Vec::new();
    };
    others.iter().filter_map(|other| line(outcome, other, plain, Some(goals::of_flow(work)))).collect()
}

fn line(outcome: &Outcome, ours: &Entry, peer: &Entry, goal: Option<goals::Goal>) -> Option<String> {
    let rounds = ours.figures.iter().zip(&peer.figures);
    let ratios = sorted(rounds.map(|(ours, peer)| ours.value / peer.value));
    let (least, most) = (ratios.first()?, ratios.last()?);
    let name = match outcome.scenario {
        Scenario::Flow { .. } => format!("{}: {} / best", outcome.scenario, ours.contestant.name),
        scenario => format!("{scenario} on {} / {}", name(outcome.server), peer.contestant.name),
    };
    Some(format!(
        "{name:76}  {:>7.2}  {:>18}  {}",
        median(&ratios),
        format!("{least:.2} to {most:.2}"),
        judged(goal, median(&ratios))
    ))
}

fn judged(goal: Option<goals::Goal>, ratio: f64) -> String {
    match goal {
        None => String::new(),
        Some(goal) if goal.is_met(ratio) => goal.to_string(),
        Some(goal) => format!("{goal}: NOT REACHED"),
    }
}

/// What the append-only file costs each, by the medians: these rounds did not take turns.
fn persistence(outcomes: &[Outcome]) -> Vec<String> {
    let with = outcomes.iter().filter(|outcome| outcome.server == Server::RedisAof);
    let pairs = with.filter_map(|with| {
        let same = |other: &&Outcome| other.server == Server::Redis && other.scenario == with.scenario;
        Some((with, outcomes.iter().find(same)?))
    });
    pairs
        .flat_map(|(with, without)| {
            with.entries.iter().zip(&without.entries).map(|pair| (with.scenario, pair))
        })
        .filter_map(|(scenario, (with, without))| {
            let middle = |entry: &Entry| median(&sorted(entry.figures.iter().map(|one| one.value)));
            let (with_file, without_file) = (middle(with), middle(without));
            let ratio = with_file / without_file;
            let goal = is_ours(with).then_some(goals::Goal::AtLeast(0.8));
            let name = format!("{scenario}: {} with AOF / without", with.contestant.name);
            ratio.is_finite().then(|| format!("{name:76}  {ratio:>7.2}  {:>18}  {}", "", judged(goal, ratio)))
        })
        .collect()
}

fn is_ours(entry: &Entry) -> bool {
    entry.contestant.name.starts_with("ours")
}

fn name(server: Server) -> &'static str {
    match server {
        Server::Redis => "Redis",
        Server::RedisAof => "Redis with AOF",
        Server::Postgres => "PostgreSQL",
    }
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
