//! The pool's bounds and its end.

use std::time::{Duration, Instant};

use shared_db::{Closed, Config, Db, Error, Statement, statements};

use crate::support::{COUNT, connected_with, database, tenant};

statements! {
    const SETTINGS: Statement<(), (String, String, String)> = "
        select current_setting('statement_timeout'), current_setting('geqo'), current_user::text";
    const PID: Statement<(), i32> = "select pg_backend_pid()";
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

    let closing = tokio::spawn({
        let db = db.clone();
        async move { db.close(Duration::from_secs(10)).await }
    });
    crate::support::eventually(Duration::from_secs(5), async || {
        matches!(db.untenanted().one(&COUNT, ()).await, Err(Error::Closed))
    })
    .await;
    assert!(matches!(db.tenant(&tenant()).begin().await, Err(Error::Closed)));
    assert!(matches!(db.ping().await, Err(Error::Closed)));

    assert_eq!(inside.one(&COUNT, ()).await.unwrap(), 0);
    inside.commit().await.unwrap();
    assert_eq!(closing.await.unwrap(), Closed::default());
    assert_eq!(db.status().open, 0);
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut_and_reported() {
    let (database, db) = connected_with(3).await;
    let running = tokio::spawn({
        let db = db.clone();
        async move { db.untenanted().execute(&SLEEP, (60.0,)).await }
    });
    let mut forgotten = db.untenanted().begin().await.unwrap();
    let admin = crate::support::admin(&database.config).await;
    crate::support::eventually(Duration::from_secs(5), async || {
        crate::support::at_work(&admin).await.iter().any(|one| one.contains("pg_sleep"))
    })
    .await;

    let closed = db.close(Duration::from_millis(50)).await;
    assert_eq!(
        (closed.cancelled, closed.terminated),
        (2, 1),
        "the query was cancelled, the transaction ended"
    );
    assert!(running.await.unwrap().unwrap_err().is_timeout());
    assert!(forgotten.one(&COUNT, ()).await.is_err());
    drop(forgotten);
    crate::support::eventually(Duration::from_secs(5), async || {
        crate::support::at_work(&admin).await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn where_many_wait_nobody_starves() {
    let (_database, db) = connected_with(2).await;
    let callers = (0..100).map(async |_| {
        let mut longest = Duration::ZERO;
        for _ in 0..10 {
            let start = Instant::now();
            db.untenanted().execute(&SLEEP, (0.001,)).await.unwrap();
            longest = longest.max(start.elapsed());
        }
        longest
    });
    let start = Instant::now();
    let longest = futures_util::future::join_all(callers).await.into_iter().max().unwrap();
    // In turn, each waits for about a tenth of the whole; one who is passed over waits for nearly all of it.
    assert!(longest < start.elapsed() / 2, "{longest:?} of {:?}", start.elapsed());
}

#[tokio::test]
async fn a_connection_that_is_old_or_idle_is_replaced() {
    let pid = async |db: &Db| db.untenanted().one(&PID, ()).await.unwrap();
    let mut database = database().await;
    database.config.pool_lifetime = Duration::from_millis(100);
    let db = Db::connect(&database.config).await.unwrap();
    let first = pid(&db).await;
    crate::support::eventually(Duration::from_secs(5), async || pid(&db).await != first).await;

    database.config.pool_lifetime = Duration::from_secs(60);
    database.config.pool_idle = Duration::from_millis(50);
    let db = Db::connect(&database.config).await.unwrap();
    pid(&db).await;
    crate::support::eventually(Duration::from_secs(5), async || db.status().open == 0).await;
}

#[tokio::test]
async fn the_connection_that_came_back_last_is_lent_first() {
    let (_database, db) = connected_with(3).await;
    let (mut one, mut two) = (db.untenanted().begin().await.unwrap(), db.untenanted().begin().await.unwrap());
    let (first, last) = (one.one(&PID, ()).await.unwrap(), two.one(&PID, ()).await.unwrap());
    one.commit().await.unwrap();
    two.commit().await.unwrap();
    // So those that are not needed stay idle, and end.
    for _ in 0..5 {
        assert_eq!(db.untenanted().one(&PID, ()).await.unwrap(), last);
    }
    let mut busy = db.untenanted().begin().await.unwrap();
    assert_eq!(busy.one(&PID, ()).await.unwrap(), last);
    assert_eq!(db.untenanted().one(&PID, ()).await.unwrap(), first);
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

#[tokio::test]
async fn a_connection_remembers_only_so_many_statements() {
    const PREPARED: &str = "select count(*) from pg_prepared_statements";
    let (_database, db) = connected_with(1).await;
    let (mut most, mut least) = (0, i64::MAX);
    for number in 0..1200 {
        // A statement's text is a constant; a test may make one.
        let sql: &'static str = format!("select {number}::int8 + $1").leak();
        let made = Statement::<(i64,), i64>::from_macro("MADE", sql, false);
        assert_eq!(db.untenanted().one(&made, (1_i64,)).await.unwrap(), number + 1);
        if number > 900 {
            let prepared = Statement::<(), i64>::from_macro("PREPARED", PREPARED, false);
            let now = db.untenanted().one(&prepared, ()).await.unwrap();
            (most, least) = (most.max(now), least.min(now));
        }
    }
    assert!((900..=1001).contains(&most) && least < 10, "between {least} and {most}");
    assert_eq!(db.status().discarded, 0);
}

#[tokio::test]
async fn a_transaction_that_lies_open_is_ended_by_the_server() {
    let mut database = database().await;
    database.config.idle_in_transaction_timeout = Duration::from_millis(100);
    let db = Db::connect(&database.config).await.unwrap();
    let admin = crate::support::admin(&database.config).await;
    let mut forgotten = db.untenanted().begin().await.unwrap();
    crate::support::eventually(Duration::from_secs(5), async || {
        crate::support::at_work(&admin).await.is_empty()
    })
    .await;
    assert!(forgotten.one(&COUNT, ()).await.is_err());
    drop(forgotten);
    assert_eq!(db.untenanted().one(&COUNT, ()).await.unwrap(), 0);
}
