//! What publishing costs the transaction that publishes.

use std::time::{Duration, Instant};

use bench_report::{Goal, Line};
use shared_core::{AssumedTenant, InTenant as _, TenantId};
use shared_db::{Config, Db, TenantTx, statements};
use shared_devkit::Proxy;
use shared_events::{Error, Publish as _};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::arguments::Arguments;
use crate::figures::{self, micros, rate};
use crate::ours::{Happened, INSERT, Ours};
use crate::outbox::PAYLOAD;
use crate::servers::Servers;

/// Callers that keep two cores busy.
const MANY: usize = 16;

statements! {
    /// What one writes by hand, with the columns of ours.
    const BY_HAND: Statement<(Uuid, String, String, String), ()> = "
        insert into bench.outbox (id, tenant_id, name, version, key, payload, context)
        values ($1, $tenant, 'bench.happened', 1, $2::text, $3::text::json, $4::text::json)";
}

/// What a transaction does beside its row.
#[derive(Clone, Copy)]
enum Beside {
    Nothing,
    Events(u64),
    /// A row of an outbox by hand, with a statement of its own.
    ByHand,
}

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers, all: &mut Vec<Line>) {
    let place = servers.place(1).await;
    let ours = Ours::open(&place).await;
    assert_no_trips(&ours.url).await;
    println!(
        "\nevents of {PAYLOAD} bytes published in a tenant's transaction that writes a row / another one"
    );
    bench_report::comparisons_head();
    let goals = |one, many| (Some(Goal::AtMost(one)), many);
    for (name, events, peer, (alone_goal, together_goal)) in [
        ("1 event / none", 1, Beside::Nothing, goals(1.10, Some(Goal::AtLeast(0.90)))),
        ("10 events / none", 10, Beside::Nothing, goals(1.25, None)),
        ("1 event / a row of an outbox by hand", 1, Beside::ByHand, (None, None)),
    ] {
        let times = arguments.many(500) as usize;
        let sides = [Beside::Events(events), peer];
        let (mut caller, mut callers) = ([vec![], vec![]], [vec![], vec![]]);
        for _ in 0..=arguments.rounds * 2 {
            for (at, side) in sides.into_iter().enumerate() {
                caller[at].push(alone(&ours.db, times, side).await);
            }
            for (at, side) in sides.into_iter().enumerate() {
                callers[at].push(together(&ours.db, times, side).await);
            }
        }
        // The first round has warmed everything up.
        let [with, without] = caller.map(|rounds: Vec<f64>| rounds[1..].to_vec());
        let [many_with, many_without] = callers.map(|rounds: Vec<f64>| rounds[1..].to_vec());
        let lines = vec![
            figures::line(format!("{name}, one caller, p50"), &with, &without, micros, alone_goal),
            figures::line(
                format!("{name}, {MANY} callers, transactions a second"),
                &many_with,
                &many_without,
                rate,
                together_goal,
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
    let sides = [Beside::Nothing, Beside::Events(1), Beside::Events(10)];
    // A statement is prepared where it is first needed.
    for beside in sides {
        transaction(&db, beside).await;
    }
    let mut trips = Vec::new();
    for beside in sides {
        trips.push(proxy.round_trips(transaction(&db, beside)).await);
    }
    assert_eq!(trips, [trips[0]; 3], "publishing takes round trips");
    println!("\nround trips of a transaction with 0, 1 and 10 events: {trips:?}");
}

async fn transaction(db: &Db, beside: Beside) {
    let tenant = AssumedTenant::new(TenantId::new(), "a benchmark has no token");
    transaction_of(db, &tenant, beside).await;
}

async fn transaction_of(db: &Db, tenant: &AssumedTenant, beside: Beside) {
    let door = db.tenant(tenant);
    let written = door.tx(async |tx: &mut TenantTx| -> Result<(), Error> {
        tx.execute(&INSERT, ("the body of a note",)).await?;
        match beside {
            Beside::Nothing => {}
            Beside::Events(events) => {
                for n in 0..events {
                    tx.publish(Happened::new(n, PAYLOAD)).await?;
                }
            }
            Beside::ByHand => {
                let event = Happened::new(0, PAYLOAD);
                let text = |json: Result<String, serde_json::Error>| json.unwrap();
                let context = text(serde_json::to_string(tx.context()));
                let payload = text(serde_json::to_string(&event));
                tx.execute(&BY_HAND, (Uuid::now_v7(), event.key, payload, context)).await?;
            }
        }
        Ok(())
    });
    written.await.unwrap();
}

/// The median of one caller's transactions, in microseconds.
async fn alone(db: &Db, times: usize, beside: Beside) -> f64 {
    let tenant = AssumedTenant::new(TenantId::new(), "a benchmark has no token");
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let begin = Instant::now();
        transaction_of(db, &tenant, beside).await;
        took.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    figures::percentile(&took, 50)
}

/// Transactions a second of many callers.
async fn together(db: &Db, times: usize, beside: Beside) -> f64 {
    let begin = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..MANY {
        let db = db.clone();
        callers.spawn(async move {
            let tenant = AssumedTenant::new(TenantId::new(), "a benchmark has no token");
            for _ in 0..times / 4 {
                transaction_of(&db, &tenant, beside).await;
            }
        });
    }
    callers.join_all().await;
    (MANY * (times / 4)) as f64 / begin.elapsed().as_secs_f64()
}
