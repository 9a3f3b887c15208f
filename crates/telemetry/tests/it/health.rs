use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use shared_telemetry::{Checks, Config, Health, Probe};
use tokio::time::{Instant, sleep};

fn config() -> Config {
    Config {
        health_interval: Duration::from_secs(5),
        health_timeout: Duration::from_secs(2),
        ..Config::default()
    }
}

/// Time stands still but for waiting, so this waits for a condition, not for a time.
async fn until(health: &Health, wanted: impl Fn(&Probe) -> bool) -> Probe {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let probe = health.report();
        if wanted(&probe) {
            return probe;
        }
        assert!(Instant::now() < end, "{probe:?}");
        sleep(Duration::from_millis(100)).await; // time itself is tested: paused
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_follows_the_required_checks() {
    let works = Arc::new(AtomicBool::new(true));
    let database = Arc::clone(&works);
    let checks = Checks::new()
        .required("database", move || {
            let works = database.load(Ordering::Relaxed);
            async move { if works { Ok(()) } else { Err("connection refused".to_owned()) } }
        })
        .degraded("search", async || Err("no index".to_owned()));
    let task = Health::start(checks, &config());
    let health = task.health();
    assert_eq!((health.ready().status, health.ready().body["status"].as_str()), (503, Some("starting")));

    let probe = until(&health, |probe| probe.status == 200).await;
    assert_eq!(probe.body["checks"][1]["reason"], "no index");
    assert_eq!(health.ready().body, serde_json::json!({ "status": "ready", "failing": [] }));

    works.store(false, Ordering::Relaxed);
    until(&health, |probe| probe.status == 503).await;
    assert_eq!(health.ready().body["failing"][0], "database");
    assert_eq!(health.live().status, 200, "a restart repairs no database");

    works.store(true, Ordering::Relaxed);
    until(&health, |probe| probe.status == 200).await;
    health.set_draining();
    assert_eq!((health.ready().status, health.ready().body["status"].as_str()), (503, Some("draining")));
    assert_eq!(health.live().status, 200);
    task.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_part_that_has_ended_asks_for_a_restart() {
    let runs = Arc::new(AtomicBool::new(true));
    let relay = Arc::clone(&runs);
    let checks = Checks::new().alive("relay", move || relay.load(Ordering::Relaxed)).alive("worker", || true);
    let task = Health::start(checks, &config());
    let health = task.health();
    assert_eq!(health.live().status, 200);
    runs.store(false, Ordering::Relaxed);
    let probe = health.live();
    assert_eq!(
        (probe.status, probe.body),
        (503, serde_json::json!({ "status": "broken", "ended": ["relay"] }))
    );
    assert_eq!(health.ready().status, 200, "requests are not what has ended");
    task.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_or_panics_fails_alone() {
    let checks = Checks::new()
        .required("hangs", pending::<Result<(), String>>)
        .required("panics", async || -> Result<(), String> { panic!("boom") })
        .required("works", async || Ok(()));
    let task = Health::start(checks, &config());
    let probe = until(&task.health(), |probe| probe.body["checks"][0]["status"] == "failing").await;
    assert_eq!(probe.body["checks"][0]["reason"], "no answer within 2s");
    assert_eq!(probe.body["checks"][1]["reason"], "the check panicked");
    assert_eq!(probe.body["checks"][2]["status"], "passing");
    task.stop().await;
}

#[tokio::test(start_paused = true)]
async fn probes_ask_nobody() {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let checks = Checks::new().required("database", move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Ok(()) }
    });
    let task = Health::start(checks, &config());
    let health = task.health();
    until(&health, |probe| probe.status == 200).await;
    for _ in 0..1000 {
        health.ready();
        health.report();
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    task.stop().await;
}

#[tokio::test(start_paused = true)]
async fn results_and_heartbeat_grow_old_after_the_stop() {
    let task = Health::start(Checks::new().required("database", async || Ok(())), &config());
    let health = task.health();
    until(&health, |probe| probe.status == 200).await;
    task.stop().await;
    assert_eq!((health.ready().status, health.live().status), (200, 200));
    let probe = until(&health, |probe| probe.body["live"] == false).await;
    assert_eq!(probe.body["checks"][0]["age_ms"].as_u64().map(|age| age >= 9_000), Some(true));
    until(&health, |probe| probe.body["checks"][0]["reason"] == "has not been checked lately").await;
    assert_eq!((health.ready().status, health.live().status), (503, 503));
}

#[tokio::test(start_paused = true)]
async fn without_checks_a_process_is_ready_at_once() {
    let task = Health::start(Checks::new(), &config());
    assert_eq!(task.health().ready().status, 200);
    task.stop().await;
}
