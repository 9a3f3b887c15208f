//! A server that hangs: it keeps its connections open, and answers nothing.

use std::time::Duration;

use shared_core::Id;
use shared_db::{Config, Db, Error, bootstrap, migration, statements};

use crate::support::{BODIES, COUNT, INSERT, NOTES, eventually, tenant};

statements! {
    const ROWS: Statement<(), String> = "select repeat('x', 1000) from generate_series(1, 1000000)";
}

#[tokio::test]
async fn no_caller_waits_for_it_for_ever_and_the_pool_recovers_by_itself() {
    let server = crate::server::exclusive().await;
    let mut config = Config::new(server.url());
    bootstrap(&config, &[NOTES]).await.unwrap();
    config.pool_size = 2;
    config.pool_timeout = Duration::from_secs(1);
    config.connect_timeout = Duration::from_secs(1);
    config.statement_timeout = Duration::from_secs(1);
    let db = Db::connect(&config).await.unwrap();
    let tenant = tenant();
    let notes = db.tenant(&tenant);
    notes.one(&INSERT, (Id::new(), "before")).await.unwrap();
    let mut begun = notes.begin().await.unwrap();
    begun.one(&INSERT, (Id::new(), "half-way")).await.unwrap();

    server.pause().await.unwrap();
    let reading = notes.one(&COUNT, ()).await.unwrap_err();
    assert!(matches!(reading, Error::OutcomeUnknown { .. }) || reading.is_retryable(), "{reading}");
    let committing = begun.commit().await.unwrap_err();
    assert!(matches!(committing, Error::OutcomeUnknown { .. }), "{committing}");
    for _ in 0..4 {
        let waiting = notes.one(&COUNT, ()).await.unwrap_err();
        assert!(matches!(waiting, Error::PoolTimeout { .. } | Error::Connect { .. }), "{waiting}");
    }

    server.resume().await.unwrap();
    eventually(Duration::from_secs(20), async || notes.one(&COUNT, ()).await.is_ok()).await;
    // What was told to be unknown has happened or not; what was told to be done is there once.
    let bodies = notes.all(&BODIES, ()).await.unwrap();
    assert_eq!(bodies.iter().filter(|body| *body == "before").count(), 1, "{bodies:?}");
    assert!(bodies.len() <= 2, "{bodies:?}");
}

#[tokio::test]
async fn neither_an_end_nor_a_new_listener_waits_for_it() {
    let server = crate::server::exclusive().await;
    let mut config = Config::new(server.url());
    bootstrap(&config, &[NOTES]).await.unwrap();
    config.connect_timeout = Duration::from_secs(1);
    let db = Db::connect(&config).await.unwrap();
    let _open = db.untenanted().begin().await.unwrap();
    server.pause().await.unwrap();
    let listening = tokio::time::timeout(Duration::from_secs(5), db.listen(&["notes"])).await;
    assert!(matches!(listening.expect("in time"), Err(Error::Connect { .. })));
    let closed = tokio::time::timeout(Duration::from_secs(10), db.close(Duration::from_millis(50))).await;
    let closed = closed.expect("in time");
    assert_eq!((closed.cancelled, closed.terminated), (1, 0), "nobody was there to end it");
    server.resume().await.unwrap();
}

#[tokio::test]
async fn nor_does_a_program_that_starts() {
    let server = crate::server::exclusive().await;
    let mut config = Config::new(server.url());
    bootstrap(&config, &[NOTES]).await.unwrap();
    config.connect_timeout = Duration::from_secs(1);
    config.statement_timeout = Duration::from_secs(1);
    // With a connection at rest, on which it is asked.
    let db = Db::connect(&config).await.unwrap();
    server.pause().await.unwrap();
    let checking = tokio::time::timeout(Duration::from_secs(10), migration::check(&db, &[NOTES])).await;
    assert!(matches!(checking.expect("in time"), Err(Error::Connect { .. })));
    let migrating = tokio::time::timeout(Duration::from_secs(10), bootstrap(&config, &[NOTES])).await;
    assert!(matches!(migrating.expect("in time"), Err(Error::Connect { .. })));
    server.resume().await.unwrap();
}

#[tokio::test]
async fn nor_does_who_reads_row_by_row() {
    let server = crate::server::exclusive().await;
    let mut config = Config::new(server.url());
    bootstrap(&config, &[NOTES]).await.unwrap();
    config.connect_timeout = Duration::from_secs(1);
    config.statement_timeout = Duration::from_secs(2);
    let db = Db::connect(&config).await.unwrap();
    let mut tx = db.untenanted().begin().await.unwrap();
    let mut rows = tx.stream(&ROWS, ()).await.unwrap();
    assert!(rows.next().await.unwrap().is_some());
    server.pause().await.unwrap();
    let reading = async {
        loop {
            match rows.next().await {
                Ok(row) => assert!(row.is_some(), "it was read to its end"),
                Err(error) => break error,
            }
        }
    };
    let error = tokio::time::timeout(Duration::from_secs(20), reading).await.expect("in time");
    assert!(error.to_string().contains("has not answered"), "{error}");
    server.resume().await.unwrap();
    drop(rows);
    assert!(matches!(tx.commit().await, Err(Error::TransactionFailed { statement: "ROWS", .. })));
}
