//! Consumers whose effect happens once: by a position for each consumer, tenant and lane, beside a row for each message, as most write it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bench_report::{Goal, Line};
use shared_core::{Failure, Id};
use shared_db::{Db, TenantTx, statements};
use shared_events::{Events, Received, Relay};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::arguments::Arguments;
use crate::figures::{self, bytes, rate};
use crate::ours::{Happened, Ours};
use crate::outbox::Outbox;
use crate::servers::{Servers, session};

const EVENTS: u64 = 20_000;
const FEW: u64 = 4_000;
/// Messages at once, each with a connection, as ours has by default.
const AT_ONCE: u64 = 8;
/// Messages in a transaction, as ours has by default.
const BATCH: u64 = 100;

statements! {
    const EFFECT: Statement<(i64,), ()> = "insert into bench.effect (tenant_id, n) values ($tenant, $1)";
    const MARK: Statement<(Id<Happened>,), ()> = "
        insert into bench.inbox (tenant_id, consumer, event_id) values ($tenant, 'bench', $1) on conflict do nothing";
}

/// Handlers that were called.
static CALLED: AtomicU64 = AtomicU64::new(0);

async fn consume(tx: &mut TenantTx, happened: Received<Happened>) -> Result<(), Failure> {
    tx.execute(&EFFECT, (happened.n.cast_signed(),)).await?;
    CALLED.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers, all: &mut Vec<Line>) {
    let ours = Ours::open(&servers.place(1).await).await;
    println!(
        "\nconsumers that write a row for each event: ours from the log; the others know the events, and read no log"
    );
    bench_report::comparisons_head();
    let (events, few) = (arguments.many(EVENTS), arguments.many(FEW));
    let (mut position, mut single, mut batched) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..=arguments.rounds {
        ours.clear().await;
        position.push(by_position(&ours, events).await);
        single.push(by_message(&ours, few, 1).await);
        batched.push(by_message(&ours, events, BATCH).await);
    }
    let three = Some(Goal::AtLeast(3.0));
    let lines = vec![
        figures::line(
            "position / a row and a transaction for each message",
            &position[1..],
            &single[1..],
            rate,
            three,
        ),
        figures::line(
            format!("position / a row for each message, {BATCH} in a transaction"),
            &position[1..],
            &batched[1..],
            rate,
            None,
        ),
    ];
    figures::print(lines, all);
    grow(&ours, events, all).await;
}

/// Events a second, from the start of the relay until all effects are there.
async fn by_position(ours: &Ours, events: u64) -> f64 {
    let there = effects(ours).await;
    ours.fill(events).await;
    CALLED.store(0, Ordering::Relaxed);
    let begin = Instant::now();
    let consumers = Events::new().handle("bench", consume);
    let relay = Relay::start(ours.db.clone(), (), consumers, ours.config.clone()).await.unwrap();
    while CALLED.load(Ordering::Relaxed) < events || effects(ours).await < there + events {
        sleep(Duration::from_millis(1)).await;
    }
    let rate = events as f64 / begin.elapsed().as_secs_f64();
    relay.stop().await;
    rate
}

async fn effects(ours: &Ours) -> u64 {
    let count = session(&ours.url).await.query_one("select count(*) from bench.effect", &[]).await.unwrap();
    count.get::<_, i64>(0).unsigned_abs()
}

/// Messages a second, so many in a transaction.
async fn by_message(ours: &Ours, events: u64, batch: u64) -> f64 {
    let begin = Instant::now();
    let mut consumers = JoinSet::new();
    for consumer in 0..AT_ONCE {
        let (db, tenant) = (ours.db.clone(), ours.tenant(consumer).clone());
        let own: Vec<u64> = (consumer..events).step_by(AT_ONCE as usize).collect();
        consumers.spawn(async move {
            for chunk in own.chunks(batch as usize) {
                let door = Db::tenant(&db, &tenant);
                let consumed = door.tx(async |tx: &mut TenantTx| -> Result<(), shared_db::Error> {
                    for n in chunk {
                        if tx.execute(&MARK, (Id::new(),)).await? == 1 {
                            tx.execute(&EFFECT, (n.cast_signed(),)).await?;
                        }
                    }
                    Ok(())
                });
                consumed.await.unwrap();
            }
        });
    }
    consumers.join_all().await;
    events as f64 / begin.elapsed().as_secs_f64()
}

const SIZES: &str = "
    select pg_total_relation_size('shared_events.position')::float8, pg_total_relation_size('bench.inbox')::float8";

/// What the two tables hold after so many events, and after twice as many.
async fn grow(ours: &Ours, events: u64, all: &mut Vec<Line>) {
    ours.clear().await;
    let server = session(&ours.url).await;
    server.batch_execute("vacuum full shared_events.position").await.unwrap();
    let mut sizes = Vec::new();
    for _ in 0..2 {
        by_position(ours, events).await;
        by_message(ours, events, BATCH).await;
        server.batch_execute("vacuum shared_events.position").await.unwrap();
        let row = server.query_one(SIZES, &[]).await.unwrap();
        sizes.push([row.get::<_, f64>(0), row.get::<_, f64>(1)]);
    }
    let line = |name: &str, of: usize, goal| {
        figures::line(
            format!("{name}, {} / {events} events", events * 2),
            &[sizes[1][of]],
            &[sizes[0][of]],
            bytes,
            goal,
        )
    };
    let lines = vec![
        line("storage of the positions", 0, Some(Goal::AtMost(1.0))),
        line("storage of a row for each message", 1, None),
    ];
    figures::print(lines, all);
}
