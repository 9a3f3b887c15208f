//! How fast jobs that do nothing go in and out: `cargo run --release -p shared-queues --example drain [JOBS] [CONCURRENCY] [TENANTS]`.
//!
//! A server of its own with durable commits; a job counts once the server says that it is completed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use shared_core::{AssumedTenant, Failure, TenantId};
use shared_db::{Db, bootstrap};
use shared_devkit::Postgres;
use shared_queues::{Config, Enqueue, Error, Job, Jobs, MIGRATIONS, Queues, Worker};
use validator::Validate;

#[derive(Serialize, Deserialize, Validate, Job)]
#[job(name = "bench:nothing")]
struct Nothing {
    text: String,
}

fn nothing() -> Nothing {
    Nothing { text: "x".repeat(80) }
}

async fn done(_: Nothing) -> Result<(), Failure> {
    Ok(())
}

/// Callers that enqueue at once, job by job.
const CALLERS: usize = 50;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the result is some lines of text")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let jobs: usize = arguments.next().map_or(Ok(50_000), |text| text.parse())?;
    let concurrency: u32 = arguments.next().map_or(Ok(16), |text| text.parse())?;
    let tenants: usize = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let server = Postgres::exclusive().await?;
    let database = server.empty_database().await?;
    let config = shared_db::Config::new(database.url());
    bootstrap(&config, &[MIGRATIONS]).await?;
    let db = Db::connect(&config).await?;
    let tenants: Vec<_> =
        (0..tenants.max(1)).map(|_| AssumedTenant::new(TenantId::new(), "a benchmark")).collect();
    let queues = Queues::postgres(&db);
    let rate = |start: Instant, jobs: usize| jobs as f64 / start.elapsed().as_secs_f64();

    let (start, singles, begun) = (Instant::now(), jobs / 5, AtomicUsize::new(0));
    let single = async |caller: usize| -> Result<(), Error> {
        let producer = queues.tenant(&tenants[caller % tenants.len()]);
        while begun.fetch_add(1, Ordering::Relaxed) < singles {
            producer.enqueue(nothing()).await?;
        }
        Ok(())
    };
    join_all((0..CALLERS).map(single)).await.into_iter().collect::<Result<(), _>>()?;
    println!("enqueued {:.0} jobs/s, one by one by {CALLERS} callers", rate(start, singles));

    let start = Instant::now();
    let transactions = (jobs - singles).div_ceil(1000);
    for done in 0..transactions {
        let enqueue = async |tx: &mut shared_db::TenantTx| -> Result<(), Error> {
            for _ in 0..(jobs - singles - done * 1000).min(1000) {
                tx.enqueue(nothing()).await?;
            }
            Ok(())
        };
        db.tenant(&tenants[done % tenants.len()]).tx(enqueue).await?;
    }
    println!("enqueued {:.0} jobs/s, 1,000 a transaction", rate(start, jobs - singles));

    let start = Instant::now();
    let settings = Config { concurrency, ..Config::default() };
    let worker = Worker::start(&queues, (), Jobs::new().handle(done), settings).await?;
    while !queues.backlog().await?.is_settled() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("drained {:.0} jobs/s, {concurrency} at once, {} tenants", rate(start, jobs), tenants.len());
    worker.stop(Duration::from_secs(5)).await;
    Ok(())
}
