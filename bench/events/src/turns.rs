//! What the consumers of other tenants notice of one that publishes ten thousand events at a time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
use crate::outbox::{KEYS, Outbox, PAYLOAD, TOGETHER};
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
    /// Whether one of a thousand can't be consumed.
    is_poisoned: Arc<AtomicBool>,
}

impl FromDelivery<Consumed> for Consumed {
    fn from_delivery(_: &Context, state: &Consumed) -> Self {
        state.clone()
    }
}

async fn consume(tx: &mut TenantTx, happened: Received<Happened>, consumed: Consumed) -> Result<(), Failure> {
    if consumed.is_poisoned(happened.n) {
        return Err(Failure::new("poison"));
    }
    sleep(TAKES).await;
    tx.execute(&EFFECT, (happened.n.cast_signed(),)).await?;
    if happened.n < FLOODED {
        consumed.at().insert(happened.n, Instant::now());
    }
    consumed.events.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// One event of so many is poison, where there is any, each time of the next key.
const ONE_OF: u64 = KEYS + 1;

/// Events a second beside poison: some of them in each round are poison.
const BESIDE_POISON: f64 = 500.0;

/// A database with a relay and its consumers.
struct Side {
    ours: Arc<Ours>,
    consumed: Consumed,
    relay: Relay,
}

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers, all: &mut Vec<Line>) {
    let (flood, long) = (arguments.many(FLOOD), arguments.long(6));
    println!(
        "\none tenant publishes {flood} events every {EVERY:?}, with consumers that take {TAKES:?} for an event and write a row; from the commit to the end of the consumer for the others"
    );
    println!("  elsewhere: the flood has a database of its own on the same server, and consumers of its own");
    bench_report::comparisons_head();
    let (side, elsewhere) = (Side::start(servers, 1).await, Side::start(servers, 2).await);
    let (mut alone, mut apart, mut beside, mut rates) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..arguments.rounds as u64 {
        let first = 1_000 + round * 15_000;
        alone.push(side.others(first, long).await);
        apart.push(flooded(&side, &elsewhere, first + 5_000, (flood, long)).await.0);
        let (latencies, rate) = flooded(&side, &side, first + 10_000, (flood, long)).await;
        beside.push(latencies);
        rates.push(rate);
    }
    side.relay.stop().await;
    elsewhere.relay.stop().await;
    println!("  consumed beside a flood: {}", figures::rate(percentile(&rates, 50)));
    let of = |rounds: &[Vec<f64>], percent| -> Vec<f64> {
        rounds.iter().map(|round| percentile(round, percent)).collect()
    };
    let line = |what, one: &[Vec<f64>], other: &[Vec<f64>], percent, goal| {
        let name = format!("commit to consumed, p{percent}, {what}");
        figures::line(name, &of(one, percent), &of(other, percent), millis, goal)
    };
    let lines = vec![
        line("beside a flood / without", &beside, &alone, 50, None),
        line("beside a flood / without", &beside, &alone, 99, Some(Goal::AtMost(2.0))),
        line("a flood elsewhere / without", &apart, &alone, 99, None),
        line("beside a flood / elsewhere", &beside, &apart, 99, None),
    ];
    figures::print(lines, all);
}

/// What other keys notice of events that no attempt can consume.
pub(crate) async fn compare_poison(arguments: &Arguments, servers: &Servers, all: &mut Vec<Line>) {
    let long = arguments.long(8);
    println!(
        "\n{BESIDE_POISON} events a second, with consumers that take {TAKES:?} for an event and write a row; one of {ONE_OF} fails, and is tried again"
    );
    bench_report::comparisons_head();
    let side = Side::start(servers, 1).await;
    let (mut without, mut beside) = (Vec::new(), Vec::new());
    for round in 0..arguments.rounds as u64 {
        let first = 1_000 + round * 20_000;
        without.push(percentile(&side.other_keys(first, long).await, 99));
        side.consumed.is_poisoned.store(true, Ordering::Relaxed);
        beside.push(percentile(&side.other_keys(first + 10_000, long).await, 99));
        side.consumed.is_poisoned.store(false, Ordering::Relaxed);
    }
    side.relay.stop().await;
    let name = "commit to consumed, p99 of other keys, beside poison / without".to_owned();
    figures::print(vec![figures::line(name, &beside, &without, millis, Some(Goal::AtMost(1.2)))], all);
}

/// The others of one side, while one tenant of that one or of another floods; and what was consumed in a second until all was.
async fn flooded(side: &Side, of: &Side, first: u64, (flood, long): (u64, Duration)) -> (Vec<f64>, f64) {
    let (begin, before) = (Instant::now(), of.consumed.events());
    let flooding = tokio::spawn(floods(of.ours.clone(), flood, begin + long));
    let latencies = side.others(first, long).await;
    let published = flooding.await.unwrap();
    let others = if std::ptr::eq(side, of) { latencies.len() as u64 } else { 0 };
    of.consumed.until(before + others + published).await;
    (latencies, (others + published) as f64 / begin.elapsed().as_secs_f64())
}

impl Side {
    async fn start(servers: &Servers, place: u32) -> Self {
        let ours = Arc::new(Ours::open(&servers.place(place).await).await);
        ours.clear().await;
        let (consumed, events) = (Consumed::default(), Events::new().handle("bench", consume));
        let relay =
            Relay::start(ours.db.clone(), consumed.clone(), events, ours.config.clone()).await.unwrap();
        ours.fill(400).await;
        consumed.until(400).await;
        Self { ours, consumed, relay }
    }

    /// The others publish for so long. How long each event took, in milliseconds.
    async fn others(&self, first: u64, long: Duration) -> Vec<f64> {
        self.took(steady(&self.ours, first, RATE, long).await).await
    }

    /// The same beside what may be poison, and of the keys that have none.
    async fn other_keys(&self, first: u64, long: Duration) -> Vec<f64> {
        let mut committed = steady(&self.ours, first, BESIDE_POISON, long).await;
        let last = committed.iter().map(|(n, _)| *n).max().unwrap_or_default();
        committed.retain(|(n, _)| n % KEYS > last / ONE_OF);
        self.took(committed).await
    }

    async fn took(&self, committed: Vec<(u64, Instant)>) -> Vec<f64> {
        while committed.iter().any(|(n, _)| !self.consumed.at().contains_key(n)) {
            sleep(Duration::from_millis(5)).await;
        }
        let at = self.consumed.at();
        let took = |(n, committed): &(u64, Instant)| in_millis(at[n].saturating_duration_since(*committed));
        committed.iter().map(took).collect()
    }
}

impl Consumed {
    fn is_poisoned(&self, n: u64) -> bool {
        n.is_multiple_of(ONE_OF) && self.is_poisoned.load(Ordering::Relaxed)
    }

    async fn until(&self, events: u64) {
        while self.events() < events {
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    fn at(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
