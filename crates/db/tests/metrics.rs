//! What is measured of Postgres. A binary of its own, since the meter provider is one for the whole process.

use std::sync::LazyLock;
use std::time::Duration;

use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use shared_core::{AssumedTenant, TenantId};
use shared_db::{Config, Db, Error, MigrationSet, Step, TenantTx, bootstrap, statements};

statements! {
    const ECHO: Statement<(String,), String> = "select $1::text";
    const AS_NUMBER: Statement<(String,), i32> = "select $1::text::int";
    const NUMBERS: Statement<(i32,), i32> = "select generate_series(1, $1)";
    const BROKEN: Statement<(i32,), i32> = "select 1 / ($1 - n) from generate_series(1, $1) n";
    const SLOW: Statement<(), ()> = "select pg_sleep(30)";
    const WORDS: CopyIn<(String,)> = "notes.word (word)";
    const NOWHERE: CopyIn<(String,)> = "notes.nowhere (word)";
    const SHUT: CopyIn<(String,)> = "notes.shut (word)";
    const ALL: CopyOut<(String,)> = "select word from notes.word";
    const DATABASE: Statement<(), String> = "select current_database()::text";
    const SCHEMA: Statement<(), String> = "select current_schema()::text";
    const PLACE: Statement<(), String> = "select place from here";
    const LOSE: Statement<(), ()> = "
        do $$ begin raise exception 'another was faster' using errcode = 'serialization_failure'; end $$";
}

const NOTES: MigrationSet = MigrationSet::new(
    "notes",
    &[Step::sql(
        1,
        "word",
        "create table notes.word (word text); grant select, insert on notes.word to {app};
         create table notes.shut (word text); grant select on notes.shut to {app};
         create view notes.here as select 'notes' as place; grant select on notes.here to {app};",
    )],
);

/// A text of everything that is measured.
fn exposition(registry: &Registry) -> String {
    TextEncoder::new().encode_to_string(&registry.gather()).expect("a text")
}

fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
        let registry = Registry::new();
        let reader =
            opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false);
        let provider = SdkMeterProvider::builder().with_reader(reader.build().expect("a reader")).build();
        opentelemetry::global::set_meter_provider(provider);
        registry
    });
    &REGISTRY
}

/// Whether there is a line with all of these in it.
fn has(text: &str, parts: &[&str]) {
    let has = text.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(has, "{parts:?} in\n{text}");
}

/// One program, two databases: what happens in one is not measured of the other.
#[tokio::test]
async fn pools_of_two_databases_are_measured_each_by_its_name() {
    let registry = registry();
    let server = shared_devkit::Postgres::shared().await.expect("a server");
    let mut names = Vec::new();
    let mut pools = Vec::new();
    for name in ["billing", "search"] {
        let database = server.empty_database().await.expect("a database");
        let mut config = Config::new(database.url());
        bootstrap(&config, &[]).await.expect("the roles");
        config.pool_name = Some(name.to_owned());
        config.pool_size = 2;
        let db = Db::connect(&config).await.expect("a connection");
        names.push(db.untenanted().one(&DATABASE, ()).await.expect("its name"));
        pools.push((db, database));
    }
    assert_ne!(names[0], names[1]);
    let (billing, search) = (&pools[0].0, &pools[1].0);
    // Two connections are out of the one, and three statements more were asked of the other.
    let held = (billing.untenanted().begin().await, billing.untenanted().begin().await);
    for _ in 0..3 {
        search.untenanted().one(&DATABASE, ()).await.expect("its name");
    }
    let text = exposition(registry);
    for (name, database, asked, used) in
        [("billing", &names[0], "} 1", "} 2"), ("search", &names[1], "} 4", "} 0")]
    {
        let namespace = format!("db_namespace=\"{database}|public\"");
        let operations = "db_client_operation_duration_seconds_count";
        has(&text, &[operations, "db_query_summary=\"DATABASE\"", &namespace, asked]);
        let pool = format!("db_client_connection_pool_name=\"{name}/shared_app\"");
        has(&text, &["db_client_connection_count", &pool, "db_client_connection_state=\"used\"", used]);
        has(&text, &["db_client_connection_wait_time_seconds_count", &pool]);
    }
    drop(held);
}

#[tokio::test]
async fn statements_waits_and_connections_are_measured_by_their_conventional_names() {
    let registry = registry();
    let server = shared_devkit::Postgres::shared().await.expect("a server");
    let database = server.empty_database().await.expect("a database");
    let mut config = Config::new(database.url());
    bootstrap(&config, &[NOTES]).await.expect("the tables");
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
    streams_and_copies(&db).await;
    // Beside it a pool of another name, which looks for names in another schema.
    config.pool_name = Some("archive".to_owned());
    config.search_schema = Some("notes".to_owned());
    let archive = Db::connect(&config).await.expect("a connection");
    assert_eq!(archive.untenanted().one(&PLACE, ()).await.expect("found there"), "notes");
    assert_eq!(archive.untenanted().one(&SCHEMA, ()).await.expect("an answer"), "notes");
    assert_eq!(db.untenanted().one(&SCHEMA, ()).await.expect("an answer"), "public");
    db.untenanted().one(&PLACE, ()).await.expect_err("not found from here");
    let held = db.untenanted().begin().await.expect("the only connection");
    db.untenanted().begin().await.expect_err("there is no other");

    let text = exposition(registry);
    let lines =
        |parts: &[&str]| text.lines().filter(|line| parts.iter().all(|part| line.contains(part))).count();
    let has = |parts: &[&str]| has(&text, parts);
    let operation = "db_client_operation_duration_seconds_count";
    has(&[operation, "db_system_name=\"postgresql\"", "db_query_summary=\"ECHO\"", "} 4"]);
    has(&[operation, "db_query_summary=\"AS_NUMBER\"", "error_type=\"22P02\"", "} 1"]);
    let operations =
        |name: &str, parts: &[&str]| has(&[&[operation, &format!("summary=\"{name}\"")], parts].concat());
    operations("NUMBERS", &["|public\"", "} 1"]);
    operations("NUMBERS", &["error_type=\"cancelled\"", "} 1"]);
    operations("BROKEN", &["error_type=\"22012\"", "} 1"]);
    operations("SLOW", &["error_type=\"cancelled\"", "} 1"]);
    operations("WORDS", &["} 1"]);
    operations("WORDS", &["error_type=\"cancelled\"", "} 1"]);
    operations("NOWHERE", &["error_type=\"42P01\"", "} 1"]);
    operations("SHUT", &["error_type=\"42501\"", "} 1"]);
    operations("ALL", &["} 1"]);
    operations("SCHEMA", &["|public\"", "} 1"]);
    operations("SCHEMA", &["|notes\"", "} 1"]);
    operations("PLACE", &["|notes\"", "} 1"]);
    operations("PLACE", &["|public\"", "error_type=\"42P01\"", "} 1"]);
    has(&["db_client_transaction_retries_total", " 7"]);
    has(&["db_client_across_tenants_total", " 1"]);
    has(&["db_client_system_total", " 1"]);
    let pool = "db_client_connection_pool_name=\"orders/shared_app\"";
    has(&["db_client_connection_wait_time_seconds_count", pool]);
    has(&["db_client_connection_use_time_seconds_count", pool]);
    has(&["db_client_connection_timeouts_total", pool, "} 1"]);
    has(&["db_client_connection_count", pool, "db_client_connection_state=\"used\"", "} 1"]);
    has(&["db_client_connection_count", pool, "db_client_connection_state=\"idle\"", "} 0"]);
    let archived = "db_client_connection_pool_name=\"archive/shared_app\"";
    has(&["db_client_connection_count", archived, "db_client_connection_state=\"idle\"", "} 1"]);
    has(&["db_client_connection_wait_time_seconds_count", archived]);
    assert_eq!(lines(&["db_client_connection_timeouts_total", archived]), 0);
    has(&[
        "db_client_connection_count",
        "orders/shared_system",
        "db_client_connection_state=\"idle\"",
        "} 1",
    ]);
    assert!(!text.contains("hunter2"), "{text}");
    drop(held);
}

/// Each that is read or written to its end, fails, or is dropped half-way, is measured once.
async fn streams_and_copies(db: &Db) {
    let mut tx = db.untenanted().begin().await.expect("a transaction");
    let mut numbers = tx.stream(&NUMBERS, (3,)).await.expect("a stream");
    while numbers.next().await.expect("a number").is_some() {}
    drop(numbers);
    let mut words = tx.copy_in(&WORDS).await.expect("a copy");
    words.write(("word",)).await.expect("a row");
    assert_eq!(words.finish().await.expect("its end"), 1);
    let mut all = tx.copy_out(&ALL).await.expect("a copy");
    assert_eq!(all.next().await.expect("a row"), Some(("word".to_owned(),)));
    assert_eq!(all.next().await.expect("the end"), None);
    drop(all);
    let mut broken = tx.stream(&BROKEN, (3,)).await.expect("a stream");
    while broken.next().await.is_ok() {}
    drop(broken);
    tx.rollback().await;

    let mut tx = db.untenanted().begin().await.expect("a transaction");
    drop(tx.stream(&NUMBERS, (1_000_000,)).await.expect("a stream"));
    drop(tx);
    let mut tx = db.untenanted().begin().await.expect("a transaction");
    drop(tx.copy_in(&WORDS).await.expect("a copy"));
    drop(tx);
    let slow = db.untenanted();
    // Far more than it takes to connect and to begin.
    tokio::time::timeout(Duration::from_secs(2), slow.execute(&SLOW, ())).await.expect_err("dropped");
    for refused in [&NOWHERE, &SHUT] {
        let mut tx = db.untenanted().begin().await.expect("a transaction");
        tx.copy_in(refused).await.expect_err("refused");
    }
}
