//! The pool's bounds and its end.

use std::time::{Duration, Instant};

use shared_db::{Config, Db, Error, statements};

use crate::support::{COUNT, connected_with, database, tenant};

statements! {
    const SETTINGS: Statement<(), (String, String, String)> = "
        select current_setting('statement_timeout'), current_setting('geqo'), current_user::text";
    const SLEEP: Statement<(f64,), ()> = "select pg_sleep($1)";
}

#[tokio::test]
async fn who_waits_too_long_for_a_connection_is_told() {
    let mut database = database().await;
    database.config.pool_size = 1;
    database.config.pool_timeout = Duration::from_millis(100);
    let db = Db::connect(&database.config).await.unwrap();
    let _held = db.untenanted().begin().await.unwrap();
    let start = Instant::now();
    let error = db.tenant(&tenant()).one(&COUNT, ()).await.unwrap_err();
    assert!(matches!(error, Error::PoolTimeout { .. }), "{error}");
    assert!(error.is_retryable() && error.is_timeout());
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(100) && waited < Duration::from_secs(2), "{waited:?}");
}

#[tokio::test]
async fn a_closed_pool_refuses_and_waits_for_those_inside() {
    let (_database, db) = connected_with(2).await;
    let mut inside = db.untenanted().begin().await.unwrap();

    assert_eq!(db.close(Duration::from_millis(50)).await, 1);
    assert!(matches!(db.untenanted().one(&COUNT, ()).await, Err(Error::Closed)));
    assert!(matches!(db.tenant(&tenant()).begin().await, Err(Error::Closed)));
    assert!(matches!(db.ping().await, Err(Error::Closed)));

    let closing = tokio::spawn({
        let db = db.clone();
        async move { db.close(Duration::from_secs(10)).await }
    });
    assert_eq!(inside.one(&COUNT, ()).await.unwrap(), 0);
    inside.commit().await.unwrap();
    assert_eq!(closing.await.unwrap(), 0);
    assert_eq!(db.status().open, 0);
}

#[tokio::test]
async fn those_who_wait_for_a_connection_are_let_go_when_the_pool_closes() {
    let (_database, db) = connected_with(1).await;
    let held = db.untenanted().begin().await.unwrap();
    let waiting = tokio::spawn({
        let db = db.clone();
        async move { db.untenanted().one(&COUNT, ()).await }
    });
    crate::support::eventually(Duration::from_secs(5), async || db.status().waiting > 0).await;
    db.close(Duration::ZERO).await;
    assert!(matches!(waiting.await.unwrap(), Err(Error::Closed)));
    held.rollback().await;
}

#[tokio::test]
async fn sessions_begin_with_the_limits_and_what_the_url_asks_for() {
    let mut database = database().await;
    database.config.statement_timeout = Duration::from_millis(200);
    let url = format!("{}?options=-c%20geqo%3Doff", database.config.url.expose());
    database.config.url = shared_core::Secret::new(url);
    let db = Db::connect(&database.config).await.unwrap();
    let (timeout, geqo, role) = db.untenanted().one(&SETTINGS, ()).await.unwrap();
    assert_eq!((timeout.as_str(), geqo.as_str(), role.as_str()), ("200ms", "off", "shared_app"));
    let error = db.untenanted().execute(&SLEEP, (20.0,)).await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!(db.status().discarded, 0);
}

#[tokio::test]
async fn a_url_is_never_quoted() {
    const SECRETS: &[&str] = &[
        "postgres://app:hunter2@127.0.0.1:1/x",
        "postgres://app:hunter2@[::1/x",
        "postgres://app:hunter2@127.0.0.1:hunter2/x",
        "postgres://app:hunter2@127.0.0.1:1/x?hunter2=1",
        "postgres://app:hunter2@127.0.0.1:1/x?sslmode=hunter2",
        "postgres://app:%zzhunter2@127.0.0.1:1/x",
        "mysql://app:hunter2@127.0.0.1/x",
        "host=127.0.0.1 port=1 password=hunter2 user=app dbname=x",
        "host=127.0.0.1 port=1 password='hunter2",
        "hunter2",
        "",
    ];
    for url in SECRETS {
        let config = Config::new(*url);
        let connected = Db::connect(&config).await.unwrap_err();
        let prepared = shared_db::bootstrap(&config, &[]).await.unwrap_err();
        for shown in
            [format!("{connected} {connected:?}"), format!("{prepared} {prepared:?}"), format!("{config:?}")]
        {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
