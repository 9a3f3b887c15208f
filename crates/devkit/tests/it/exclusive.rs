//! A server of one's own: which PostgreSQL, with which settings, and what is left of it.

use std::{
    fs::File,
    path::Path,
    time::{Duration, SystemTime},
};

use shared_devkit::{Error, Postgres, PostgresOptions};

use crate::{
    database::{connect, count},
    sandbox::{Sandbox, is_mentioned, keeper, kill, kill_id, said, wait_until},
};

const OWNER: &str = "owner until end of input";

pub(crate) async fn show(url: &str, setting: &str) -> String {
    let row = connect(url).await.query_one(&format!("show {setting}"), &[]).await;
    row.expect("a setting").get(0)
}

#[tokio::test]
async fn two_versions_run_side_by_side_with_settings_of_their_own() {
    let older = PostgresOptions::bundled().version(16).setting("max_prepared_transactions", 7);
    let newer =
        PostgresOptions::bundled().setting("wal_level", "logical").setting("application_name", "it's");
    let (older, newer) = (Postgres::exclusive_with(older), Postgres::exclusive_with(newer));
    let (older, newer) = tokio::try_join!(older, newer).expect("two servers");

    assert!(show(older.url(), "server_version").await.starts_with("16."));
    assert!(show(newer.url(), "server_version").await.starts_with("18."));
    assert_eq!(show(older.url(), "max_prepared_transactions").await, "7");
    assert_eq!(show(newer.url(), "wal_level").await, "logical");
    assert_eq!(show(newer.url(), "application_name").await, "it's");
    for server in [&older, &newer] {
        assert_eq!(show(server.url(), "fsync").await, "on");
        connect(server.url()).await.batch_execute("create extension vector").await.expect("pgvector");
    }
}

#[tokio::test]
async fn a_version_that_is_not_there_is_named_with_what_to_install() {
    let refused = Postgres::exclusive_with(PostgresOptions::installed().version(99)).await;
    let error = refused.expect_err("no such version");
    assert!(matches!(error, Error::NoSuchPostgres { .. }));
    let text = error.to_string();
    assert!(text.starts_with("no installed PostgreSQL 99 with pgvector 0.8 or later is here"), "{text}");
    assert!(text.contains("postgresql-99 postgresql-99-pgvector"), "{text}");

    // The bundled server has no TLS.
    let refused = Postgres::exclusive_with(PostgresOptions::bundled().tls("certificate", "secret key")).await;
    let text = refused.expect_err("no TLS").to_string();
    assert!(text.starts_with("no bundled PostgreSQL with pgvector 0.8 or later and TLS is here"), "{text}");
    assert!(!text.contains("secret key"), "{text}");
}

#[tokio::test]
async fn a_setting_that_the_server_refuses_is_its_own_reason() {
    let refused = Postgres::exclusive_with(PostgresOptions::new().setting("max_connections", "many")).await;
    let error = refused.expect_err("no number");
    assert!(matches!(error, Error::Server { .. }));
    let text = error.to_string();
    assert!(text.contains("invalid value for parameter \"max_connections\": \"many\""), "{text}");
}

#[tokio::test]
async fn nothing_is_left_of_a_server_without_its_handle() {
    let server = Postgres::exclusive().await.expect("a server");
    let data = show(server.url(), "data_directory").await;
    let directory = Path::new(&data).parent().expect("its directory").to_owned();
    drop(server);
    wait_until("the server and its directory are gone", || !directory.exists());
    wait_until("its processes are gone", || !is_mentioned(&directory));
}

/// As if it had been left some minutes ago.
pub(crate) fn age(directory: &Path) {
    let then = SystemTime::now() - Duration::from_secs(600);
    File::open(directory).and_then(|directory| directory.set_modified(then)).expect("our directory");
}

#[tokio::test]
async fn a_server_whose_owner_and_keeper_were_killed_is_ended_by_the_next_start() {
    let sandbox = Sandbox::with_wheels().await;
    // Four servers: abandoned long ago; abandoned just now; without its keeper; whole.
    let mut owners: Vec<_> = (0..4)
        .map(|_| {
            let known = sandbox.servers();
            let mut owner = sandbox.child(OWNER).spawn().expect("a child");
            let url = said(&mut owner);
            let is_new = |directory: &std::path::PathBuf| !known.contains(directory);
            (owner, url, sandbox.servers().into_iter().find(is_new).expect("a server"))
        })
        .collect();
    let directories: Vec<_> = owners.iter().map(|(_, _, directory)| directory.clone()).collect();
    for directory in &directories[..3] {
        kill_id(keeper(directory));
    }
    for (owner, ..) in owners.drain(..2) {
        kill(owner);
    }
    for at in [0, 2, 3] {
        age(&directories[at]);
    }

    let mut next = sandbox.child(OWNER).spawn().expect("a child");
    said(&mut next);
    assert!(!directories[0].exists() && !is_mentioned(&directories[0]), "ended and removed");
    assert!(directories[1].exists(), "too young to be sure");
    for (_, url, _) in &owners {
        assert_eq!(count(&connect(url).await, "select 1::bigint").await, 1, "it has an owner");
    }

    owners.into_iter().for_each(|(owner, ..)| kill(owner));
    // Nobody but the sweep ends those without keepers.
    age(&directories[1]);
    age(&directories[2]);
    kill(next);
    let mut last = sandbox.child(OWNER).spawn().expect("a child");
    said(&mut last);
    kill(last);
    wait_until("nothing is left", || sandbox.servers().is_empty());
}
