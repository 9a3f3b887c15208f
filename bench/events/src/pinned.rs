//! A snapshot elsewhere that is held: what was deleted since can't be cleaned away, and a relay that walks over it slows down. And a
//! writer elsewhere that stays open, behind which some readers of logs wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bench_report::{Goal, Line};

use crate::arguments::Arguments;
use crate::by_hand::Tuned;
use crate::figures::{self, millis, percentile, rate};
use crate::latency::{Pace, paced};
use crate::ours::Ours;
use crate::outbox::Outbox;
use crate::servers::{Servers, session};

/// Events a second while it is held, which both can do.
const RATE: f64 = 800.0;
const EVENTS: u64 = 20_000;
const DEAD: &str = "
    select coalesce(sum(n_dead_tup), 0)::bigint, coalesce(sum(n_dead_tup) filter (where relname ~ '^(log|outbox)'), 0)::bigint
      from pg_stat_user_tables where schemaname in ('shared_events', 'public')";

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers, all: &mut Vec<Line>) {
    let places = [servers.place(1).await, servers.place(2).await];
    let ours = Arc::new(Ours::open(&places[0]).await);
    let tuned = Arc::new(Tuned::open(&places[1]).await);
    println!("\na snapshot held for {:?} at {RATE} events/s; beneath it / before it", arguments.pin);
    bench_report::comparisons_head();
    hold(arguments, &ours, Some(Goal::AtLeast(0.95)), all).await;
    hold(arguments, &tuned, None, all).await;
    println!("\na writer of another transaction left open; beneath it / before it");
    bench_report::comparisons_head();
    leave_open(arguments, &ours, all).await;
}

async fn hold<O: Outbox>(arguments: &Arguments, outbox: &Arc<O>, goal: Option<Goal>, all: &mut Vec<Line>) {
    let mut events = Numbers(0);
    outbox.clear().await;
    let before = drains(arguments, outbox, &mut events).await;
    let pin = session(outbox.database()).await;
    pin.batch_execute("begin isolation level repeatable read; select count(*) from pg_class").await.unwrap();
    let running = outbox.start().await;
    let watch = outbox.streams().watch().await;
    let first = events.take((RATE * arguments.pin.as_secs_f64()) as u64);
    let took = paced(outbox, &watch, first, Pace::Steady(RATE, arguments.pin)).await;
    drop(watch);
    outbox.stop(running).await;
    let after = drains(arguments, outbox, &mut events).await;
    let [dead, of_events] = dead_tuples(outbox.database()).await;
    pin.batch_execute("rollback").await.unwrap();
    let ninth = (took.len() / 9).max(1);
    let (early, late) = (percentile(&took[..ninth], 50), percentile(&took[took.len() - ninth..], 50));
    let name = O::NAME;
    let lines = vec![
        figures::line(format!("{name}, snapshot held: events/s of a backlog"), &after, &before, rate, goal),
        figures::line(
            format!("{name}, snapshot held: commit to sink, p50, at its end / at its begin"),
            &[late],
            &[early],
            millis,
            None,
        ),
    ];
    figures::print(lines, all);
    println!("  {name}: {of_events} dead tuples where the events are, {dead} in all tables");
}

/// Numbers that no event has yet.
struct Numbers(u64);

impl Numbers {
    fn take(&mut self, count: u64) -> u64 {
        let first = self.0;
        self.0 += count;
        first
    }
}

/// Events a second of some backlogs, one after the other. What was there stays.
async fn drains<O: Outbox>(arguments: &Arguments, outbox: &Arc<O>, events: &mut Numbers) -> Vec<f64> {
    let mut rates = Vec::new();
    for _ in 0..=arguments.rounds {
        let backlog = arguments.many(EVENTS);
        events.take(backlog);
        let there = outbox.streams().count().await;
        outbox.fill(backlog).await;
        let begin = Instant::now();
        let running = outbox.start().await;
        outbox.streams().until(there + backlog).await;
        rates.push(backlog as f64 / begin.elapsed().as_secs_f64());
        outbox.stop(running).await;
    }
    rates.split_off(1)
}

async fn dead_tuples(url: &str) -> [i64; 2] {
    // Statistics are told once a second at most.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let row = session(url).await.query_one(DEAD, &[]).await.unwrap();
    [row.get(0), row.get(1)]
}

/// How long events take while a transaction with an id stays open.
async fn leave_open(arguments: &Arguments, ours: &Arc<Ours>, all: &mut Vec<Line>) {
    ours.clear().await;
    let running = ours.start().await;
    ours.fill(400).await;
    ours.streams.until(400).await;
    let watch = ours.streams.watch().await;
    let pace = Pace::Steady(200.0, arguments.long(4));
    let mut first = 400;
    let (mut before, mut beneath) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        before.push(percentile(&paced(ours, &watch, first, pace).await, 99));
        let open = session(&ours.url).await;
        open.batch_execute("begin; select pg_current_xact_id()").await.unwrap();
        beneath.push(percentile(&paced(ours, &watch, first + 100_000, pace).await, 99));
        open.batch_execute("rollback").await.unwrap();
        first += 200_000;
    }
    ours.stop(running).await;
    let line = figures::line("commit to sink, p99", &beneath, &before, millis, Some(Goal::AtMost(1.2)));
    figures::print(vec![line], all);
}
