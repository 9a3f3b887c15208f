//! Futures that are dropped at any await leave nothing behind.

use std::time::Duration;

use shared_db::{Closed, Statement, statements};

use crate::server::STORM;
use crate::storm::Aftermath;
use crate::storm_postgres::{CONNECTIONS, look_at_each, postgres};
use crate::support::{admin, at_work, connected_with, eventually};

statements! {
    const ECHO: Statement<(i64, f64), i64> = "select $1::bigint from pg_sleep($2)";
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dropped_futures_leave_no_query_no_transaction_and_no_tenant() {
    postgres(STORM).await.assert_clear();
}

#[tokio::test]
async fn the_look_at_what_is_left_sees_a_setting_a_lock_and_a_statement_that_runs() {
    const LEFT: [(&str, usize, usize); 4] = [
        ("select set_config('lock_timeout', '1s', false)", 0, 1),
        ("select set_config('app.tenant_id', 'another', false)", 0, 1),
        ("select pg_advisory_lock(1)::text", 1, 0),
        ("create temp table leftover (a int)", 1, 0),
    ];
    for (sql, poisoned, leaked) in LEFT {
        let (_database, db) = connected_with(CONNECTIONS).await;
        let door = db.untenanted();
        if sql.starts_with("select") {
            door.one(&unchecked::<(), String>(sql), ()).await.unwrap();
        } else {
            door.execute(&unchecked::<(), ()>(sql), ()).await.unwrap();
        }
        let mut aftermath = Aftermath::default();
        look_at_each(&mut aftermath, &door).await;
        assert_eq!(
            (aftermath.poisoned.len(), aftermath.leaked.len()),
            (poisoned, leaked),
            "{sql}: {aftermath:?}"
        );
    }
    let (database, db) = connected_with(1).await;
    let admin = admin(&database.config).await;
    let mut aftermath = Aftermath::default();
    let running = tokio::spawn(async move { db.untenanted().one(&ECHO, (1, 60.0)).await });
    eventually(Duration::from_secs(5), async || at_work(&admin).await.len() == 1).await;
    aftermath.keep_running(async || at_work(&admin).await).await;
    assert!(aftermath.running.len() == 1 && !aftermath.is_clear(), "{aftermath:?}");
    running.abort();
}

#[tokio::test]
async fn a_storm_of_dropped_statements_is_over_soon() {
    let (database, db) = connected_with(30).await;
    let admin = admin(&database.config).await;
    let asked = (0..30).map(|nonce| {
        let db = db.clone();
        tokio::spawn(async move { db.untenanted().one(&ECHO, (nonce, 60.0)).await })
    });
    let asked: Vec<_> = asked.collect();
    eventually(Duration::from_secs(20), async || at_work(&admin).await.len() == 30).await;
    asked.iter().for_each(|task| task.abort());
    // On a machine that is busy; by themselves they would take a minute.
    eventually(Duration::from_secs(5), async || at_work(&admin).await.is_empty()).await;
    assert_eq!(db.close(Duration::from_secs(5)).await, Closed::default());
}

/// Such statements don't compile; a function or a migration may still do what they do.
fn unchecked<P, R>(sql: &'static str) -> Statement<P, R> {
    Statement::from_macro("UNCHECKED", sql, false)
}

#[tokio::test]
async fn a_dropped_transaction_takes_its_locks_and_temporary_tables_with_it() {
    let (database, db) = connected_with(1).await;
    let admin = admin(&database.config).await;
    let (lock, table) = (
        unchecked::<(i64,), ()>("select pg_advisory_lock($1)"),
        unchecked::<(), ()>("create temp table leftover (a int)"),
    );
    let is_free = async || {
        let locks = "select count(*) from pg_locks where locktype = 'advisory' and objid = 4711 and granted";
        admin.query_one(locks, &[]).await.unwrap().get::<_, i64>(0) == 0
    };
    for dropped_in_a_statement in [false, true] {
        let mut tx = db.untenanted().begin().await.unwrap();
        tx.execute(&lock, (4711_i64,)).await.unwrap();
        tx.execute(&table, ()).await.unwrap();
        assert!(!is_free().await);
        if dropped_in_a_statement {
            assert!(tokio::time::timeout(Duration::from_millis(50), tx.one(&ECHO, (1, 60.0))).await.is_err());
        }
        drop(tx);
        // The only connection of the pool, and another one than before.
        let there = unchecked::<(), bool>("select to_regclass('pg_temp.leftover') is not null");
        assert!(!db.untenanted().one(&there, ()).await.unwrap());
        eventually(Duration::from_secs(10), is_free).await;
    }
    assert_eq!(db.status().discarded, 2);
}
