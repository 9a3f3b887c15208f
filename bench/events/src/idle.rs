//! What a relay costs that has nothing to do.

use std::time::{Duration, Instant};

use bench_report::{Line, cpu};
use tokio::time::sleep;

use crate::arguments::Arguments;
use crate::child::Process;
use crate::figures;
use crate::ours::Ours;
use crate::outbox::Outbox;
use crate::servers::{Servers, session};

/// Until what a start brings with it is over, and the server has counted it.
const SETTLED: Duration = Duration::from_secs(12);
const TRANSACTIONS: &str = "
    select (xact_commit + xact_rollback)::float8 from pg_stat_database where datname = current_database()";

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers, all: &mut Vec<Line>) {
    let ours = Ours::open(&servers.place(1).await).await;
    ours.clear().await;
    let watched = arguments.long(20);
    println!("\na relay at its defaults with nothing to do, over {watched:?}");
    bench_report::comparisons_head();
    let relay = Process::start(&ours, ours.config.lease).await;
    ours.fill(100).await;
    ours.streams.until(100).await;
    let server = session(&ours.url).await;
    let (mut core, mut queries) = (Vec::new(), Vec::new());
    sleep(if arguments.quick { Duration::from_secs(1) } else { SETTLED }).await;
    for _ in 0..arguments.rounds {
        let count = async || server.query_one(TRANSACTIONS, &[]).await.unwrap().get::<_, f64>(0);
        let (begin, used, made) = (Instant::now(), cpu::of_tree(relay.id()), count().await);
        sleep(watched).await;
        let seconds = begin.elapsed().as_secs_f64();
        core.push(cpu::of_tree(relay.id()).saturating_sub(used).as_secs_f64() / seconds * 100.0);
        // Of which two are these.
        queries.push((count().await - made - 1.0) / seconds);
    }
    let lines = vec![
        figures::against("per cent of a core / 0.5", &core, 0.5, |value| format!("{value:.2} %")),
        figures::against("transactions a second / 2", &queries, 2.0, |value| format!("{value:.2}")),
    ];
    figures::print(lines, all);
}
