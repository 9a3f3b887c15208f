//! From the commit until the event is in Redis, where a blocking reader sees it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bench_report::{Goal, Line};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::arguments::Arguments;
use crate::by_hand::{NAIVE_POLL, Naive, TUNED_POLL, Tuned};
use crate::figures::{self, in_millis, millis, percentile, rate};
use crate::ours::Ours;
use crate::outbox::Outbox;
use crate::servers::Servers;
use crate::streams::Watch;

/// Events before the first that counts: every lane has its stream then.
const WARM_UP: u64 = 400;
/// What comes later than this is lost.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers, all: &mut Vec<Line>) {
    let places = [servers.place(1).await, servers.place(2).await, servers.place(3).await];
    let ours = Arc::new(Ours::open(&places[0]).await);
    let (naive, tuned) = (Arc::new(Naive::open(&places[1]).await), Arc::new(Tuned::open(&places[2]).await));
    println!(
        "\nfrom the commit to the sink; the naive relay polls every {NAIVE_POLL:?}, the tuned one every {TUNED_POLL:?}"
    );
    let mut idle: [Vec<Vec<f64>>; 3] = Default::default();
    let (mut loaded, mut capacities) = (Vec::new(), Vec::new());
    let pace = Pace::Calm(arguments.many(200));
    for _ in 0..arguments.rounds {
        idle[0].push(round(&ours, pace).await);
        idle[1].push(round(&naive, Pace::Calm(arguments.many(60))).await);
        idle[2].push(round(&tuned, pace).await);
        let capacity = capacity(&ours, arguments.long(2)).await;
        capacities.push(capacity);
        loaded.push(round(&ours, Pace::Steady(capacity * 0.3, arguments.long(4))).await);
    }
    let of = |rounds: &[Vec<f64>], percent| -> Vec<f64> {
        rounds.iter().map(|round| percentile(round, percent)).collect()
    };
    println!(
        "  publishing alone, 8 callers: {} transactions, of which 30 % are the load",
        rate(percentile(&capacities, 50))
    );
    bench_report::comparisons_head();
    let [ours, naive, tuned] = idle;
    let lines = vec![
        figures::against("idle, p50 / 10 ms", &of(&ours, 50), 10.0, millis),
        figures::against("idle, p99 / 25 ms", &of(&ours, 99), 25.0, millis),
        figures::against("30 % load, p50 / 10 ms", &of(&loaded, 50), 10.0, millis),
        figures::against("30 % load, p99 / 25 ms", &of(&loaded, 99), 25.0, millis),
        figures::line(
            "idle, p50 / naive relay",
            &of(&ours, 50),
            &of(&naive, 50),
            millis,
            Some(Goal::AtMost(0.02)),
        ),
        figures::line("idle, p50 / tuned SKIP LOCKED relay", &of(&ours, 50), &of(&tuned, 50), millis, None),
    ];
    figures::print(lines, all);
}

/// How events come.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// So many, one after the other, with a pause between.
    Calm(u64),
    /// So many a second, for so long.
    Steady(f64, Duration),
}

/// Milliseconds of each event.
async fn round<O: Outbox>(outbox: &Arc<O>, pace: Pace) -> Vec<f64> {
    outbox.clear().await;
    let running = outbox.start().await;
    outbox.fill(WARM_UP).await;
    outbox.streams().until(WARM_UP).await;
    let watch = outbox.streams().watch().await;
    let latencies = paced(outbox, &watch, WARM_UP, pace).await;
    outbox.stop(running).await;
    latencies
}

/// Publishes at this pace, from this number on; the milliseconds of each.
pub(crate) async fn paced<O: Outbox>(outbox: &Arc<O>, watch: &Watch, first: u64, pace: Pace) -> Vec<f64> {
    let committed = match pace {
        Pace::Calm(events) => {
            let mut committed = Vec::new();
            for n in first..first + events {
                // Not in step with anything that polls.
                sleep(Duration::from_millis(5 + n * 7 % 31)).await;
                outbox.publish(n).await;
                committed.push((n, Instant::now()));
            }
            committed
        }
        Pace::Steady(rate, time) => steady(outbox, first, rate, time).await,
    };
    let end = Instant::now() + PATIENCE;
    while committed.iter().any(|(n, _)| !watch.has(*n)) && Instant::now() < end {
        sleep(Duration::from_millis(5)).await;
    }
    let seen = watch.seen();
    let took = |(n, at): &(u64, Instant)| {
        seen.get(n).map_or(f64::INFINITY, |seen| in_millis(seen[0].1.saturating_duration_since(*at)))
    };
    committed.iter().map(took).collect()
}

/// Publishes on time, whether or not the transactions before have committed. When each has.
pub(crate) async fn steady<O: Outbox>(
    outbox: &Arc<O>,
    first: u64,
    rate: f64,
    time: Duration,
) -> Vec<(u64, Instant)> {
    let mut beat = interval(Duration::from_secs_f64(1.0 / rate));
    let mut calls = JoinSet::new();
    let mut committed = Vec::new();
    let events = (rate * time.as_secs_f64()) as u64;
    for n in first..first + events {
        beat.tick().await;
        let outbox = outbox.clone();
        calls.spawn(async move {
            outbox.publish(n).await;
            (n, Instant::now())
        });
        while let Some(done) = calls.try_join_next() {
            committed.push(done.unwrap());
        }
    }
    committed.extend(calls.join_all().await);
    committed
}

/// Transactions a second that publish, while a relay works.
async fn capacity(ours: &Arc<Ours>, time: Duration) -> f64 {
    ours.clear().await;
    let running = ours.start().await;
    let begin = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let ours = ours.clone();
        callers.spawn(async move {
            let mut done = 0;
            while begin.elapsed() < time {
                ours.publish(done * 8 + caller).await;
                done += 1;
            }
            done
        });
    }
    let done: u64 = callers.join_all().await.into_iter().sum();
    let rate = done as f64 / begin.elapsed().as_secs_f64();
    ours.stop(running).await;
    rate
}
