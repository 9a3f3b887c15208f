//! A program that migrates and is killed with -9, behind every statement in turn. This test is its own victim.

use std::env;
use std::time::Duration;

use shared_db::migration::catalogue;
use shared_db::{Config, MigrationSet, Step, bootstrap};
use shared_devkit::child::{self, Child, Kill, Matrix, Outcome};

use crate::server::Shared;
use crate::support::NOTES;

/// The URL of the database in which the victim works.
const DATABASE: &str = "DB_TEST_DATABASE";

const SETS: [MigrationSet; 2] = [
    NOTES,
    MigrationSet::new(
        "t",
        &[
            Step::sql(
                1,
                "thing",
                "create table t.thing (id bigint primary key, n bigint, old text); insert into t.thing select g, g from generate_series(1, 20000) as g",
            ),
            Step::concurrent(
                2,
                "by_n",
                "create unique index concurrently if not exists thing_by_n on t.thing (n)",
            ),
            Step::sql(
                3,
                "view",
                "create view t.even with (security_invoker = true) as select n from t.thing where n % 2 = 0",
            ),
            Step::sql(4, "drop_old", "alter table t.thing drop column old").contracts(1),
        ],
    ),
];

async fn whole(config: &Config) -> String {
    let mut whole = String::new();
    for schema in ["shared_db", "notes", "t"] {
        whole += &catalogue(config, schema).await.unwrap();
    }
    whole
}

#[tokio::test]
async fn a_second_run_converges_wherever_the_first_one_was_killed() {
    if let Some(ledger) = child::enter().unwrap() {
        let applied = bootstrap(&Config::new(env::var(DATABASE).unwrap()), &SETS).await.unwrap();
        ledger.append(applied).unwrap();
        return;
    }
    let server = crate::server::shared().await;
    let untouched = server.empty_database().await.unwrap();
    let config = Config::new(untouched.url());
    bootstrap(&config, &SETS).await.unwrap();
    let expected = whole(&config).await;

    let statements = (1..=statements(&server).await).map(|nth| Kill::at("db.bootstrap.answered", nth));
    let kills = Matrix::new(statements).moments(8, Duration::ZERO..Duration::from_millis(250), 11);
    let report = kills
        .run(async |kill| {
            let database = server.empty_database().await.unwrap();
            let config = Config::new(database.url());
            victim(database.url(), kill).await.unwrap();
            let applied = bootstrap(&config, &SETS).await.unwrap().steps.len();
            let again = bootstrap(&config, &SETS).await.unwrap().steps.len();
            Outcome::new()
                .count("applied by the second", applied)
                .wrong("applied twice", again)
                .wrong("differences", usize::from(whole(&config).await != expected))
        })
        .await
        .unwrap();
    assert!(report.kills() >= 30, "{}", report.kills());
}

/// Runs the migrations in a process of their own until the kill.
async fn victim(url: &str, kill: Kill) -> Result<bool, shared_devkit::Error> {
    let victim =
        Child::test_function("migrations_killed::a_second_run_converges_wherever_the_first_one_was_killed");
    victim.env(DATABASE, url).kill(kill).start()?.killed().await
}

/// How many statements a run sends: the first that is never reached, less one.
async fn statements(server: &Shared) -> u64 {
    let (mut reached, mut missed) = (1, 128);
    while missed - reached > 1 {
        let middle = (reached + missed) / 2;
        let database = server.empty_database().await.unwrap();
        match victim(database.url(), Kill::at("db.bootstrap.answered", middle)).await {
            Ok(_) => reached = middle,
            Err(_) => missed = middle,
        }
    }
    reached
}
