//! Each test its own database; each template migrated once.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use shared_devkit::{Error, Postgres};
use tokio_postgres::{Client, NoTls};

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a server");
    tokio::spawn(connection);
    client
}

pub(crate) async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.expect("a count").get(0)
}

async fn migrate(url: String) -> Result<(), tokio_postgres::Error> {
    connect(&url).await.batch_execute("create extension vector; create table note (body text)").await
}

/// Templates outlive a run of the tests.
fn fresh_key() -> String {
    uuid::Uuid::new_v4().to_string()
}

#[tokio::test]
async fn what_one_test_writes_no_other_sees() {
    let server = Postgres::shared().await.expect("a server");
    let key = fresh_key();
    let one = server.database(&key, migrate).await.expect("a database");
    let writer = connect(one.url()).await;
    writer.execute("insert into note values ('mine')", &[]).await.expect("a row");
    let other = server.database(&key, migrate).await.expect("a database");
    let reader = connect(other.url()).await;
    assert_ne!(one.name(), other.name());
    assert_eq!(count(&reader, "select count(*) from note").await, 0);
    assert_eq!(count(&writer, "select count(*) from note").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_callers_at_once_migrate_once() {
    let server = Postgres::shared().await.expect("a server");
    let (key, migrations) = (fresh_key(), AtomicUsize::new(0));
    let one = || {
        server.database(&key, async |url: String| {
            migrations.fetch_add(1, Ordering::SeqCst);
            migrate(url).await
        })
    };
    let databases =
        tokio::try_join!(one(), one(), one(), one(), one(), one(), one(), one()).expect("eight databases");
    assert_eq!(migrations.load(Ordering::SeqCst), 1);
    let client = connect(databases.7.url()).await;
    assert_eq!(count(&client, "select count(*) from note").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_of_different_keys_run_one_after_the_other_and_may_create_the_same_role() {
    let server = Postgres::shared().await.expect("a server");
    let (role, running) = (format!("role_{}", uuid::Uuid::new_v4().simple()), AtomicUsize::new(0));
    let one = async || {
        let migrate = async |url: String| {
            assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "another migration runs");
            let client = connect(&url).await;
            let exists = format!("select count(*) from pg_roles where rolname = '{role}'");
            if count(&client, &exists).await == 0 {
                client.batch_execute(&format!("create role {role}")).await?;
            }
            running.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, tokio_postgres::Error>(())
        };
        server.database(&fresh_key(), migrate).await
    };
    tokio::try_join!(one(), one(), one(), one()).expect("four databases");
    let client = connect(server.url()).await;
    client.batch_execute(&format!("drop role {role}")).await.expect("a role");
}

#[tokio::test]
async fn a_migration_that_fails_or_is_cut_off_leaves_no_template() {
    let server = Postgres::shared().await.expect("a server");
    let key = fresh_key();
    let failing = server.database(&key, async |_: String| Err::<(), _>(io::Error::other("no such column")));
    let error = failing.await.expect_err("the migration failed");
    assert!(matches!(&error, Error::Migration { .. }), "{error}");
    assert_eq!(std::error::Error::source(&error).expect("a source").to_string(), "no such column");

    let (started, begun) = tokio::sync::oneshot::channel();
    let endless = server.database(&key, async |url: String| {
        migrate(url).await.expect("a template");
        started.send(()).expect("a listener");
        std::future::pending::<io::Result<()>>().await
    });
    tokio::select! {
        _ = endless => unreachable!("it never ends"),
        _ = begun => {}
    }

    let database = server.database(&key, migrate).await.expect("a database");
    let client = connect(database.url()).await;
    assert_eq!(count(&client, "select count(*) from note").await, 0);
}

#[tokio::test]
async fn a_database_goes_with_its_owner_and_no_sooner() {
    let server = Postgres::shared().await.expect("a server");
    let client = connect(server.url()).await;
    let exists = async |name: &str| {
        count(&client, &format!("select count(*) from pg_database where datname = '{name}'")).await == 1
    };
    let kept = server.empty_database().await.expect("a database");
    let dropped = server.empty_database().await.expect("a database").name().to_owned();
    // Each new database sweeps away some of the abandoned ones, those of other tests among them.
    let mut tries = 0;
    while exists(&dropped).await {
        tries += 1;
        assert!(tries < 200, "nobody swept {dropped}");
        server.empty_database().await.expect("a database");
    }
    assert!(exists(kept.name()).await);
}
