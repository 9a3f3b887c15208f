//! shared-queues beside the queues that others use, on the same Redis and the same Postgres.
//!
//! `cargo xtask bench queues [PART..] [--quick] [--rounds N] [--pin SECONDS] [--only NAME]`. Parts are `redis`, `aof`, `postgres`,
//! `latency` (of an idle worker), `flow` (limits and fairness on and off), `flood` (one tenant has nine tenths of the load), `transaction`, `idle` and `pinned` (a
//! snapshot is held); all of them if none is named, which takes about half an hour with three rounds. `--quick` is for trying: one round of each, whose
//! figures mean nothing, in less than a minute. `--only` takes the beginning of a contestant's name, and may be given several times.
//! Without the feature `peers`, which `cargo xtask bench queues` switches on, only ours and the floor take part.
//!
//! Every queue runs in a process of its own, whose CPU time is told apart from the server's; the processes take turns.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails has nothing to say")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is what a benchmark is for")]

mod arguments;
mod claims;
mod contestants;
mod drive;
mod flood;
mod floor;
mod goals;
mod idle;
mod inside;
mod ours;
mod payload;
#[cfg(feature = "peers")]
mod peers;
mod pinned;
mod process;
mod protocol;
mod report;
mod rounds;
mod scenarios;
mod seen;
mod servers;

use std::time::Instant;

use arguments::Arguments;
use contestants::Program;
use drive::{Aim, Settings, serve};
use servers::Servers;

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, name, settings, url, aim] = words.as_slice()
        && first == drive::WORD
    {
        return drive(name, settings.parse().unwrap(), url, aim.parse().unwrap()).await;
    }
    let arguments = Arguments::parse(&words).unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(2)
    });
    compare(&arguments).await;
}

/// The parts in their order; each prints its figures as they come, and all comparisons are printed once more.
async fn compare(arguments: &Arguments) {
    let begin = Instant::now();
    if contestants::CONTESTANTS
        .iter()
        .any(|one| matches!(one.program, Program::BullMq) && arguments.invites(one))
    {
        process::install_node_packages();
    }
    let servers = Servers::start(arguments).await;
    report::settings(arguments, &servers);
    let mut lines = Vec::new();
    for (part, on, scenarios) in scenarios::parts() {
        for scenario in scenarios.iter().filter(|_| arguments.wants(part)) {
            let outcome = rounds::run(arguments, &servers, on, *scenario).await;
            lines.extend(report::block(&outcome));
        }
    }
    if arguments.wants("flood") {
        lines.extend(flood::compare(arguments, &servers).await);
    }
    if arguments.wants("transaction") {
        lines.extend(inside::compare(arguments, &servers).await);
    }
    if arguments.wants("idle") {
        idle::compare(arguments, &servers).await;
    }
    if arguments.wants("pinned") {
        lines.extend(pinned::compare(arguments, &servers).await);
    }
    println!("\nall comparisons, after {:.0?}", begin.elapsed());
    report::head();
    lines.iter().for_each(|line| println!("{line}"));
}

/// Serves the queue of this name.
async fn drive(name: &str, settings: Settings, url: &str, aim: Aim) {
    match name {
        "ours" => serve::<ours::Ours>(url, settings, aim).await,
        "floor" => serve::<floor::Floor>(url, settings, aim).await,
        #[cfg(feature = "peers")]
        peer => peers::drive(peer, settings, url, aim).await,
        #[cfg(not(feature = "peers"))]
        peer => panic!("{peer} needs the feature `peers`"),
    }
}
