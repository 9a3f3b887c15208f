//! A job enqueued inside a tenant's transaction, beside the same transaction without.

use std::time::{Duration, Instant};

use shared_core::{AssumedTenant, TenantId};
use shared_db::{Config, Db, MigrationSet, Step, TenantTx, bootstrap, statements};
use shared_devkit::load::Comparison;
use shared_queues::{Enqueue, Error, MIGRATIONS};
use tokio::task::JoinSet;

use crate::arguments::Arguments;
use crate::goals::Goal;
use crate::ours::Nothing;
use crate::report::{Line, head};
use crate::servers::Servers;

const TABLES: MigrationSet = MigrationSet::new(
    "bench",
    &[Step::sql(
        1,
        "tables",
        "create table bench.note (tenant_id uuid not null, id bigint generated always as identity, body text not null,
             primary key (tenant_id, id));
         select shared_db.tenant_table('bench.note');",
    )],
)
.requires(&["shared_db"]);

statements! {
    const INSERT: Statement<(String,), ()> = "insert into bench.note (tenant_id, body) values ($tenant, $1)";
}

/// Callers that keep two cores busy.
const MANY: usize = 16;

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers) -> Vec<Line> {
    let database = servers.database().await;
    let config = Config { pool_size: MANY as u32, ..Config::new(database.url()) };
    bootstrap(&config, &[MIGRATIONS, TABLES]).await.unwrap();
    let db = Db::connect(&config).await.unwrap();
    let (times, rounds) = if arguments.quick { (20, 3) } else { (500, 15) };
    println!("\na job enqueued inside a transaction / the transaction without");
    head();
    let mut lines = Vec::new();
    for (name, callers, goal) in [
        ("with a job / without: a tenant's transaction, p50", 1, 1.15),
        ("with a job / without: 16 transactions at once, time for each", MANY, 1.25),
    ] {
        let measured = Comparison::new(name, 1)
            .rounds(rounds)
            .run(
                async || round(&db, callers, times, true).await,
                async || round(&db, callers, times, false).await,
            )
            .await;
        let time = |seconds| format!("{:.1?}", Duration::from_secs_f64(seconds));
        let ratio = &measured.ratio;
        let line = Line {
            name: name.to_owned(),
            ours: time(measured.a.median()),
            peer: time(measured.b.median()),
            ratios: vec![ratio.min(), ratio.median(), ratio.max()],
            goal: Some(Goal::AtMost(goal)),
        };
        println!("{line}");
        lines.push(line);
    }
    lines
}

/// The median of a single caller's transactions; of many callers the time that each transaction took of the whole.
async fn round(db: &Db, callers: usize, times: usize, enqueues: bool) -> Duration {
    let begin = Instant::now();
    let mut all = JoinSet::new();
    for _ in 0..callers {
        let db = db.clone();
        all.spawn(async move { alone(&db, times, enqueues).await });
    }
    let medians = all.join_all().await;
    match medians.as_slice() {
        [median] => *median,
        _ => begin.elapsed().div_f64((callers * times) as f64),
    }
}

async fn alone(db: &Db, times: usize, enqueues: bool) -> Duration {
    let tenant = AssumedTenant::new(TenantId::new(), "a benchmark has no token");
    let door = db.tenant(&tenant);
    let mut took = Vec::with_capacity(times);
    for at in 0..times as u64 {
        let begin = Instant::now();
        let written = door.tx(async |tx: &mut TenantTx| -> Result<(), Error> {
            tx.execute(&INSERT, ("the body of a note",)).await?;
            if enqueues {
                tx.enqueue(Nothing { at, text: "x".repeat(80) }).await?;
            }
            Ok(())
        });
        written.await.unwrap();
        took.push(begin.elapsed());
    }
    took.sort_unstable();
    took[took.len() / 2]
}
