//! The memory of a relay that has a large backlog before it, beside one that has nothing to do.

use std::time::{Duration, Instant};

use bench_report::Line;
use tokio::time::sleep;

use crate::arguments::Arguments;
use crate::child::Process;
use crate::figures::{self, bytes};
use crate::ours::Ours;
use crate::outbox::Outbox;
use crate::servers::Servers;

/// Small ones, so that the servers keep a million of them easily.
const PAYLOAD: usize = 100;
const MIB: f64 = 1_048_576.0;

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers, all: &mut Vec<Line>) {
    let ours = Ours::open(&servers.place(1).await).await;
    ours.clear().await;
    println!(
        "\na relay in memory with {} events of {PAYLOAD} bytes before it, above one with nothing to do",
        arguments.backlog
    );
    bench_report::comparisons_head();
    let relay = Process::start(&ours, ours.config.lease).await;
    ours.fill_with(400, PAYLOAD).await;
    ours.streams.until(400).await;
    sleep(Duration::from_secs(2)).await;
    let [idle, _] = relay.memory();
    drop(relay);
    ours.fill_with(arguments.backlog, PAYLOAD).await;
    let relay = Process::start(&ours, ours.config.lease).await;
    let begin = Instant::now();
    let there = 400 + arguments.backlog;
    while ours.streams.count().await < there {
        sleep(Duration::from_millis(20)).await;
    }
    let took = begin.elapsed();
    let [_, most] = relay.memory();
    let line = figures::against("most memory above idle / 32 MiB", &[most - idle], 32.0 * MIB, bytes);
    figures::print(vec![line], all);
    println!("  idle {}, at most {}; drained in {took:.1?}", bytes(idle), bytes(most));
}
