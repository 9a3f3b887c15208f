//! What an event makes the server write to its log: to publish it, and to relay it.

use bench_report::{Goal, Line};

use crate::arguments::Arguments;
use crate::by_hand::Tuned;
use crate::figures::{self, bytes};
use crate::ours::{Happened, Ours};
use crate::outbox::{Outbox, PAYLOAD, TOGETHER};
use crate::servers::{Servers, session};

const EVENTS: u64 = 10_000;
const WRITTEN: &str = "select (pg_current_wal_insert_lsn() - '0/0')::float8";

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers, all: &mut Vec<Line>) {
    let places = [servers.place(1).await, servers.place(2).await];
    let (ours, tuned) = (Ours::open(&places[0]).await, Tuned::open(&places[1]).await);
    let payload = serde_json::to_string(&Happened::new(1, PAYLOAD)).unwrap().len();
    println!(
        "\nbytes of WAL an event, {TOGETHER} in a transaction, payloads of {payload} bytes; {}",
        Tuned::NAME
    );
    let (mut by_ours, mut by_tuned): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
    for _ in 0..=arguments.rounds {
        by_ours.push(written(&ours, arguments.many(EVENTS)).await);
        by_tuned.push(written(&tuned, arguments.many(EVENTS)).await);
    }
    let of =
        |rounds: &[[f64; 2]], part: fn(&[f64; 2]) -> f64| rounds[1..].iter().map(part).collect::<Vec<_>>();
    let line = |name: &str, part: fn(&[f64; 2]) -> f64, goal| {
        figures::line(name, &of(&by_ours, part), &of(&by_tuned, part), bytes, goal)
    };
    let whole = |both: &[f64; 2]| both[0] + both[1];
    let payload = payload as f64;
    let beside: Vec<f64> = of(&by_ours, whole).iter().map(|all| all - payload).collect();
    let beside_tuned: Vec<f64> = of(&by_tuned, whole).iter().map(|all| all - payload).collect();
    bench_report::comparisons_head();
    let lines = vec![
        line("WAL to publish an event", |both| both[0], None),
        line("WAL to relay an event", |both| both[1], None),
        line("WAL of an event in all", whole, Some(Goal::AtMost(0.6))),
        figures::line("the same without its payload", &beside, &beside_tuned, bytes, Some(Goal::AtMost(0.6))),
    ];
    figures::print(lines, all);
}

/// Bytes for each event: to publish it, to relay it.
async fn written<O: Outbox>(outbox: &O, events: u64) -> [f64; 2] {
    let server = session(outbox.database()).await;
    let now = async || server.query_one(WRITTEN, &[]).await.unwrap().get::<_, f64>(0);
    outbox.clear().await;
    let begin = now().await;
    outbox.fill(events).await;
    let published = now().await;
    let running = outbox.start().await;
    outbox.streams().until(events).await;
    outbox.stop(running).await;
    let relayed = now().await;
    [(published - begin) / events as f64, (relayed - published) / events as f64]
}
