//! A day of events that goes: as a partition that is dropped, beside rows that are deleted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bench_report::{Goal, Line};

use crate::arguments::Arguments;
use crate::figures::{self, in_millis, millis, percentile};
use crate::ours::Ours;
use crate::outbox::Outbox;
use crate::servers::{Servers, session};

const EVENTS: u64 = 200_000;
const FILL: &str = "
    select gen_random_uuid(), gen_random_uuid(), 'bench.happened', 1, 'k' || n % 1000, json_build_object('n', n, 'text', repeat('x', 200)),
           '{}'::json, timestamptz '2020-01-01 12:00 UTC'
      from generate_series(1, $1) as n";

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers, all: &mut Vec<Line>) {
    let ours = Arc::new(Ours::open(&servers.place(1).await).await);
    let server = session(&ours.url).await;
    let events = arguments.many(EVENTS).cast_signed() as i32;
    println!(
        "\na day of {events} events: its partition dropped / its rows deleted by an index on their time"
    );
    bench_report::comparisons_head();
    let columns = "id, tenant_id, name, version, key, payload, context, at";
    server
        .batch_execute("create table public.rows (like shared_events.log including all); create index on public.rows (at)")
        .await
        .unwrap();
    let (mut dropped, mut deleted, mut waits) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        server.batch_execute("select shared_events.make_day('2020-01-01')").await.unwrap();
        for table in ["shared_events.log", "public.rows"] {
            server.execute(&format!("insert into {table} ({columns}) {FILL}"), &[&events]).await.unwrap();
        }
        let (publishing, over) = publishing(&ours);
        let begin = Instant::now();
        server
            .batch_execute(
                "begin; select shared_events.lock_day('2020-01-01'); select shared_events.drop_day('2020-01-01'); commit",
            )
            .await
            .unwrap();
        dropped.push(in_millis(begin.elapsed()));
        over.store(true, Ordering::Relaxed);
        waits.push(publishing.await.unwrap());
        let begin = Instant::now();
        server.batch_execute("delete from public.rows where at < '2020-01-02'").await.unwrap();
        deleted.push(in_millis(begin.elapsed()));
        server.batch_execute("truncate public.rows").await.unwrap();
    }
    let lines = vec![
        figures::line("a day is dropped / deleted", &dropped, &deleted, millis, Some(Goal::AtMost(0.01))),
        figures::against("longest publishing transaction meanwhile / 50 ms", &waits, 50.0, millis),
    ];
    figures::print(lines, all);
}

/// Publishes until it is over; the longest transaction in milliseconds.
fn publishing(ours: &Arc<Ours>) -> (tokio::task::JoinHandle<f64>, Arc<AtomicBool>) {
    let over = Arc::new(AtomicBool::new(false));
    let (ours, stop) = (ours.clone(), over.clone());
    let task = tokio::spawn(async move {
        let mut took = Vec::new();
        for n in 0.. {
            let begin = Instant::now();
            ours.publish(n).await;
            took.push(in_millis(begin.elapsed()));
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        percentile(&took, 100)
    });
    (task, over)
}
