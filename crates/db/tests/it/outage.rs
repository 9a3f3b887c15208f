//! A server that dies, and a wire that breaks at the worst moment.

use std::time::Duration;

use shared_core::Id;
use shared_db::{Config, Db, Error, bootstrap, statements};

use crate::support::{COUNT, INSERT, NOTES, admin, at_work, database, eventually, tenant};

statements! {
    const SLEEP: Statement<(f64,), ()> = "select pg_sleep($1)";
}

#[tokio::test]
async fn the_pool_outlives_a_killed_server() {
    let mut server = crate::server::exclusive().await;
    let mut config = Config::new(server.url());
    config.pool_size = 4;
    bootstrap(&config, &[NOTES]).await.unwrap();
    let db = Db::connect(&config).await.unwrap();
    let tenant = tenant();
    let admin = admin(&config).await;

    // Two idle connections, one under way in a statement, one with an open transaction.
    let (one, two) = (db.untenanted().begin().await.unwrap(), db.untenanted().begin().await.unwrap());
    let mut open = db.tenant(&tenant).begin().await.unwrap();
    open.one(&INSERT, (Id::new(), "never committed")).await.unwrap();
    let running = tokio::spawn({
        let (db, tenant) = (db.clone(), tenant.clone());
        async move { db.tenant(&tenant).tx(async |tx| tx.execute(&SLEEP, (60.0,)).await).await }
    });
    eventually(Duration::from_secs(10), async || {
        at_work(&admin).await.iter().any(|one| one.contains("pg_sleep"))
    })
    .await;
    one.rollback().await;
    two.rollback().await;

    server.kill().await.unwrap();
    let broken = running.await.unwrap().unwrap_err();
    assert!(broken.is_retryable(), "{broken}");
    // A backend may outlive its server for a moment.
    let mut broken = None;
    eventually(Duration::from_secs(10), async || {
        broken = open.one(&COUNT, ()).await.err();
        broken.is_some()
    })
    .await;
    assert!(broken.is_some_and(|error| error.is_retryable()));
    let nothing = open.commit().await.unwrap_err();
    assert!(matches!(nothing, Error::TransactionFailed { statement: "COUNT", .. }), "{nothing}");
    eventually(Duration::from_secs(10), async || match db.tenant(&tenant).one(&COUNT, ()).await {
        Err(down @ Error::Connect { .. }) => down.is_retryable(),
        Err(error) => {
            assert!(error.is_retryable() || matches!(error, Error::OutcomeUnknown { .. }), "{error}");
            false
        }
        Ok(_) => false,
    })
    .await;

    server.start().await.unwrap();
    assert_eq!(server.url(), config.url.expose(), "the port was taken meanwhile");
    assert_eq!(db.tenant(&tenant).one(&COUNT, ()).await.unwrap(), 0);
    db.tenant(&tenant).one(&INSERT, (Id::new(), "after")).await.unwrap();
    assert_eq!(db.tenant(&tenant).one(&COUNT, ()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_has_an_unknown_outcome() {
    let mut database = database().await;
    let admin = admin(&database.config).await;
    let proxy = database.behind_proxy().await;
    let db = Db::connect(&database.config).await.unwrap();
    let tenant = tenant();
    db.tenant(&tenant).one(&INSERT, (Id::new(), "warm")).await.unwrap();

    proxy.to_client().cut_after(0);
    let lost = db.tenant(&tenant).one(&INSERT, (Id::new(), "it was committed")).await.unwrap_err();
    assert!(matches!(lost, Error::OutcomeUnknown { .. }), "{lost}");
    assert!(!lost.is_retryable(), "repeated, it would be written twice");
    let written =
        async || admin.query_one("select count(*) from notes.note", &[]).await.unwrap().get::<_, i64>(0);
    eventually(Duration::from_secs(5), async || written().await == 2).await;

    proxy.heal();
    let mut tx = db.tenant(&tenant).begin().await.unwrap();
    tx.one(&INSERT, (Id::new(), "it was committed too")).await.unwrap();
    proxy.to_client().cut_after(0);
    let lost = tx.commit().await.unwrap_err();
    assert!(matches!(lost, Error::OutcomeUnknown { .. }), "{lost}");
    eventually(Duration::from_secs(5), async || written().await == 3).await;

    proxy.heal();
    let mut tx = db.tenant(&tenant).begin().await.unwrap();
    proxy.to_client().cut_after(0);
    let lost = tx.one(&INSERT, (Id::new(), "it was not committed")).await.unwrap_err();
    assert!(lost.is_retryable(), "{lost}");
    drop(tx);
    proxy.heal();
    assert_eq!(db.tenant(&tenant).one(&COUNT, ()).await.unwrap(), 3);
}

#[tokio::test]
async fn an_administrator_who_ends_a_backend_is_a_reason_to_retry() {
    let database = database().await;
    let admin = admin(&database.config).await;
    let db = Db::connect(&database.config).await.unwrap();
    let running = tokio::spawn({
        let (db, tenant) = (db.clone(), tenant());
        async move { db.tenant(&tenant).execute(&SLEEP, (60.0,)).await }
    });
    eventually(Duration::from_secs(10), async || at_work(&admin).await.len() == 1).await;
    let end = "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and state = 'active' and query like '%pg_sleep%' and pid <> pg_backend_pid()";
    admin.execute(end, &[]).await.unwrap();
    // The server said so before the COMMIT: that nothing happened is known.
    let ended = running.await.unwrap().unwrap_err();
    assert_eq!(ended.code(), Some("57P01"), "{ended}");
    assert!(ended.is_retryable(), "{ended}");
    assert_eq!(db.tenant(&tenant()).one(&COUNT, ()).await.unwrap(), 0);
}
