//! What is measured of Postgres. A binary of its own, since the meter provider is one for the whole process.

use std::time::Duration;

use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use shared_core::{AssumedTenant, TenantId};
use shared_db::{Config, Db, Error, TenantTx, bootstrap, statements};

statements! {
    const ECHO: Statement<(String,), String> = "select $1::text";
    const AS_NUMBER: Statement<(String,), i32> = "select $1::text::int";
    const LOSE: Statement<(), ()> = "
        do $$ begin raise exception 'another was faster' using errcode = 'serialization_failure'; end $$";
}

#[tokio::test]
async fn statements_waits_and_connections_are_measured_by_their_conventional_names() {
    let registry = Registry::new();
    let reader =
        opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false);
    let provider = SdkMeterProvider::builder().with_reader(reader.build().expect("a reader")).build();
    opentelemetry::global::set_meter_provider(provider);

    let server = shared_devkit::Postgres::shared().await.expect("a server");
    let database = server.empty_database().await.expect("a database");
    let mut config = Config::new(database.url());
    bootstrap(&config, &[]).await.expect("the roles");
    config.pool_name = Some("orders".to_owned());
    config.pool_size = 1;
    config.pool_timeout = Duration::from_millis(50);
    let db = Db::connect(&config).await.expect("a connection");
    let tenant = AssumedTenant::new(TenantId::new(), "a test has no token");
    let door = db.tenant(&tenant);
    for _ in 0..2 {
        door.one(&ECHO, ("hunter2",)).await.expect("an answer");
    }
    door.one(&AS_NUMBER, ("hunter2",)).await.expect_err("it is no number");
    let lose = async |tx: &mut TenantTx| -> Result<(), Error> { tx.execute(&LOSE, ()).await.map(drop) };
    door.retrying().tx(lose).await.expect_err("it loses every time");
    db.across_tenants("hunter2 is nobody's label").one(&ECHO, ("hunter2",)).await.expect("an answer");
    db.system().one(&ECHO, ("hunter2",)).await.expect("an answer");
    let held = db.untenanted().begin().await.expect("the only connection");
    db.untenanted().begin().await.expect_err("there is no other");

    let text = TextEncoder::new().encode_to_string(&registry.gather()).expect("a text");
    let lines =
        |parts: &[&str]| text.lines().filter(|line| parts.iter().all(|part| line.contains(part))).count();
    let has = |parts: &[&str]| assert!(lines(parts) > 0, "{parts:?} in\n{text}");
    let operation = "db_client_operation_duration_seconds_count";
    has(&[operation, "db_system_name=\"postgresql\"", "db_query_summary=\"ECHO\"", "} 4"]);
    has(&[operation, "db_query_summary=\"AS_NUMBER\"", "error_type=\"22P02\"", "} 1"]);
    has(&["db_client_transaction_retries_total", " 7"]);
    has(&["db_client_across_tenants_total", " 1"]);
    has(&["db_client_system_total", " 1"]);
    let pool = "db_client_connection_pool_name=\"orders/shared_app\"";
    has(&["db_client_connection_wait_time_seconds_count", pool]);
    has(&["db_client_connection_use_time_seconds_count", pool]);
    has(&["db_client_connection_timeouts_total", pool, "} 1"]);
    has(&["db_client_connection_count", pool, "db_client_connection_state=\"used\"", "} 1"]);
    has(&["db_client_connection_count", pool, "db_client_connection_state=\"idle\"", "} 0"]);
    has(&[
        "db_client_connection_count",
        "orders/shared_system",
        "db_client_connection_state=\"idle\"",
        "} 1",
    ]);
    assert!(!text.contains("hunter2"), "{text}");
    drop(held);
}
