//! Migrations: once, in order, whole or not at all.

use shared_db::{Applied, Config, Error, MigrationSet, Step, bootstrap};

use crate::server::Shared;
use crate::support::{NOTES, admin};

const ONE: Step = Step::sql(1, "one", "create table t.one (a int)");
const TWO: Step = Step::sql(2, "two", "create table t.two (b int)");
const BROKEN: Step = Step::sql(2, "two", "create table t.two (b int); create table t.two (again int)");
const GOOD: MigrationSet = MigrationSet::new("t", &[ONE, TWO]);

/// A set as a test needs one; those of programs are constants.
fn set(schema: &'static str, steps: Vec<Step>) -> MigrationSet {
    MigrationSet::new(schema, steps.leak())
}

fn names(applied: &Applied) -> Vec<String> {
    applied.steps.iter().map(ToString::to_string).collect()
}

async fn empty() -> (Shared, shared_devkit::TestDatabase, Config) {
    let server = crate::server::shared().await;
    let database = server.empty_database().await.unwrap();
    let config = Config::new(database.url());
    (server, database, config)
}

/// Whether a table of that name is there.
async fn exists(config: &Config, table: &str) -> bool {
    admin(config).await.query_one("select to_regclass($1::text) is not null", &[&table]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let (_server, _database, config) = empty().await;
    let first = bootstrap(&config, &[NOTES, GOOD]).await.unwrap();
    assert!(names(&first).contains(&"notes 0001_note".to_owned()), "{first:?}");
    assert!(names(&first).contains(&"t 0002_two".to_owned()), "{first:?}");
    let second = bootstrap(&config, &[GOOD, NOTES]).await.unwrap();
    assert_eq!(second.steps, Vec::new());
    assert_eq!(second.to_string(), "nothing to apply");
}

#[tokio::test]
async fn a_database_that_has_no_room_for_every_text_is_refused() {
    let (_server, database, config) = empty().await;
    // Not of a test database's name: what nobody holds of those is taken for abandoned.
    let latin = format!("latin_{}", database.name());
    let make = format!("create database {latin} encoding 'LATIN1' locale 'C' template template0");
    admin(&config).await.batch_execute(&make).await.unwrap();
    let error = bootstrap(&Config::new(database.url().replace(database.name(), &latin)), &[NOTES]).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("is LATIN1") && error.contains("ENCODING 'UTF8' TEMPLATE template0"), "{error}");
    admin(&config).await.batch_execute(&format!("drop database {latin} with (force)")).await.unwrap();
}

#[tokio::test]
async fn an_edited_step_is_refused_by_name() {
    let (_server, _database, config) = empty().await;
    bootstrap(&config, &[GOOD]).await.unwrap();
    let edited = set("t", vec![Step::sql(1, "one", "create table t.one (a bigint)"), TWO]);
    let error = bootstrap(&config, &[edited]).await.unwrap_err();
    assert!(matches!(error, Error::Migration { schema: "t", version: 1, name: "one", .. }), "{error}");
    assert!(error.to_string().starts_with("migration t 0001_one: its text has changed"), "{error}");
}

#[tokio::test]
async fn a_failing_step_leaves_nothing_of_itself_and_a_corrected_run_goes_on() {
    let (_server, _database, config) = empty().await;
    let broken = set("t", vec![ONE, BROKEN]);
    let error = bootstrap(&config, &[broken]).await.unwrap_err();
    assert!(matches!(error, Error::Migration { version: 2, .. }), "{error}");
    assert!(error.to_string().contains("relation \"two\" already exists"), "{error}");
    assert!(exists(&config, "t.one").await);
    assert!(!exists(&config, "t.two").await);

    assert_eq!(names(&bootstrap(&config, &[GOOD]).await.unwrap()), ["t 0002_two"]);
    assert!(exists(&config, "t.two").await);
}

#[tokio::test]
async fn a_dropped_run_leaves_whole_steps() {
    let (_server, _database, config) = empty().await;
    let slow = set("t", vec![ONE, Step::sql(2, "two", "create table t.two (b int); select pg_sleep(20)")]);
    let run = tokio::spawn({
        let config = config.clone();
        async move { bootstrap(&config, &[slow]).await }
    });
    let admin = admin(&config).await;
    let sleeps =
        "select 1 from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
    let sleeping = async || !admin.query(sleeps, &[]).await.unwrap().is_empty();
    crate::support::eventually(std::time::Duration::from_secs(20), sleeping).await;
    run.abort();
    assert_eq!(names(&bootstrap(&config, &[GOOD]).await.unwrap()), ["t 0002_two"]);
}

#[tokio::test]
async fn sets_are_applied_after_those_they_require() {
    let (_server, _database, config) = empty().await;
    let base = set("base", vec![Step::sql(1, "thing", "create table base.thing (id int primary key)")]);
    let top = set(
        "above",
        vec![Step::sql(1, "refers", "create table above.refers (id int references base.thing)")],
    )
    .requires(&["base"]);
    let missing = bootstrap(&config, &[top]).await.unwrap_err();
    assert!(missing.to_string().contains("above requires base"), "{missing}");
    let applied = names(&bootstrap(&config, &[top, base]).await.unwrap());
    assert_eq!(applied[applied.len() - 2..], ["base 0001_thing", "above 0001_refers"]);
}

#[tokio::test]
async fn a_tenant_table_keeps_to_the_rules() {
    let (_server, _database, config) = empty().await;
    let cases: [(&'static str, &str); 4] = [
        ("create table t.x (id uuid primary key)", "t.x needs a column: tenant_id uuid not null"),
        ("create table t.x (tenant_id uuid)", "t.x needs a column"),
        (
            "create table t.x (tenant_id uuid not null, id uuid primary key)",
            "unique index t.x_pkey must begin with tenant_id",
        ),
        (
            "create table t.x (tenant_id uuid not null, n int, primary key (tenant_id, n)); create unique index u on t.x (n)",
            "unique index t.u must begin with tenant_id",
        ),
    ];
    for (table, complaint) in cases {
        // A step's text is a constant; a test may make one.
        let text: &'static str = format!("{table}; select shared_db.tenant_table('t.x')").leak();
        let steps = vec![Step::sql(1, "x", text)];
        let error = bootstrap(&config, &[set("t", steps).requires(&["shared_db"])]).await.unwrap_err();
        assert!(error.to_string().contains(complaint), "{error}");
    }
}

#[tokio::test]
async fn a_function_can_be_given_to_the_definer() {
    let (_server, _database, config) = empty().await;
    let search = set(
        "t",
        vec![Step::sql(
            1,
            "search",
            "
        create function t.search() returns int language sql security definer return 1;
        grant create on schema t to {definer};
        alter function t.search() owner to {definer};
        revoke create on schema t from {definer};",
        )],
    );
    bootstrap(&config, &[search]).await.unwrap();
}

#[tokio::test]
async fn a_value_that_a_migration_reads_is_not_shown() {
    let (_server, _database, config) = empty().await;
    let cast = set(
        "t",
        vec![Step::sql(
            1,
            "cast",
            "
        create table t.x (a text); insert into t.x values ('hunter' || 2); select a::int from t.x",
        )],
    );
    let error = bootstrap(&config, &[cast]).await.unwrap_err();
    assert!(error.to_string().contains("22P02") && !error.to_string().contains("hunter2"), "{error}");
}
