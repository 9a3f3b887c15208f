//! A job enqueued inside a tenant's transaction, beside the same transaction without; and, for what the server alone takes for it, beside one
//! that writes the same two rows by hand.

use std::time::{Duration, Instant};

use bench_report::Goal;
use shared_core::{AssumedTenant, Context, Id, TenantId};
use shared_db::{AtCommit, Bound, Config, Db, MigrationSet, Step, TenantTx, bootstrap, statements};
use shared_devkit::load::Comparison;
use shared_queues::{Enqueue, Error, JobId, MIGRATIONS, Queues};
use tokio::task::JoinSet;

use crate::arguments::Arguments;
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
    const BY_HAND: Statement<(JobId, String, String), ()> = "
        with body as (
                 insert into shared_queues.body (job_id, position, tenant_id, queue, name, version, payload, context, band, due_at)
                 values ($1, 1, $tenant, 'default', 'bench:nothing', 1, $2, $3, 1, clock_timestamp()))
        insert into shared_queues.ready (queue, band, tenant_id, position, job_id)
        values ('default', 1, $tenant, nextval('shared_queues.job_order'), $1)";
}

/// What else the transaction does.
#[derive(Clone, Copy)]
enum Also {
    Nothing,
    /// Enqueues a job.
    Job,
    /// Sends the rows of a job with its COMMIT.
    Rows,
}

/// The rows of a job without the job: no name, no span, no context that is written anew.
#[derive(Default)]
struct Rows(Option<String>);

impl AtCommit for Rows {
    fn mark(&self) -> usize {
        usize::from(self.0.is_some())
    }

    fn rewind(&mut self, _: usize) {}

    fn statements(&self, context: &Context) -> Vec<Bound> {
        let context = serde_json::to_string(context).unwrap();
        self.0.iter().map(|payload| BY_HAND.bind((Id::new(), payload.clone(), context.clone()))).collect()
    }

    fn committed(&self, _: &Db) {}
}

/// Callers that keep two cores busy.
const MANY: usize = 16;

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers) -> Vec<Line> {
    let database = servers.database().await;
    let config = Config { pool_size: MANY as u32, ..Config::new(database.url()) };
    bootstrap(&config, &[MIGRATIONS, TABLES]).await.unwrap();
    let db = Db::connect(&config).await.unwrap();
    // As a program that enqueues has them.
    let _queues = Queues::postgres(&db);
    let (times, rounds) = if arguments.quick { (20, 3) } else { (500, 15) };
    println!("\na job enqueued inside a transaction / the transaction without");
    head();
    let mut lines = Vec::new();
    let (one, many) = ("a tenant's transaction, p50", "16 transactions at once, time for each");
    for (name, callers, also, goal) in [
        (format!("with a job / without: {one}"), 1, [Also::Job, Also::Nothing], Some(1.15)),
        (format!("with a job / without: {many}"), MANY, [Also::Job, Also::Nothing], Some(1.25)),
        (format!("with its rows by hand / without: {one}"), 1, [Also::Rows, Also::Nothing], None),
        (format!("with its rows by hand / without: {many}"), MANY, [Also::Rows, Also::Nothing], None),
    ] {
        let [ours, other] = also;
        let measured = Comparison::new(&name, 1)
            .rounds(rounds)
            .run(
                async || round(&db, callers, times, ours).await,
                async || round(&db, callers, times, other).await,
            )
            .await;
        let time = |seconds| format!("{:.1?}", Duration::from_secs_f64(seconds));
        let ratio = &measured.ratio;
        let line = Line {
            name,
            ours: time(measured.a.median()),
            peer: time(measured.b.median()),
            ratios: vec![ratio.min(), ratio.median(), ratio.max()],
            goal: goal.map(Goal::AtMost),
        };
        println!("{line}");
        lines.push(line);
    }
    lines
}

/// The median of a single caller's transactions; of many callers the time that each transaction took of the whole.
async fn round(db: &Db, callers: usize, times: usize, also: Also) -> Duration {
    let begin = Instant::now();
    let mut all = JoinSet::new();
    for _ in 0..callers {
        let db = db.clone();
        all.spawn(async move { alone(&db, times, also).await });
    }
    let medians = all.join_all().await;
    match medians.as_slice() {
        [median] => *median,
        _ => begin.elapsed().div_f64((callers * times) as f64),
    }
}

async fn alone(db: &Db, times: usize, also: Also) -> Duration {
    let tenant = AssumedTenant::new(TenantId::new(), "a benchmark has no token");
    let door = db.tenant(&tenant);
    let mut took = Vec::with_capacity(times);
    for at in 0..times as u64 {
        let begin = Instant::now();
        let written = door.tx(async |tx: &mut TenantTx| -> Result<(), Error> {
            tx.execute(&INSERT, ("the body of a note",)).await?;
            let job = || Nothing { at, text: "x".repeat(80) };
            match also {
                Also::Nothing => {}
                Also::Job => drop(tx.enqueue(job()).await?),
                Also::Rows => {
                    tx.at_commit::<Rows>().0 = Some(serde_json::to_string(&job()).unwrap());
                }
            }
            Ok(())
        });
        written.await.unwrap();
        took.push(begin.elapsed());
    }
    took.sort_unstable();
    took[took.len() / 2]
}
