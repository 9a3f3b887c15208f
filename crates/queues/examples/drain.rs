//! How fast a worker drains jobs that do nothing: `cargo run -p shared-queues --example drain [JOBS] [CONCURRENCY]`.
//!
//! A server of its own with durable commits; a job counts once the server says that it is completed.

use std::time::{Duration, Instant};

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

async fn nothing(_: Nothing) -> Result<(), Failure> {
    Ok(())
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the result is a line of text")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let jobs: usize = arguments.next().map_or(Ok(50_000), |text| text.parse())?;
    let concurrency: u32 = arguments.next().map_or(Ok(16), |text| text.parse())?;
    let server = Postgres::exclusive().await?;
    let database = server.empty_database().await?;
    let config = shared_db::Config::new(database.url());
    bootstrap(&config, &[MIGRATIONS]).await?;
    let db = Db::connect(&config).await?;
    let tenant = db.tenant(&AssumedTenant::new(TenantId::new(), "a benchmark"));

    let start = Instant::now();
    for left in (0..jobs).step_by(1000).map(|done| (jobs - done).min(1000)) {
        let enqueue = async |tx: &mut shared_db::TenantTx| -> Result<(), Error> {
            for _ in 0..left {
                tx.enqueue(Nothing { text: "x".repeat(80) }).await?;
            }
            Ok(())
        };
        tenant.tx(enqueue).await?;
    }
    println!("enqueued {:.0} jobs/s, 1,000 a transaction", jobs as f64 / start.elapsed().as_secs_f64());

    let queues = Queues::postgres(&db);
    let start = Instant::now();
    let settings = Config { concurrency, ..Config::default() };
    let worker = Worker::start(&queues, (), Jobs::new().handle(nothing), settings).await?;
    while !queues.backlog().await?.is_settled() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("drained {:.0} jobs/s, {concurrency} at once", jobs as f64 / start.elapsed().as_secs_f64());
    worker.stop(Duration::from_secs(5)).await;
    Ok(())
}
