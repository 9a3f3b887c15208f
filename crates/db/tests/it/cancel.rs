//! Futures that are dropped at any await leave nothing behind.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use shared_core::{AssumedTenant, Id, Secret};
use shared_db::{Closed, Db, Error, Isolation, Statement, TenantTx, statements};

use crate::support::{Done, INSERT, admin, at_work, connected_with, eventually, tenant};
use crate::trips::Collecting;

statements! {
    const ECHO: Statement<(i64, f64), i64> = "select $1::bigint from pg_sleep($2)";
    const WHO: Statement<(i64,), (i64, i32, String)> = "
        select $1::bigint, pg_backend_pid(), coalesce(current_setting('app.tenant_id', true), '')";
}

/// How many futures are dropped; `SHARED_DB_CANCELLATIONS` says so for a long run, when the test is built.
pub(crate) fn cancellations() -> u64 {
    option_env!("SHARED_DB_CANCELLATIONS").and_then(|count| count.parse().ok()).unwrap_or(2_000)
}

/// Polls `work` so many times, then drops it.
pub(crate) async fn cut_after<T>(polls: u64, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut left = polls;
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Numbers that look random, the same in every run.
pub(crate) fn scattered(seed: u64) -> u64 {
    let mixed = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 31)
}

/// One of the ways to use a database; every answer is checked.
async fn use_it(db: &Db, tenant: &AssumedTenant, nonce: u64) -> Result<(), Error> {
    let (asked, pause) = (nonce as i64, [0.0, 0.0005, 0.005, 30.0][(scattered(nonce) >> 8) as usize % 4]);
    let answer = match nonce % 7 {
        0 => db.tenant(tenant).one(&ECHO, (asked, pause)).await?,
        1 => db.untenanted().one(&ECHO, (asked, pause)).await?,
        2 => db.system().tx(async |tx| tx.one(&ECHO, (asked, pause)).await).await?,
        3 => {
            let work = async |tx: &mut TenantTx| -> Done<i64> {
                tx.at_commit::<Collecting>().0.push("collected".to_owned());
                tx.savepoint(async |tx| tx.one(&ECHO, (asked, pause)).await).await
            };
            db.tenant(tenant).tx(work).await?
        }
        4 => db.across_tenants("a test").one(&ECHO, (asked, pause)).await?,
        5 => {
            let serializable = db.tenant(tenant).isolation(Isolation::Serializable).retrying();
            serializable.tx(async |tx| -> Done<i64> { tx.one(&ECHO, (asked, pause)).await }).await?
        }
        _ => {
            let mut tx = db.tenant(tenant).begin().await?;
            tx.one(&INSERT, (Id::new(), "left open")).await?;
            tx.one(&ECHO, (asked, pause)).await?
        }
    };
    assert_eq!(answer, asked, "the answer to another question");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dropped_futures_leave_no_query_no_transaction_and_no_tenant() {
    const CONNECTIONS: u32 = 4;
    let (mut database, db) = connected_with(CONNECTIONS).await;
    drop(db);
    // It is no replica, and reads nothing; but commits now say where they were.
    database.config.replica_urls = vec![Secret::new(&*database.direct)];
    let db = Db::connect(&database.config).await.unwrap();
    db.on_crossing(|_| {}).unwrap();
    let admin = admin(&database.config).await;
    let tenants: Vec<_> = (0..20).map(|_| tenant()).collect();

    let tasks = (0..cancellations()).map(|nonce| {
        let (db, tenant) = (db.clone(), tenants[nonce as usize % tenants.len()].clone());
        tokio::spawn(async move {
            // A long statement is given up by the clock, everything else at some poll.
            let used = tokio::time::timeout(Duration::from_millis(30), use_it(&db, &tenant, nonce));
            match cut_after(scattered(nonce) % 12, used).await {
                None | Some(Err(_)) => false,
                Some(Ok(done)) => done.map(|()| true).unwrap(),
            }
        })
    });
    let done: Vec<bool> = stream::iter(tasks).buffer_unordered(12).map(Result::unwrap).collect().await;
    let finished = done.iter().filter(|finished| **finished).count();
    assert!(
        finished > 0 && finished < done.len(),
        "{finished} of {} finished: that tests nothing",
        done.len()
    );

    eventually(Duration::from_secs(1), async || at_work(&admin).await.is_empty()).await;
    every_connection_is_clean(&db, CONNECTIONS).await;
    assert_eq!(db.close(Duration::from_secs(5)).await, Closed::default());
}

/// Takes all connections at once, and asks each who it is.
async fn every_connection_is_clean(db: &Db, connections: u32) {
    let mut held = Vec::new();
    for nonce in 0..i64::from(connections) {
        let mut tx = db.untenanted().begin().await.unwrap();
        let (answer, backend, tenant) = tx.one(&WHO, (nonce,)).await.unwrap();
        assert_eq!((answer, tenant.as_str()), (nonce, ""));
        held.push((backend, tx));
    }
    held.sort_by_key(|(backend, _)| *backend);
    held.dedup_by_key(|(backend, _)| *backend);
    assert_eq!(held.len(), connections as usize);
}

#[tokio::test]
async fn a_storm_of_dropped_statements_is_over_within_a_second() {
    let (database, db) = connected_with(30).await;
    let admin = admin(&database.config).await;
    let asked = (0..30).map(|nonce| {
        let db = db.clone();
        tokio::spawn(async move { db.untenanted().one(&ECHO, (nonce, 60.0)).await })
    });
    let asked: Vec<_> = asked.collect();
    eventually(Duration::from_secs(20), async || at_work(&admin).await.len() == 30).await;
    asked.iter().for_each(|task| task.abort());
    eventually(Duration::from_secs(1), async || at_work(&admin).await.is_empty()).await;
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
        eventually(Duration::from_secs(1), is_free).await;
    }
    assert_eq!(db.status().discarded, 2);
}
