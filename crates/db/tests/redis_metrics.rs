//! What is measured of Redis. A binary of its own, since the meter provider is one for the whole process.

use std::time::Duration;

use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use shared_db::redis::{Config, Redis, Script, cmd, pipe};

static ECHO: Script = Script::new("echo", "return ARGV[1]");

#[tokio::test]
async fn commands_waits_and_connections_are_measured_by_their_conventional_names() {
    let registry = Registry::new();
    let reader =
        opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false);
    let provider = SdkMeterProvider::builder().with_reader(reader.build().expect("a reader")).build();
    opentelemetry::global::set_meter_provider(provider);

    // Its own: scripts are known to a whole server.
    let server = shared_devkit::Redis::exclusive().await.expect("a server");
    let mut config = Config::new(server.url());
    config.pool_name = "cache".to_owned();
    config.pool_size = 1;
    config.pool_timeout = Duration::from_millis(50);
    let redis = Redis::connect(&config).await.expect("a connection");
    redis.command::<()>(cmd("SET").arg("key").arg("hunter2")).await.expect("a write");
    redis.command::<i64>(cmd("LPUSH").arg("key").arg("hunter2")).await.expect_err("it is no list");
    redis.pipeline::<()>(pipe().cmd("GET").arg("key").ignore()).await.expect("a read");
    redis.script::<String>(&ECHO.keys([""; 0]).arg("hunter2")).await.expect("an answer");
    drop(redis.get().await.expect("a connection"));
    let held = redis.get().await.expect("the same one");
    redis.get().await.expect_err("it is the only one");

    let text = TextEncoder::new().encode_to_string(&registry.gather()).expect("a text");
    let lines =
        |parts: &[&str]| text.lines().filter(|line| parts.iter().all(|part| line.contains(part))).count();
    let has = |parts: &[&str]| assert!(lines(parts) > 0, "{parts:?} in\n{text}");
    let operation = "db_client_operation_duration_seconds_count";
    has(&[operation, "db_system_name=\"redis\"", "db_operation_name=\"SET\"", "} 1"]);
    has(&[operation, "db_operation_name=\"LPUSH\"", "error_type=\"WRONGTYPE\""]);
    has(&[operation, "db_operation_name=\"PIPELINE\""]);
    let script = "db_stored_procedure_name=\"echo\"";
    has(&[operation, "db_operation_name=\"EVALSHA\"", script, "error_type=\"NOSCRIPT\""]);
    has(&[operation, "db_operation_name=\"EVAL\"", script]);
    let pool = "db_client_connection_pool_name=\"cache\"";
    has(&["db_client_connection_wait_time_seconds_count", pool, "} 2"]);
    has(&["db_client_connection_use_time_seconds_count", pool, "} 1"]);
    has(&["db_client_connection_timeouts_total", pool, "} 1"]);
    has(&["db_client_connection_count", pool, "db_client_connection_state=\"used\"", "} 1"]);
    assert!(!text.contains("hunter2") && !text.contains("key"), "{text}");
    drop(held);
}
