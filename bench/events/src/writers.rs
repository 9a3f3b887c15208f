//! Whether writers pay for waking a relay: 64 of them, with the relay in their process, which every commit wakes, and with one that
//! polls.

use std::time::Instant;

use bench_report::{Goal, Line};
use std::sync::Arc;
use tokio::task::JoinSet;

use crate::arguments::Arguments;
use crate::figures::{self, rate};
use crate::ours::Ours;
use crate::outbox::Outbox;
use crate::servers::Servers;

const WRITERS: u64 = 64;

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers, all: &mut Vec<Line>) {
    let place = servers.place(1).await;
    let ours = Arc::new(Ours::open(&place).await);
    // Signals stay within one `Db`: this one's relay hears nothing of the other's commits.
    let deaf = Ours::join(&ours.url, &place.redis).await;
    println!(
        "\ncommits of {WRITERS} writers, each with an event, while a relay works: woken by each of them / polling"
    );
    bench_report::comparisons_head();
    let times = arguments.many(100);
    let (mut woken, mut polling) = (Vec::new(), Vec::new());
    for _ in 0..=arguments.rounds {
        woken.push(round(&ours, &ours, times).await);
        polling.push(round(&ours, &deaf, times).await);
    }
    let goal = Some(Goal::AtLeast(0.95));
    let name = format!("{WRITERS} writers, commits a second");
    figures::print(vec![figures::line(name, &woken[1..], &polling[1..], rate, goal)], all);
}

async fn round(writers: &Arc<Ours>, relay: &Ours, times: u64) -> f64 {
    writers.clear().await;
    let running = relay.start().await;
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let ours = writers.clone();
        tasks.spawn(async move {
            for nth in 0..times {
                ours.publish(nth * WRITERS + writer).await;
            }
        });
    }
    tasks.join_all().await;
    let rate = (WRITERS * times) as f64 / begin.elapsed().as_secs_f64();
    relay.stop(running).await;
    rate
}
