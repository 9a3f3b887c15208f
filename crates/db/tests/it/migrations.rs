//! Steps that wait for locks, run outside of transactions, or meet programs of another release.

use std::time::Duration;

use shared_db::migration::{check, plan};
use shared_db::{Config, Db, Error, MigrationSet, Step, bootstrap};
use shared_devkit::TestDatabase;
use tokio_postgres::Client;

use crate::server::Shared;
use crate::support::{NOTES, admin, eventually};

const THING: Step =
    Step::sql(1, "thing", "create table t.thing (id bigint primary key, n bigint not null, old text)");
const BY_N: Step =
    Step::concurrent(2, "by_n", "create index concurrently if not exists thing_by_n on t.thing (n)");
const FIRST: MigrationSet = MigrationSet::new("t", &[THING]);
const SECOND: MigrationSet = MigrationSet::new("t", &[THING, BY_N]);
const THIRD: MigrationSet = MigrationSet::new("t", &[THING, BY_N, DROP_OLD]);
const DROP_OLD: Step = Step::sql(3, "drop_old", "alter table t.thing drop column old").contracts(2);

/// A database of a test's own.
pub(crate) struct Empty {
    pub config: Config,
    pub admin: Client,
    _database: TestDatabase,
    _server: Shared,
}

pub(crate) async fn empty() -> Empty {
    let server = crate::server::shared().await;
    let database = server.empty_database().await.unwrap();
    let config = Config::new(database.url());
    Empty { admin: admin(&config).await, config, _database: database, _server: server }
}

pub(crate) async fn count(admin: &Client, sql: &str) -> i64 {
    admin.query_one(&format!("select count(*) from ({sql}) as counted"), &[]).await.unwrap().get(0)
}

/// A session whose transaction has done this and goes on.
async fn holding(config: &Config, sql: &str) -> Client {
    let client = admin(config).await;
    client.batch_execute(&format!("begin; {sql}")).await.unwrap();
    client
}

fn is_incompatible(error: &Error, what: &str) -> bool {
    matches!(error, Error::Incompatible(_)) && error.to_string().contains(what)
}

const VALID: &str = "select 1 from pg_index where indexrelid = to_regclass('t.thing_by_n') and indisvalid";
const INVALID: &str =
    "select 1 from pg_index where indexrelid = to_regclass('t.thing_by_n') and not indisvalid";
const WAITS: &str = "select 1 from pg_stat_activity where datname = current_database()
    and application_name = 'shared-db bootstrap' and wait_event_type = 'Lock'";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thirty_two_programs_that_start_together_apply_each_step_once() {
    let empty = empty().await;
    let runs: Vec<_> = (0..32)
        .map(|_| {
            let config = empty.config.clone();
            tokio::spawn(async move { bootstrap(&config, &[NOTES, THIRD]).await.unwrap().steps.len() })
        })
        .collect();
    let mut applied = Vec::new();
    for run in runs {
        applied.push(run.await.unwrap());
    }
    assert_eq!(applied.iter().filter(|steps| **steps > 0).count(), 1, "{applied:?}");
    assert_eq!(count(&empty.admin, VALID).await, 1);
    assert_eq!(count(&empty.admin, "select 1 from t.migration where finished_at >= started_at").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_databases_of_one_server_are_migrated_at_once() {
    let (one, two) = (empty().await, empty().await);
    // Each waits inside its index build while the other one's goes on.
    let mut writers = Vec::new();
    for database in [&one, &two] {
        bootstrap(&database.config, &[FIRST]).await.unwrap();
        writers.push(holding(&database.config, "insert into t.thing values (1, 1)").await);
    }
    let run = |config: Config| tokio::spawn(async move { bootstrap(&config, &[SECOND]).await });
    let runs = [run(one.config.clone()), run(two.config.clone())];
    for database in [&one, &two] {
        eventually(Duration::from_secs(20), async || count(&database.admin, WAITS).await == 1).await;
    }
    for writer in writers.iter().rev() {
        writer.batch_execute("commit").await.unwrap();
    }
    for run in runs {
        assert_eq!(run.await.unwrap().unwrap().to_string().split(' ').next(), Some("t"));
    }
}

#[tokio::test]
async fn a_step_waits_for_a_lock_in_short_attempts_and_lets_others_by() {
    let Empty { config, admin, .. } = &empty().await;
    bootstrap(config, &[FIRST]).await.unwrap();
    let reader = holding(config, "select n from t.thing").await;
    let run = tokio::spawn({
        let config = config.clone();
        async move {
            let steps = [THING, Step::sql(2, "more", "alter table t.thing add column more text")];
            bootstrap(&config, &[MigrationSet::new("t", steps.to_vec().leak())]).await
        }
    });
    let waits = async || count(admin, WAITS).await == 1;
    // It has given up once, and nobody waits behind it for the moment; then it asks again.
    eventually(Duration::from_secs(20), waits).await;
    eventually(Duration::from_secs(20), async || !waits().await).await;
    eventually(Duration::from_secs(20), waits).await;
    reader.batch_execute("commit").await.unwrap();
    assert_eq!(run.await.unwrap().unwrap().steps.len(), 1);
}

#[tokio::test]
async fn an_index_build_that_was_broken_off_is_repaired() {
    let Empty { config, admin, .. } = &empty().await;
    bootstrap(config, &[FIRST]).await.unwrap();
    // The build waits for whoever writes to the table; there it is cut off.
    let writer = holding(config, "insert into t.thing values (1, 1)").await;
    let run = tokio::spawn({
        let config = config.clone();
        async move { bootstrap(&config, &[SECOND]).await }
    });
    eventually(Duration::from_secs(20), async || {
        count(admin, INVALID).await == 1 && count(admin, WAITS).await == 1
    })
    .await;
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity where pid in
        (select pid from pg_locks where not granted) and datname = current_database()";
    admin.batch_execute(cut).await.unwrap();
    let error = run.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Migration { version: 2, .. }), "{error}");
    writer.batch_execute("commit").await.unwrap();
    assert_eq!(count(admin, INVALID).await, 1);
    assert_eq!(count(admin, "select 1 from t.migration where finished_at is null").await, 1);
    assert_eq!(plan(config, &[SECOND]).await.unwrap().steps[0].name, "by_n");

    assert_eq!(bootstrap(config, &[SECOND]).await.unwrap().steps.len(), 1);
    assert_eq!(count(admin, VALID).await, 1);
}

#[tokio::test]
async fn a_concurrent_step_that_failed_may_be_corrected() {
    let Empty { config, admin, .. } = &empty().await;
    bootstrap(config, &[FIRST]).await.unwrap();
    admin.batch_execute("insert into t.thing values (1, 1), (2, 1)").await.unwrap();
    const UNIQUE: Step = Step::concurrent(
        2,
        "by_n",
        "create unique index concurrently if not exists thing_by_n on t.thing (n)",
    );
    let error = bootstrap(config, &[MigrationSet::new("t", &[THING, UNIQUE])]).await.unwrap_err();
    assert!(error.to_string().contains("could not create unique index"), "{error}");
    assert_eq!(count(admin, INVALID).await, 1);
    bootstrap(config, &[SECOND]).await.unwrap();
    assert_eq!(count(admin, VALID).await, 1);
}

#[tokio::test]
async fn a_concurrent_index_that_could_not_be_repeated_is_refused_before_anything_is_done() {
    let Empty { config, admin, .. } = &empty().await;
    const UNNAMED: Step = Step::concurrent(2, "by_n", "create index concurrently on t.thing (n)");
    let error = bootstrap(config, &[MigrationSet::new("t", &[THING, UNNAMED])]).await.unwrap_err();
    assert!(matches!(error, Error::Migration { version: 2, .. }), "{error}");
    assert_eq!(count(admin, "select 1 from pg_namespace where nspname = 't'").await, 0);
}

#[tokio::test]
async fn an_older_release_works_with_a_newer_database_until_it_contracts_what_that_one_uses() {
    let Empty { config, .. } = &empty().await;
    bootstrap(config, &[FIRST]).await.unwrap();
    let db = Db::connect(config).await.unwrap();
    check(&db, &[FIRST]).await.unwrap();
    let error = check(&db, &[SECOND]).await.unwrap_err();
    assert!(is_incompatible(&error, "it lacks t 0002_by_n"), "{error}");

    // Expanded: both releases work, and the older one has nothing to apply.
    bootstrap(config, &[SECOND]).await.unwrap();
    check(&db, &[FIRST]).await.unwrap();
    assert_eq!(bootstrap(config, &[FIRST]).await.unwrap().steps, []);
    let report = plan(config, &[FIRST]).await.unwrap().to_string();
    assert!(
        report.contains("t is at step 2, of a newer release; this one has 1 and works with it"),
        "{report}"
    );

    // Contracted: the second release no longer used the column.
    bootstrap(config, &[THIRD]).await.unwrap();
    check(&db, &[SECOND]).await.unwrap();
    for error in [
        check(&db, &[FIRST]).await.unwrap_err(),
        bootstrap(config, &[FIRST]).await.unwrap_err(),
        plan(config, &[FIRST]).await.unwrap_err(),
    ] {
        assert!(
            is_incompatible(&error, "programs with fewer than 2 steps use, and this one has 1"),
            "{error}"
        );
    }
    // The connection that was refused is as good as before.
    assert_eq!(db.status().discarded, 0);
}

#[tokio::test]
async fn a_program_that_comes_before_its_migrations_is_told_so() {
    let Empty { config, .. } = &empty().await;
    bootstrap(config, &[]).await.unwrap();
    let db = Db::connect(config).await.unwrap();
    let error = check(&db, &[FIRST]).await.unwrap_err();
    assert!(is_incompatible(&error, "run its migrations first"), "{error}");
    check(&db, &[]).await.unwrap();
}

#[tokio::test]
async fn an_equivalent_text_is_accepted_by_its_checksum() {
    let Empty { config, .. } = &empty().await;
    bootstrap(config, &[FIRST]).await.unwrap();
    const SPACED: Step =
        Step::sql(1, "thing", "create table t.thing (id bigint primary key , n bigint not null, old text)");
    let error = bootstrap(config, &[MigrationSet::new("t", &[SPACED])]).await.unwrap_err().to_string();
    let (_, advice) = error.split_once(".formerly(&[\"").unwrap();
    let checksum: &'static str = advice.split_once('"').unwrap().0.to_owned().leak();
    let steps = vec![SPACED.formerly(vec![checksum].leak())];
    assert_eq!(bootstrap(config, &[MigrationSet::new("t", steps.leak())]).await.unwrap().steps, []);
}

#[tokio::test]
async fn a_plan_shows_what_would_be_applied_and_applies_nothing() {
    let Empty { config, admin, .. } = &empty().await;
    let before = plan(config, &[NOTES, THIRD]).await.unwrap();
    assert_eq!(
        count(admin, "select 1 from pg_namespace where nspname in ('shared_db', 't', 'notes')").await,
        0
    );
    let report = before.to_string();
    for line in [
        "t is at step 0 of 3\n",
        "to apply, in this order:\n  shared_db 0001_tenant_table, in a transaction\n",
        "\n  t 0002_by_n, concurrently\n  t 0003_drop_old, in a transaction; programs with fewer than 2 steps do not survive it",
    ] {
        assert!(report.contains(line), "{report}");
    }
    let sql = before.sql();
    assert!(sql.contains("-- notes 0001_note, in a transaction\ncreate table notes.note ("), "{sql}");
    assert!(sql.contains("to \"shared_app\""), "the roles have their names: {sql}");

    bootstrap(config, &[FIRST]).await.unwrap();
    let names: Vec<&str> = plan(config, &[THIRD]).await.unwrap().steps.iter().map(|step| step.name).collect();
    assert_eq!(names, ["by_n", "drop_old"]);
    bootstrap(config, &[THIRD]).await.unwrap();
    assert!(plan(config, &[THIRD]).await.unwrap().to_string().ends_with("nothing to apply"));
}
