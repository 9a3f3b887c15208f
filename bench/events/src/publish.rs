//! What publishing costs the transaction that publishes.

use std::time::{Duration, Instant};

use bench_report::{Goal, Line};
use shared_core::{AssumedTenant, TenantId};
use shared_db::{Config, Db, TenantTx};
use shared_devkit::Proxy;
use shared_events::{Error, Publish as _};
use tokio::task::JoinSet;

use crate::arguments::Arguments;
use crate::figures::{self, micros, rate};
use crate::ours::{Happened, INSERT, Ours};
use crate::outbox::PAYLOAD;
use crate::servers::Servers;

/// Callers that keep two cores busy.
const MANY: usize = 16;

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers, all: &mut Vec<Line>) {
    let place = servers.place(1).await;
    let ours = Ours::open(&place).await;
    assert_no_trips(&ours.url).await;
    println!(
        "\nevents of {PAYLOAD} bytes published in a tenant's transaction that writes a row / the transaction without"
    );
    bench_report::comparisons_head();
    for (events, goal) in [(1, Some(Goal::AtMost(1.10))), (10, Some(Goal::AtMost(1.25)))] {
        let times = arguments.many(500) as usize;
        let (mut with, mut without) = (Vec::new(), Vec::new());
        let (mut many_with, mut many_without) = (Vec::new(), Vec::new());
        for _ in 0..=arguments.rounds * 2 {
            with.push(alone(&ours.db, times, events).await);
            without.push(alone(&ours.db, times, 0).await);
            many_with.push(together(&ours.db, times, events).await);
            many_without.push(together(&ours.db, times, 0).await);
        }
        // The first round has warmed everything up.
        let warm = |rounds: &[f64]| rounds[1..].to_vec();
        let throughput = (events == 1).then_some(Goal::AtLeast(0.90));
        let lines = vec![
            figures::line(
                format!("{events} events, one caller, p50"),
                &warm(&with),
                &warm(&without),
                micros,
                goal,
            ),
            figures::line(
                format!("{events} events, {MANY} callers, transactions a second"),
                &warm(&many_with),
                &warm(&many_without),
                rate,
                throughput,
            ),
        ];
        figures::print(lines, all);
    }
}

/// Begin and commit are two trips, with whatever number of events.
async fn assert_no_trips(url: &str) {
    let proxy = Proxy::to(url).await.unwrap();
    let db = Db::connect(&Config { pool_size: 1, ..Config::new(proxy.url(url)) }).await.unwrap();
    // Longer than a busy machine needs to send what waits for no answer.
    proxy.to_client().delay(Duration::from_millis(40));
    transaction(&db, 1).await;
    let mut trips = Vec::new();
    for events in [0, 1, 10] {
        trips.push(proxy.round_trips(transaction(&db, events)).await);
    }
    assert_eq!(trips, [trips[0]; 3], "publishing takes round trips");
    println!("\nround trips of a transaction with 0, 1 and 10 events: {trips:?}");
}

async fn transaction(db: &Db, events: u64) {
    let tenant = AssumedTenant::new(TenantId::new(), "a benchmark has no token");
    transaction_of(db, &tenant, events).await;
}

async fn transaction_of(db: &Db, tenant: &AssumedTenant, events: u64) {
    let door = db.tenant(tenant);
    let written = door.tx(async |tx: &mut TenantTx| -> Result<(), Error> {
        tx.execute(&INSERT, ("the body of a note",)).await?;
        for n in 0..events {
            tx.publish(Happened::new(n, PAYLOAD)).await?;
        }
        Ok(())
    });
    written.await.unwrap();
}

/// The median of one caller's transactions, in microseconds.
async fn alone(db: &Db, times: usize, events: u64) -> f64 {
    let tenant = AssumedTenant::new(TenantId::new(), "a benchmark has no token");
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let begin = Instant::now();
        transaction_of(db, &tenant, events).await;
        took.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    figures::percentile(&took, 50)
}

/// Transactions a second of many callers.
async fn together(db: &Db, times: usize, events: u64) -> f64 {
    let begin = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..MANY {
        let db = db.clone();
        callers.spawn(async move {
            let tenant = AssumedTenant::new(TenantId::new(), "a benchmark has no token");
            for _ in 0..times / 4 {
                transaction_of(&db, &tenant, events).await;
            }
        });
    }
    callers.join_all().await;
    (MANY * (times / 4)) as f64 / begin.elapsed().as_secs_f64()
}
