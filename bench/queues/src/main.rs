//! shared-queues beside the queues that others use, on the same Redis and the same Postgres.
//!
//! `cargo xtask bench queues [PART..] [--quick] [--rounds N] [--pin SECONDS] [--only NAME]`. Parts are `redis`, `aof`, `postgres`,
//! `flow`, `pinned` and `transaction`; all of them if none is named. `--quick` is for trying: small rounds, whose figures mean nothing.
//!
//! Every queue runs in a process of its own, whose CPU time is told apart from the server's; the processes take turns.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails has nothing to say")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is what a benchmark is for")]

mod arguments;
mod contestants;
mod cpu;
mod drive;
mod goals;
mod inside;
mod ours;
mod payload;
mod peers;
mod pinned;
mod process;
mod protocol;
mod report;
mod rounds;
mod scenarios;
mod seen;
mod servers;

use arguments::Arguments;
use servers::{Server, Servers};

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, name, settings, url] = words.as_slice()
        && first == drive::WORD
    {
        return peers::drive(name, settings.parse().unwrap(), url).await;
    }
    let arguments = Arguments::parse(&words).unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(2)
    });
    compare(&arguments).await;
}

async fn compare(arguments: &Arguments) {
    if arguments.invites("BullMQ") {
        process::install_node_packages();
    }
    let servers = Servers::start(arguments).await;
    report::settings(arguments, &servers);
    let mut outcomes = Vec::new();
    for (part, server) in
        [("redis", Server::Redis), ("aof", Server::RedisAof), ("postgres", Server::Postgres)]
    {
        if !arguments.wants(part) {
            continue;
        }
        for scenario in scenarios::on(server) {
            let outcome = rounds::run(arguments, &servers, server, scenario).await;
            report::block(&outcome);
            outcomes.push(outcome);
        }
    }
    if arguments.wants("flow") {
        for server in [Server::Redis, Server::Postgres] {
            for scenario in scenarios::FLOW {
                let outcome = rounds::run(arguments, &servers, server, scenario).await;
                report::block(&outcome);
                outcomes.push(outcome);
            }
        }
    }
    report::ratios(&outcomes);
    if arguments.wants("pinned") {
        pinned::compare(arguments, &servers).await;
    }
    if arguments.wants("transaction") {
        inside::compare(arguments, &servers).await;
    }
}
