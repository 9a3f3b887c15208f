//! What the consumers of other tenants notice of one that publishes ten thousand events at a time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bench_report::{Goal, Line};
use shared_core::{AssumedTenant, Context, Failure, TenantId};
use shared_db::{TenantTx, statements};
use shared_events::{Error, Events, FromDelivery, Publish as _, Received, Relay};
use tokio::time::{interval, sleep};

use crate::arguments::Arguments;
use crate::figures::{self, in_millis, millis, percentile};
use crate::flood::{EVERY, FLOOD, FLOODED, RATE};
use crate::latency::steady;
use crate::ours::{Happened, Ours};
use crate::outbox::{Outbox, PAYLOAD, TOGETHER};
use crate::servers::Servers;

/// What a consumer takes for an event, besides the row that it writes.
const TAKES: Duration = Duration::from_millis(1);

statements! {
    const EFFECT: Statement<(i64,), ()> = "insert into bench.effect (tenant_id, n) values ($tenant, $1)";
}

/// When each of the others' events was consumed, and how many were in all.
#[derive(Clone, Default)]
struct Consumed {
    at: Arc<Mutex<HashMap<u64, Instant>>>,
    events: Arc<AtomicU64>,
}

impl FromDelivery<Consumed> for Consumed {
    fn from_delivery(_: &Context, state: &Consumed) -> Self {
        state.clone()
    }
}

async fn consume(tx: &mut TenantTx, happened: Received<Happened>, consumed: Consumed) -> Result<(), Failure> {
    sleep(TAKES).await;
    tx.execute(&EFFECT, (happened.n.cast_signed(),)).await?;
    if happened.n < FLOODED {
        consumed.at.lock().unwrap_or_else(PoisonError::into_inner).insert(happened.n, Instant::now());
    }
    consumed.events.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers, all: &mut Vec<Line>) {
    let ours = Arc::new(Ours::open(&servers.place(1).await).await);
    let flood = arguments.many(FLOOD);
    println!(
        "\nthe same with consumers that take {TAKES:?} for an event and write a row; from the commit to the end of the consumer for the others"
    );
    bench_report::comparisons_head();
    ours.clear().await;
    let (consumed, events) = (Consumed::default(), Events::new().handle("bench", consume));
    let relay = Relay::start(ours.db.clone(), consumed.clone(), events, ours.config.clone()).await.unwrap();
    ours.fill(400).await;
    consumed.until(400).await;
    let (mut published, long) = (400, arguments.long(6));
    let (mut alone, mut beside, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..arguments.rounds as u64 {
        let first = 1_000 + round * 10_000;
        let (latencies, others) = others(&ours, &consumed, first, long).await;
        published += others;
        alone.push(latencies);
        let begin = Instant::now();
        let flooding = tokio::spawn(floods(ours.clone(), flood, begin + long));
        let (latencies, others) = self::others(&ours, &consumed, first + 5_000, long).await;
        let flooded = flooding.await.unwrap();
        published += others + flooded;
        beside.push(latencies);
        consumed.until(published).await;
        rates.push((others + flooded) as f64 / begin.elapsed().as_secs_f64());
    }
    relay.stop().await;
    println!("  consumed beside a flood: {}", figures::rate(percentile(&rates, 50)));
    let of = |rounds: &[Vec<f64>], percent| -> Vec<f64> {
        rounds.iter().map(|round| percentile(round, percent)).collect()
    };
    let line = |percent, goal| {
        let name = format!("commit to consumed, p{percent}, beside a flood / without");
        figures::line(name, &of(&beside, percent), &of(&alone, percent), millis, goal)
    };
    figures::print(vec![line(50, None), line(99, Some(Goal::AtMost(2.0)))], all);
}

impl Consumed {
    async fn until(&self, events: u64) {
        while self.events.load(Ordering::Relaxed) < events {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The others publish for so long. How long each event took, in milliseconds, and how many they were.
async fn others(ours: &Arc<Ours>, consumed: &Consumed, first: u64, long: Duration) -> (Vec<f64>, u64) {
    let committed = steady(ours, first, RATE, long).await;
    let is_there = |n: &u64| consumed.at.lock().unwrap_or_else(PoisonError::into_inner).contains_key(n);
    while committed.iter().any(|(n, _)| !is_there(n)) {
        sleep(Duration::from_millis(5)).await;
    }
    let at = consumed.at.lock().unwrap_or_else(PoisonError::into_inner);
    let took = |(n, committed): &(u64, Instant)| in_millis(at[n].saturating_duration_since(*committed));
    (committed.iter().map(took).collect(), committed.len() as u64)
}

/// One flood after the other, by a tenant of its own, as long as none would begin too late. How many events they were.
async fn floods(ours: Arc<Ours>, events: u64, until: Instant) -> u64 {
    let tenant = AssumedTenant::new(TenantId::new(), "a benchmark has no token");
    let (mut beat, mut published) = (interval(EVERY), 0);
    loop {
        beat.tick().await;
        if Instant::now() >= until {
            return published;
        }
        for first in (0..events).step_by(TOGETHER) {
            let door = ours.db.tenant(&tenant);
            let last = events.min(first + TOGETHER as u64);
            let publishing = door.tx(async |tx: &mut TenantTx| -> Result<(), Error> {
                for n in first..last {
                    tx.publish(Happened::new(FLOODED + n, PAYLOAD)).await?;
                }
                Ok(())
            });
            publishing.await.unwrap();
            published += last - first;
        }
    }
}
