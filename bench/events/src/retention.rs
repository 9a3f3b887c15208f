//! A day of events that goes: as a partition that is dropped, beside rows that are deleted and whose room is made free.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bench_report::{Goal, Line};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::arguments::Arguments;
use crate::figures::{self, in_millis, millis, percentile};
use crate::ours::Ours;
use crate::outbox::Outbox;
use crate::servers::{Servers, session};

/// Few and many: rows are deleted one by one, and files are not.
const DAYS: [u64; 2] = [200_000, 2_000_000];
/// Of fewer rounds a median says nothing.
const LEAST_ROUNDS: usize = 3;
const FILL: &str = "
    select shared_events.lane_of(tenant, key), gen_random_uuid(), tenant, 'bench.happened', 1, key,
           json_build_object('n', n, 'text', repeat('x', 200)), '{}'::json, timestamptz '2020-01-01 12:00 UTC'
      from (select n, gen_random_uuid() as tenant, 'k' || n % 1000 as key from generate_series(1, $1) as n) as event";

const DROP: &str =
    "begin; select shared_events.lock_day('2020-01-01'); select shared_events.drop_day('2020-01-01'); commit";

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers, all: &mut Vec<Line>) {
    let ours = Arc::new(Ours::open(&servers.place(1).await).await);
    let server = session(&ours.url).await;
    println!(
        "\na day of events: its partition dropped / its rows deleted by an index on their time, and vacuumed"
    );
    bench_report::comparisons_head();
    server
        .batch_execute("create table public.rows (like shared_events.log including all); create index on public.rows (at)")
        .await
        .unwrap();
    for events in DAYS {
        let events = arguments.many(events);
        let (mut dropped, mut deleted, mut emptied, mut waits) = (vec![], vec![], vec![], vec![]);
        for _ in 0..arguments.rounds.max(LEAST_ROUNDS) {
            fill(&server, events).await;
            let (publishing, over) = publishing(&ours);
            dropped.push(drops(&server).await);
            over.store(true, Ordering::Relaxed);
            waits.push(publishing.await.unwrap());
            deleted.push(timed(&server, "delete from public.rows where at < '2020-01-02'").await);
            emptied.push(deleted[deleted.len() - 1] + timed(&server, "vacuum public.rows").await);
        }
        let line = |name: &str, peer: &[f64], goal| {
            figures::line(format!("{events} events: {name}"), &dropped, peer, millis, goal)
        };
        let lines = vec![
            line("dropped / deleted and vacuumed", &emptied, Some(Goal::AtMost(0.01))),
            line("dropped / deleted, and the room still taken", &deleted, None),
            figures::against("longest publishing transaction meanwhile / 50 ms", &waits, 50.0, millis),
        ];
        figures::print(lines, all);
    }
}

/// The same rows on both sides, as the day that is due is found: no longer in its first minutes, but behind a checkpoint.
async fn fill(server: &Client, events: u64) {
    server.batch_execute("select shared_events.make_day('2020-01-01'); truncate public.rows").await.unwrap();
    let columns = "lane, id, tenant_id, name, version, key, payload, context, at";
    for table in ["shared_events.log", "public.rows"] {
        let events = events.cast_signed() as i32;
        server.execute(&format!("insert into {table} ({columns}) {FILL}"), &[&events]).await.unwrap();
    }
    server.batch_execute("vacuum analyze public.rows").await.unwrap();
    server.batch_execute("checkpoint").await.unwrap();
}

/// As a relay does it: where another has the lock for longer than it waits, it tries again.
async fn drops(server: &Client) -> f64 {
    loop {
        let begin = Instant::now();
        match server.batch_execute(DROP).await {
            Ok(()) => return in_millis(begin.elapsed()),
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                server.batch_execute("rollback").await.unwrap();
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn timed(server: &Client, statement: &str) -> f64 {
    let begin = Instant::now();
    server.batch_execute(statement).await.unwrap();
    in_millis(begin.elapsed())
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
