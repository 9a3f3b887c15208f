//! A worker process: it works until it is killed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::Failure;
use shared_db::Db;
use shared_db::redis::Redis;
use shared_devkit::child::{self, Ledger};
use shared_queues::{Config, FromJob, Job, JobContext, Jobs, Queues, Worker};
use validator::Validate;

use super::ledger::{Attempt, Fact, TAKE_EFFECT, clock_off_by};

/// What a worker process needs to know, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub database: String,
    /// Where the queues are, if not in the database.
    pub redis: Option<String>,
    pub concurrency: u32,
    pub beat: Duration,
    pub lease: Duration,
    pub crash_budget: u32,
    pub unfenced: bool,
}

/// A job whose payload says what becomes of it.
#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "chaos:task", retry = "exponential from 20ms to 500ms", max_attempts = 1000, timeout = "60s")]
pub(crate) struct Task {
    pub n: u64,
    pub work: Duration,
    pub fails_first: u32,
    pub hopeless: bool,
}

/// What handlers ask for.
#[derive(Clone)]
struct Desk {
    ledger: Arc<Ledger>,
    unfenced: bool,
}

impl FromJob<Desk> for Desk {
    fn from_job(_: &JobContext, state: &Desk) -> Self {
        state.clone()
    }
}

/// Works until the process is killed.
pub(crate) async fn run(spec: &str) -> Infallible {
    let ledger = Arc::new(child::enter().unwrap().unwrap());
    let spec: Spec = serde_json::from_str(spec).unwrap();
    Fact::Started { clock_off_by: clock_off_by() }.write(&ledger);
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr);
    log.try_init().unwrap();
    let desk = Desk { ledger, unfenced: spec.unfenced };
    let _worker = loop {
        match start(&spec, &desk).await {
            Ok(worker) => break worker,
            Err(error) => tracing::warn!(%error, "a server is away"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await; // a condition is polled
    };
    std::future::pending().await
}

async fn start(spec: &Spec, desk: &Desk) -> Result<Worker, shared_queues::Error> {
    let db = Db::connect(&shared_db::Config::new(&*spec.database)).await?;
    let queues = match &spec.redis {
        None => Queues::postgres(&db),
        Some(url) => {
            Queues::redis(&Redis::connect(&shared_db::redis::Config::new(&**url)).await?).with_db(&db)
        }
    };
    let config = Config {
        concurrency: spec.concurrency,
        beat: spec.beat,
        lease: spec.lease,
        crash_budget: spec.crash_budget,
        poll: spec.beat / 20,
        ..Config::default()
    };
    Worker::start(&queues, desk.clone(), Jobs::new().handle(task), config).await
}

async fn task(job: Task, cx: JobContext, desk: Desk) -> Result<(), Failure> {
    let mut attempt = Attempt::begin(&desk.ledger, job.n);
    // Time itself is tested: what a handler does takes some.
    tokio::time::sleep(job.work).await;
    if job.hopeless {
        return Err(Failure::dead("hopeless, as planned"));
    }
    if cx.attempt() <= job.fails_first {
        return Err(Failure::new("not yet, as planned"));
    }
    let (n, id) = (job.n as i64, attempt.id);
    if desk.unfenced {
        cx.tenant()?.execute(&TAKE_EFFECT, (n, id)).await?;
        return Ok(());
    }
    cx.tx(async |tx| -> Result<(), Failure> {
        tx.execute(&TAKE_EFFECT, (n, id)).await?;
        attempt.end();
        Ok(())
    })
    .await
}
