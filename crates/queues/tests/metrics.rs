//! What is counted of jobs. A binary of its own, since the meter provider is one for the whole process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use serde::{Deserialize, Serialize};
use shared_core::{AssumedTenant, Failure, TenantId};
use shared_db::{Db, TenantTx, bootstrap, fingerprint, statements};
use shared_devkit::{Postgres, TestDatabase};
use shared_queues::{
    Config, Enqueue, Error, Job, JobContext, Jobs, MIGRATIONS, NewJob, Outcome, Queues, Schedule, Unique,
    Worker,
};
use tokio::sync::Semaphore;
use validator::Validate;

#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:act", retry = "exponential from 1h to 2h", max_attempts = 3)]
struct Do {
    act: Act,
}

#[derive(Debug, Serialize, Deserialize)]
enum Act {
    Succeed,
    FailOnce,
    PanicOnce,
    HangOnce,
    RetryOnce,
    SnoozeOnce,
    Cancel,
    Die,
}

/// A job that is remembered, and goes through a limit.
#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:limited", keep = "1m", limit = "stripe")]
struct Limited {}

async fn limited(_: Limited) -> Result<(), Failure> {
    Ok(())
}

/// A job by the calendar.
#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:tick")]
struct Tick {}

async fn tick(_: Tick) -> Result<(), Failure> {
    Ok(())
}

async fn hang(_: Do) -> Result<(), Failure> {
    std::future::pending().await
}

/// A job of another program.
#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:unknown")]
struct Unknown {}

async fn act(job: Do, cx: JobContext) -> Result<Outcome, Failure> {
    let first = cx.attempt() == 1;
    match job.act {
        Act::FailOnce if first => Err(Failure::new("not today")),
        Act::PanicOnce if first => panic!("lost its nerve"),
        Act::HangOnce if first => std::future::pending().await,
        Act::RetryOnce if first => Ok(Outcome::retry_in(Duration::ZERO)),
        Act::SnoozeOnce if !SNOOZED.swap(true, Ordering::Relaxed) => {
            Ok(Outcome::snooze(Duration::from_secs(3600)))
        }
        Act::Cancel => Ok(Outcome::cancel("nobody wants it")),
        Act::Die => Err(Failure::dead("hopeless")),
        _ => Ok(Outcome::done()),
    }
}

static SNOOZED: AtomicBool = AtomicBool::new(false);

/// Hours of back-off pass in a moment: the clock of queues in memory is that of tokio, which is paused.
#[tokio::test(start_paused = true)]
async fn attempts_are_counted_by_how_they_ended_and_queues_by_what_is_in_them() {
    shown();
    let queues = Queues::memory();
    let (busy, other) = (TenantId::new(), TenantId::new());
    let producer = |tenant| queues.tenant(&AssumedTenant::new(tenant, "a test has no token"));
    // A worker that dies with a job in its hands.
    producer(busy).enqueue(Do { act: Act::Succeed }).await.unwrap();
    let mortal = Worker::start(&queues, (), Jobs::new().handle(hang), Config::default()).await.unwrap();
    while queues.backlog().await.unwrap().running == 0 {
        tokio::time::sleep(Duration::from_millis(100)).await; // a condition is polled
    }
    drop(mortal);
    let fail = [Act::FailOnce, Act::PanicOnce, Act::HangOnce, Act::Die];
    let others = [Act::Succeed, Act::RetryOnce, Act::SnoozeOnce, Act::Cancel];
    producer(busy).enqueue_all(fail.into_iter().chain(others).map(|act| Do { act })).await.unwrap();
    let config = Config { metered_tenants: 1, concurrency: 1, ..Config::default() };
    let jobs = Jobs::new().handle(act).handle(limited).handle(tick);
    let worker = Worker::start(&queues, (), jobs, config).await.unwrap();
    producer(busy).enqueue(Limited {}).await.unwrap();
    settled(&queues).await;
    producer(other).enqueue(Do { act: Act::Succeed }).await.unwrap();
    settled(&queues).await;
    producer(other).enqueue(Unknown {}).await.unwrap();
    let proof = AssumedTenant::new(busy, "a test has no token");
    queues.schedules().put(Schedule::cron("minutely", "* * * * *").job(&proof, Tick {})).await.unwrap();
    while !shown().contains("queues_schedules_fired_total") {
        tokio::time::sleep(Duration::from_millis(100)).await; // a condition is polled
    }
    queues.schedules().remove("default", "minutely").await.unwrap();

    let busy_runs = format!("queues_tenant_attempts_total{{tenant_id=\"{busy}\"}} 16");
    let lines = [
        "queues_jobs_enqueued_total{job_name=\"test:act\"} 10",
        "queues_jobs_enqueued_total{job_name=\"test:limited\"} 1",
        "queues_jobs_enqueued_total{job_name=\"test:tick\"} 1",
        "queues_schedules_fired_total{queue=\"default\"} 1",
        "queues_jobs_claimed_total{queue=\"default\"} ",
        "queues_jobs_rescued_total{outcome=\"ready\"} ",
        "queues_jobs_pruned_total ",
        "queues_limiter_wait_seconds_count{job_name=\"test:limited\"} 1",
        "queues_jobs_settled_total{job_name=\"test:act\",outcome=\"completed\"} 8",
        "queues_jobs_settled_total{job_name=\"test:act\",outcome=\"snoozed\"} 1",
        "queues_jobs_settled_total{job_name=\"test:act\",outcome=\"retried\"} 4",
        "queues_jobs_settled_total{job_name=\"test:act\",outcome=\"cancelled\"} 1",
        "queues_jobs_settled_total{job_name=\"test:act\",outcome=\"dead\"} 1",
        "queues_jobs_failed_total{job_name=\"test:act\"} 4",
        "queues_jobs_panicked_total{job_name=\"test:act\"} 1",
        "queues_jobs_put_back_total ",
        "queues_job_run_seconds_count{job_name=\"test:act\"} 15",
        "queues_job_wait_seconds_count{job_name=\"test:act\"} 12",
        "queues_depth{queue=\"default\",state=\"dead\"} 1",
        "queues_depth{queue=\"default\",state=\"scheduled\"} 1",
        "queues_depth{queue=\"default\",state=\"ready\"} 0",
        "queues_oldest_seconds{queue=\"default\"} 0",
        busy_runs.as_str(),
        "queues_tenant_attempts_total{tenant_id=\"other\"} 1",
        "queues_tenant_run_seconds_total{tenant_id=\"other\"} ",
    ];
    for _ in 0..10_000 {
        if lines.iter().all(|line| shown().contains(line)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await; // a condition is polled
    }
    let text = shown();
    for line in lines {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert!(!text.contains(&other.to_string()), "one tenant alone is named:\n{text}");

    // What waits while nothing is claimed.
    queues.queue("default").pause().await.unwrap();
    producer(busy).enqueue(Do { act: Act::Succeed }).await.unwrap();
    producer(busy).enqueue(Limited {}).await.unwrap();
    while figure("queues_oldest_seconds{queue=\"default\"} ") <= Some(0.0) {
        tokio::time::sleep(Duration::from_millis(100)).await; // a condition is polled
    }
    assert_eq!(figure("queues_depth{queue=\"default\",state=\"waiting\"} "), Some(1.0));
    worker.stop(Duration::from_secs(5)).await;
}

/// A job whose workers die.
#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:doomed", queue = "doomed")]
struct Doomed {}

async fn doomed(_: Doomed) -> Result<(), Failure> {
    std::future::pending().await
}

#[tokio::test(start_paused = true)]
async fn jobs_of_dead_workers_that_become_dead_letters_are_counted() {
    shown();
    let queues = Queues::memory();
    let proof = AssumedTenant::new(TenantId::new(), "a test has no token");
    queues.tenant(&proof).enqueue_all([Doomed {}, Doomed {}]).await.unwrap();
    let config = Config { crash_budget: 1, ..Config::default() };
    let start = || Worker::start(&queues, (), Jobs::new().handle(doomed), config.clone());
    let dies = start().await.unwrap();
    while queues.backlog().await.unwrap().running < 2 {
        tokio::time::sleep(Duration::from_millis(100)).await; // a condition is polled
    }
    drop(dies);
    let _lives = start().await.unwrap();
    while figure("queues_jobs_rescued_total{outcome=\"dead\"} ") != Some(2.0) {
        tokio::time::sleep(Duration::from_millis(100)).await; // a condition is polled
    }
    assert_eq!(queues.backlog().await.unwrap().dead, 2);
}

statements! {
    const EXPIRE: Statement<(), ()> = "update shared_queues.worker set expires_at = '-infinity'";
    const SPOIL: Statement<(), ()> = "update shared_queues.schedule set cron = 'every full moon', due_at = '-infinity'";
}

#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:late", queue = "late")]
struct Late {}

static BEGUN: AtomicUsize = AtomicUsize::new(0);
static GATE: Semaphore = Semaphore::const_new(0);

async fn late(_: Late) -> Result<(), Failure> {
    BEGUN.fetch_add(1, Ordering::Relaxed);
    let _ = GATE.acquire().await;
    Ok(())
}

async fn begun(times: usize) {
    while BEGUN.load(Ordering::Relaxed) < times {
        tokio::time::sleep(Duration::from_millis(5)).await; // a condition is polled
    }
}

/// A worker that was taken out, and does not know it yet, says how its job has ended.
#[tokio::test]
async fn outcomes_that_are_refused_and_schedules_that_fail_are_counted() {
    shown();
    let server = Postgres::shared().await.unwrap();
    let database = database(&server).await;
    let db = connect(&database).await;
    let queues = Queues::postgres(&db);
    let proof = AssumedTenant::new(TenantId::new(), "a test has no token");
    queues.tenant(&proof).enqueue(Late {}).await.unwrap();
    let start = |config| Worker::start(&queues, (), Jobs::new().handle(late), config);
    let slow = Config { beat: Duration::from_secs(60), lease: Duration::from_secs(200), ..Config::default() };
    let stale = start(slow).await.unwrap();
    begun(1).await;
    assert!(db.system().execute(&EXPIRE, ()).await.unwrap() > 0);
    let quick = Config { beat: Duration::from_millis(100), ..Config::default() };
    let _second = start(quick).await.unwrap();
    begun(2).await;
    GATE.close();
    assert_eq!(stale.stop(Duration::from_secs(5)).await.refused, 1);
    assert!(shown().contains("queues_jobs_fenced_total 1"), "{}", shown());
    // A schedule that only another program can read.
    queues.schedules().put(Schedule::cron("late", "@yearly").job(&proof, Late {})).await.unwrap();
    assert_eq!(db.system().execute(&SPOIL, ()).await.unwrap(), 1);
    while !shown().contains("queues_schedules_failed_total{queue=\"late\"} 1") {
        tokio::time::sleep(Duration::from_millis(5)).await; // a condition is polled
    }
}

/// A job that comes out of transactions.
#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:booked")]
struct Booked {}

/// Three jobs, and one that may be there already.
async fn book(tx: &mut TenantTx) -> Result<(), Error> {
    tx.enqueue(Booked {}).await?;
    tx.enqueue_all([Booked {}, Booked {}]).await?;
    tx.enqueue(NewJob::of(Booked {}).unique(Unique::existing("the same"))).await.map(drop)
}

#[tokio::test]
async fn jobs_of_transactions_are_counted_once_they_are_committed() {
    shown();
    let server = Postgres::shared().await.unwrap();
    let database = database(&server).await;
    let db = connect(&database).await;
    let _queues = Queues::postgres(&db);
    let booked = || figure("queues_jobs_enqueued_total{job_name=\"test:booked\"} ");
    let proof = AssumedTenant::new(TenantId::new(), "a test has no token");
    let door = db.tenant(&proof);

    let mut tx = door.begin().await.unwrap();
    book(&mut tx).await.unwrap();
    tx.rollback().await;
    let mut tx = door.begin().await.unwrap();
    let undone = tx.savepoint(async |tx| -> Result<(), Failure> {
        book(tx).await?;
        Err(Failure::new("not yet"))
    });
    undone.await.unwrap_err();
    tx.commit().await.unwrap();
    assert_eq!(booked(), None);

    door.tx(book).await.unwrap();
    assert_eq!(booked(), Some(4.0));
    door.tx(book).await.unwrap();
    assert_eq!(booked(), Some(7.0), "one is there already");
}

/// A job that goes elsewhere.
#[derive(Debug, Serialize, Deserialize, Validate, Job)]
#[job(name = "test:carried")]
struct Carried {}

#[tokio::test]
async fn jobs_of_an_outbox_are_counted_where_they_arrive() {
    shown();
    let server = Postgres::shared().await.unwrap();
    let database = database(&server).await;
    let db = connect(&database).await;
    let outbox = Arc::new(Mutex::new(Vec::new()));
    let log = outbox.clone();
    let queues = Queues::memory().with_outbox(&db, move |_, job| {
        log.lock().unwrap().push(job);
        Box::pin(async { Ok(()) })
    });
    let carried = || figure("queues_jobs_enqueued_total{job_name=\"test:carried\"} ");
    let proof = AssumedTenant::new(TenantId::new(), "a test has no token");
    db.tenant(&proof).tx(async |tx| tx.enqueue(Carried {}).await).await.unwrap();
    assert_eq!(carried(), None, "it is on its way");

    let job = outbox.lock().unwrap().pop().unwrap();
    for _ in 0..2 {
        queues.enqueue_from_outbox(job.clone(), Duration::ZERO).await.unwrap();
        assert_eq!(carried(), Some(1.0), "also where it is brought twice");
    }
}

async fn database(server: &Postgres) -> TestDatabase {
    let migrate = async |url: String| bootstrap(&shared_db::Config::new(url), &[MIGRATIONS]).await.map(drop);
    let name = format!("shared-queues metrics {}", fingerprint(&[MIGRATIONS]));
    server.database(&name, migrate).await.unwrap()
}

async fn connect(database: &TestDatabase) -> Db {
    Db::connect(&shared_db::Config::new(database.url())).await.unwrap()
}

/// What is counted in this process, in the words of Prometheus.
fn shown() -> String {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
        let registry = Registry::new();
        let reader =
            opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false);
        let provider = SdkMeterProvider::builder().with_reader(reader.build().unwrap()).build();
        opentelemetry::global::set_meter_provider(provider);
        registry
    });
    TextEncoder::new().encode_to_string(&REGISTRY.gather()).unwrap()
}

/// What a line of it ends with.
fn figure(line: &str) -> Option<f64> {
    shown().lines().find_map(|shown| shown.strip_prefix(line)?.parse().ok())
}

async fn settled(queues: &Queues) {
    while !queues.backlog().await.unwrap().is_settled() {
        tokio::time::sleep(Duration::from_millis(100)).await; // a condition is polled
    }
}
