//! What the other tenants notice, at a sink, of one that publishes ten thousand events at a time.

use std::sync::Arc;
use std::time::Duration;

use bench_report::{Goal, Line};
use shared_core::{AssumedTenant, TenantId};
use shared_db::TenantTx;
use shared_events::{Error, Publish as _};
use tokio::time::{interval, sleep};

use crate::arguments::Arguments;
use crate::figures::{self, millis, percentile};
use crate::latency::{Pace, paced};
use crate::ours::{Happened, Ours};
use crate::outbox::{Outbox, PAYLOAD, TOGETHER};
use crate::servers::Servers;

/// Events of a flood, and how often one comes.
pub(crate) const FLOOD: u64 = 10_000;
pub(crate) const EVERY: Duration = Duration::from_secs(2);
/// Events a second of the others.
pub(crate) const RATE: f64 = 100.0;

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers, all: &mut Vec<Line>) {
    let ours = Arc::new(Ours::open(&servers.place(1).await).await);
    let flood = arguments.many(FLOOD);
    println!(
        "\none tenant publishes {flood} events every {EVERY:?}; from the commit to the sink for the others"
    );
    bench_report::comparisons_head();
    ours.clear().await;
    let running = ours.start().await;
    ours.fill(400).await;
    ours.streams.until(400).await;
    let watch = ours.streams.watch().await;
    let pace = Pace::Steady(RATE, arguments.long(6));
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 0..arguments.rounds as u64 {
        let first = 1_000 + round * 10_000;
        alone.push(paced(&ours, &watch, first, pace).await);
        let flooding = tokio::spawn(floods(ours.clone(), flood));
        beside.push(paced(&ours, &watch, first + 5_000, pace).await);
        flooding.abort();
        drop(flooding.await);
        // What is left of the flood goes by before the next round.
        sleep(EVERY).await;
    }
    ours.stop(running).await;
    let of = |rounds: &[Vec<f64>], percent| -> Vec<f64> {
        rounds.iter().map(|round| percentile(round, percent)).collect()
    };
    let lines = vec![
        figures::line(
            "commit to sink, p50, beside a flood / without",
            &of(&beside, 50),
            &of(&alone, 50),
            millis,
            None,
        ),
        figures::line(
            "commit to sink, p99, beside a flood / without",
            &of(&beside, 99),
            &of(&alone, 99),
            millis,
            Some(Goal::AtMost(2.0)),
        ),
    ];
    figures::print(lines, all);
}

/// One after the other, by a tenant of its own, until it is aborted.
async fn floods(ours: Arc<Ours>, events: u64) {
    let tenant = AssumedTenant::new(TenantId::new(), "a benchmark has no token");
    let mut beat = interval(EVERY);
    loop {
        beat.tick().await;
        for first in (0..events).step_by(TOGETHER) {
            let door = ours.db.tenant(&tenant);
            let published = door.tx(async |tx: &mut TenantTx| -> Result<(), Error> {
                for n in first..events.min(first + TOGETHER as u64) {
                    tx.publish(Happened::new(FLOODED + n, PAYLOAD)).await?;
                }
                Ok(())
            });
            published.await.unwrap();
        }
    }
}

/// Numbers that no other event has.
pub(crate) const FLOODED: u64 = 1_000_000_000;
