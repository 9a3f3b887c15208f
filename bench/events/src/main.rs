//! shared-events beside the outboxes that one writes oneself, on the same Postgres and the same Redis.
//!
//! `cargo xtask bench events [PART..] [--quick] [--rounds N] [--pin SECONDS] [--backlog EVENTS]`. Parts are `publish` (what it costs a
//! transaction), `writers` (64 of them, and the relay that they wake), `drain` (a backlog to Redis Streams), `wal`, `latency`, `flood` (of one
//! tenant, beside others, to a sink), `turns` (the same at consumers), `poison` (one event of a thousand fails), `pinned` (a snapshot is held for ten minutes, and a writer left open),
//! `inbox` (a position, or a row for each message), `idle`, `kill` (take-overs) and `retention`; all of them if none is named. `memory`, with a
//! million events, is only run when it is named. `--quick` is
//! for trying: its figures mean nothing.
//!
//! The sides of a comparison take turns in rounds, each in a database and a number of Redis of its own. Each figure is the median of the
//! rounds, each ratio that of the rounds' ratios, with its spread; the goal stands beside it and judges nothing, since machines differ.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails has nothing to say")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is what a benchmark is for")]

mod arguments;
mod by_hand;
mod child;
mod drain;
mod figures;
mod flood;
mod idle;
mod inbox;
mod kill;
mod latency;
mod memory;
mod ours;
mod outbox;
mod pinned;
mod publish;
mod retention;
mod servers;
mod streams;
mod turns;
mod wal;
mod writers;

use std::time::Instant;

use arguments::Arguments;
use servers::Servers;

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, database, redis, lease] = words.as_slice()
        && first == child::WORD
    {
        match child::serve(database, redis, lease).await {}
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
    let servers = Servers::start().await;
    servers.print().await;
    if arguments.quick {
        println!("QUICK: rounds this small show that it runs, and nothing else");
    }
    let mut all = Vec::new();
    for part in arguments.parts() {
        match part {
            "publish" => publish::compare(arguments, &servers, &mut all).await,
            "writers" => writers::compare(arguments, &servers, &mut all).await,
            "drain" => drain::compare(arguments, &servers, &mut all).await,
            "wal" => wal::compare(arguments, &servers, &mut all).await,
            "latency" => latency::compare(arguments, &servers, &mut all).await,
            "flood" => flood::compare(arguments, &servers, &mut all).await,
            "turns" => turns::compare(arguments, &servers, &mut all).await,
            "poison" => turns::compare_poison(arguments, &servers, &mut all).await,
            "pinned" => pinned::compare(arguments, &servers, &mut all).await,
            "inbox" => inbox::compare(arguments, &servers, &mut all).await,
            "idle" => idle::compare(arguments, &servers, &mut all).await,
            "kill" => kill::compare(arguments, &servers, &mut all).await,
            "retention" => retention::compare(arguments, &servers, &mut all).await,
            _ => memory::compare(arguments, &servers, &mut all).await,
        }
    }
    println!("\nall comparisons, after {:.0?}", begin.elapsed());
    bench_report::comparisons_head();
    all.iter().for_each(|line| println!("{line}"));
}
