//! What is counted of jobs. A binary of its own, since the meter provider is one for the whole process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use serde::{Deserialize, Serialize};
use shared_core::{AssumedTenant, Failure, TenantId};
use shared_queues::{Config, Job, JobContext, Jobs, Outcome, Queues, Worker};
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
    Cancel,
    Die,
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
        Act::Cancel => Ok(Outcome::cancel("nobody wants it")),
        Act::Die => Err(Failure::dead("hopeless")),
        Act::Succeed | Act::FailOnce | Act::PanicOnce => Ok(Outcome::done()),
    }
}

/// Hours of back-off pass in a moment: the clock of queues in memory is that of tokio, which is paused.
#[tokio::test(start_paused = true)]
async fn attempts_are_counted_by_how_they_ended_and_queues_by_what_is_in_them() {
    let registry = Registry::new();
    let reader =
        opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false);
    let provider = SdkMeterProvider::builder().with_reader(reader.build().unwrap()).build();
    opentelemetry::global::set_meter_provider(provider);
    let shown = || TextEncoder::new().encode_to_string(&registry.gather()).unwrap();

    let queues = Queues::memory();
    let (busy, other) = (TenantId::new(), TenantId::new());
    let producer = |tenant| queues.tenant(&AssumedTenant::new(tenant, "a test has no token"));
    let acts = [Act::Succeed, Act::FailOnce, Act::PanicOnce, Act::Cancel, Act::Die];
    producer(busy).enqueue_all(acts.map(|act| Do { act })).await.unwrap();
    let config = Config { metered_tenants: 1, concurrency: 1, ..Config::default() };
    let worker = Worker::start(&queues, (), Jobs::new().handle(act), config).await.unwrap();
    settled(&queues).await;
    producer(other).enqueue(Do { act: Act::Succeed }).await.unwrap();
    settled(&queues).await;
    producer(other).enqueue(Unknown {}).await.unwrap();

    let busy_runs = format!("queues_tenant_attempts_total{{tenant_id=\"{busy}\"}} 7");
    let lines = [
        "queues_jobs_enqueued_total{job_name=\"test:act\"} 6",
        "queues_jobs_settled_total{job_name=\"test:act\",outcome=\"completed\"} 4",
        "queues_jobs_settled_total{job_name=\"test:act\",outcome=\"retried\"} 2",
        "queues_jobs_settled_total{job_name=\"test:act\",outcome=\"cancelled\"} 1",
        "queues_jobs_settled_total{job_name=\"test:act\",outcome=\"dead\"} 1",
        "queues_jobs_panicked_total{job_name=\"test:act\"} 1",
        "queues_jobs_put_back_total 1",
        "queues_job_run_seconds_count{job_name=\"test:act\"} 8",
        "queues_job_wait_seconds_count{job_name=\"test:act\"} 6",
        "queues_depth{queue=\"default\",state=\"dead\"} 1",
        "queues_depth{queue=\"default\",state=\"scheduled\"} 1",
        "queues_depth{queue=\"default\",state=\"ready\"} 0",
        "queues_oldest_seconds{queue=\"default\"} 0",
        busy_runs.as_str(),
        "queues_tenant_attempts_total{tenant_id=\"other\"} 1",
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
    worker.stop(Duration::from_secs(5)).await;
}

async fn settled(queues: &Queues) {
    while !queues.backlog().await.unwrap().is_settled() {
        tokio::time::sleep(Duration::from_millis(100)).await; // a condition is polled
    }
}
