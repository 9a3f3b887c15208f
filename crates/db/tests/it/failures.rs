//! Nothing of a transaction stays in which something failed or was given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use shared_core::{Context, Id};
use shared_db::{AtCommit, Bound, Db, Error, TenantTx, statements};
use time::{Date, Month};
use tokio::sync::Notify;

use crate::support::{
    BODIES, COUNT, Collecting, Done, INSERT, Note, admin, at_work, connected, connected_with, eventually,
    tenant,
};

statements! {
    const INSERT_AND_FAIL: Statement<(Id<Note>,), i32> = "
        with note as (insert into notes.note (tenant_id, id, body) values ($tenant, $1, 'x') returning 0 as zero)
        select 1 / zero from note";
    const SLEEP: Statement<(f64,), ()> = "select pg_sleep($1)";
    const ON: Statement<(Date,), ()> = "insert into notes.country (code, name) values ($1::date::text, 'x')";
    const COUNTRIES: Statement<(), i64> = "select count(*) from notes.country";
}

#[tokio::test]
async fn an_error_in_the_middle_of_the_one_trip_leaves_nothing_and_a_clean_connection() {
    let (_database, db) = connected_with(1).await;
    let tenant = tenant();
    for _ in 0..3 {
        let error = db.tenant(&tenant).one(&INSERT_AND_FAIL, (Id::new(),)).await.unwrap_err();
        assert_eq!(error.code(), Some("22012"), "{error}");
        assert_eq!(db.tenant(&tenant).one(&COUNT, ()).await.unwrap(), 0);
        assert_eq!(db.untenanted().one(&COUNT, ()).await.unwrap(), 0);
    }
    assert_eq!(db.status().discarded, 0);
}

#[tokio::test]
async fn a_swallowed_error_is_not_committed() {
    let (_database, db) = connected_with(1).await;
    let tenant = tenant();
    let (id, ran) = (Id::new(), Arc::new(AtomicBool::new(false)));
    let hook = ran.clone();
    let work = async |tx: &mut TenantTx| -> Done {
        tx.after_commit(move || hook.store(true, Ordering::SeqCst));
        tx.one(&INSERT, (id, "first")).await?;
        assert!(tx.one(&INSERT, (id, "again")).await.unwrap_err().is_unique_violation());
        Ok(())
    };
    let error = db.tenant(&tenant).tx(work).await.unwrap_err();
    assert!(matches!(error, Error::TransactionFailed { statement: "INSERT", .. }), "{error}");
    assert!(!ran.load(Ordering::SeqCst));
    assert_eq!(db.tenant(&tenant).one(&COUNT, ()).await.unwrap(), 0);
    assert_eq!(db.status().discarded, 0);
}

#[tokio::test]
async fn hooks_run_after_the_commit() {
    let (_database, db) = connected().await;
    let ran = Arc::new(AtomicBool::new(false));
    let hook = ran.clone();
    let mut tx = db.tenant(&tenant()).begin().await.unwrap();
    tx.after_commit(move || hook.store(true, Ordering::SeqCst));
    assert!(!ran.load(Ordering::SeqCst));
    tx.commit().await.unwrap();
    assert!(ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn what_fails_in_a_savepoint_is_undone_alone() {
    let (_database, db) = connected_with(1).await;
    let tenant = tenant();
    let id = Id::new();
    let work = async |tx: &mut TenantTx| -> Done {
        tx.one(&INSERT, (id, "kept")).await?;
        tx.at_commit::<Collecting>().0.push("collected before".to_owned());
        let again = tx.savepoint(async |tx| -> Done<Note> {
            tx.at_commit::<Collecting>().0.push("collected and undone".to_owned());
            tx.one(&INSERT, (Id::new(), "undone")).await?;
            tx.one(&INSERT, (id, "again")).await
        });
        assert!(again.await.unwrap_err().is_unique_violation());
        tx.savepoint(async |tx| tx.one(&INSERT, (Id::new(), "kept too")).await).await?;
        Ok(())
    };
    db.tenant(&tenant).tx(work).await.unwrap();
    let mut bodies = db.tenant(&tenant).all(&BODIES, ()).await.unwrap();
    bodies.sort();
    assert_eq!(bodies, ["collected before", "kept", "kept too"]);
}

#[tokio::test]
async fn an_error_swallowed_inside_a_savepoint_undoes_it() {
    let (_database, db) = connected().await;
    let tenant = tenant();
    let mut tx = db.tenant(&tenant).begin().await.unwrap();
    let note = tx.one(&INSERT, (Id::new(), "kept")).await.unwrap();
    let swallowed = tx.savepoint(async |tx| -> Done {
        let _ = tx.one(&INSERT, (note.id, "again")).await;
        Ok(())
    });
    assert!(matches!(swallowed.await, Err(Error::TransactionFailed { statement: "INSERT", .. })));
    tx.commit().await.unwrap();
    assert_eq!(db.tenant(&tenant).all(&BODIES, ()).await.unwrap(), ["kept"]);
}

#[tokio::test]
async fn savepoints_nest() {
    let (_database, db) = connected().await;
    let tenant = tenant();
    let mut tx = db.tenant(&tenant).begin().await.unwrap();
    let outer = tx.savepoint(async |tx| -> Done {
        tx.one(&INSERT, (Id::new(), "outer")).await?;
        let inner = tx.savepoint(async |tx| -> Done {
            tx.one(&INSERT, (Id::new(), "inner")).await?;
            tx.one(&INSERT_AND_FAIL, (Id::new(),)).await.map(drop)
        });
        assert!(inner.await.is_err());
        Ok(())
    });
    outer.await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(db.tenant(&tenant).all(&BODIES, ()).await.unwrap(), ["outer"]);
}

#[tokio::test]
async fn a_savepoint_that_is_dropped_half_way_fails_the_transaction() {
    let (_database, db) = connected().await;
    let tenant = tenant();
    let mut tx = db.tenant(&tenant).begin().await.unwrap();
    let inserted = Notify::new();
    let half = tx.savepoint(async |tx| -> Done {
        tx.one(&INSERT, (Id::new(), "half")).await?;
        inserted.notify_one();
        std::future::pending().await
    });
    tokio::select! { _ = half => unreachable!("it waits for ever"), () = inserted.notified() => {} }
    let error = tx.commit().await.unwrap_err();
    assert!(matches!(error, Error::TransactionFailed { statement: "savepoint", .. }), "{error}");
    assert_eq!(db.tenant(&tenant).one(&COUNT, ()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_statement_that_was_given_up_fails_the_transaction_at_once() {
    let (database, db) = connected_with(1).await;
    let tenant = tenant();
    let admin = admin(&database.config).await;
    let start = Instant::now();
    let mut tx = db.tenant(&tenant).begin().await.unwrap();
    tx.one(&INSERT, (Id::new(), "undone")).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(50), tx.execute(&SLEEP, (20.0,))).await.is_err());
    // Nothing is sent behind it, where it would wait twenty seconds.
    let next = tx.one(&COUNT, ()).await.unwrap_err();
    assert!(matches!(next, Error::TransactionFailed { statement: "SLEEP", .. }), "{next}");
    let error = tx.commit().await.unwrap_err();
    assert!(matches!(error, Error::TransactionFailed { statement: "SLEEP", .. }), "{error}");
    assert_eq!(db.tenant(&tenant).one(&COUNT, ()).await.unwrap(), 0);
    eventually(Duration::from_secs(10), async || at_work(&admin).await.is_empty()).await;
    assert!(start.elapsed() < Duration::from_secs(10), "somebody waited for the statement");
    assert_eq!(db.status().discarded, 1);
}

#[tokio::test]
async fn a_statement_given_up_in_a_savepoint_ends_the_transaction_at_once() {
    let (_database, db) = connected_with(1).await;
    let start = Instant::now();
    let mut tx = db.tenant(&tenant()).begin().await.unwrap();
    let cut = tx.savepoint(async |tx| -> Done {
        let _ = tokio::time::timeout(Duration::from_millis(50), tx.execute(&SLEEP, (20.0,))).await;
        Ok(())
    });
    assert!(matches!(cut.await, Err(Error::TransactionFailed { .. })));
    assert!(tx.commit().await.is_err());
    assert!(start.elapsed() < Duration::from_secs(10), "somebody waited for the statement");
}

/// Something for the COMMIT that the driver can't even send: the server's dates end before the year -9999.
#[derive(Default)]
struct Unsendable(Vec<Date>);

impl AtCommit for Unsendable {
    fn mark(&self) -> usize {
        self.0.len()
    }
    fn rewind(&mut self, mark: usize) {
        self.0.truncate(mark);
    }
    fn statements(&self, _: &Context) -> Vec<Bound> {
        self.0.iter().map(|date| ON.bind((*date,))).collect()
    }
    fn committed(&self, _: &Db) {
        unreachable!("it cannot be sent");
    }
}

#[tokio::test]
async fn what_cannot_be_sent_with_the_commit_keeps_the_commit_back() {
    let (_database, db) = connected().await;
    let tenant = tenant();
    let mut tx = db.tenant(&tenant).begin().await.unwrap();
    tx.one(&INSERT, (Id::new(), "undone")).await.unwrap();
    let fine = Date::from_calendar_date(2000, Month::January, 1).unwrap();
    tx.at_commit::<Unsendable>().0 = vec![fine, Date::MIN];
    let error = tx.commit().await.unwrap_err();
    assert!(matches!(error, Error::Statement { statement: "ON", .. }), "{error}");
    assert_eq!(db.tenant(&tenant).one(&COUNT, ()).await.unwrap(), 0);
    assert_eq!(db.untenanted().one(&COUNTRIES, ()).await.unwrap(), 0);
}

#[tokio::test]
async fn what_fails_with_the_commit_undoes_everything() {
    let (_database, db) = connected_with(1).await;
    let tenant = tenant();
    let mut tx = db.tenant(&tenant).begin().await.unwrap();
    tx.one(&INSERT, (Id::new(), "undone")).await.unwrap();
    tx.at_commit::<Collecting>().0 = vec!["fine".to_owned(), String::new()];
    let error = tx.commit().await.unwrap_err();
    assert_eq!(error.code(), Some("23514"), "{error}");
    assert_eq!(db.tenant(&tenant).one(&COUNT, ()).await.unwrap(), 0);
    assert_eq!(db.status().discarded, 0);
}

#[tokio::test]
async fn a_refusal_at_commit_itself_is_an_answer() {
    let (database, db) = connected_with(1).await;
    let admin = admin(&database.config).await;
    let defer =
        "alter table notes.note add constraint once unique (tenant_id, body) deferrable initially deferred";
    admin.batch_execute(defer).await.unwrap();
    let tenant = tenant();
    db.tenant(&tenant).one(&INSERT, (Id::new(), "once")).await.unwrap();

    let single = db.tenant(&tenant).one(&INSERT, (Id::new(), "once")).await.unwrap_err();
    assert!(single.is_unique_violation(), "{single}");
    let transaction =
        db.tenant(&tenant).tx(async |tx| tx.one(&INSERT, (Id::new(), "once")).await).await.unwrap_err();
    assert!(matches!(transaction, Error::Statement { statement: "commit", .. }), "{transaction}");
    assert_eq!(db.tenant(&tenant).one(&COUNT, ()).await.unwrap(), 1);
    assert_eq!(db.status().discarded, 0);
}

#[tokio::test]
async fn a_savepoint_dropped_half_way_inside_another_undoes_that_one() {
    let (_database, db) = connected().await;
    let tenant = tenant();
    let mut tx = db.tenant(&tenant).begin().await.unwrap();
    tx.one(&INSERT, (Id::new(), "kept")).await.unwrap();
    let outer = tx.savepoint(async |tx| -> Done {
        tx.one(&INSERT, (Id::new(), "undone")).await?;
        let inserted = Notify::new();
        let inner = tx.savepoint(async |tx| -> Done {
            tx.one(&INSERT, (Id::new(), "half")).await?;
            inserted.notify_one();
            std::future::pending().await
        });
        tokio::select! { _ = inner => unreachable!("it waits for ever"), () = inserted.notified() => {} }
        Ok(())
    });
    let error = outer.await.unwrap_err();
    assert!(matches!(error, Error::TransactionFailed { statement: "savepoint", .. }), "{error}");
    tx.commit().await.unwrap();
    assert_eq!(db.tenant(&tenant).all(&BODIES, ()).await.unwrap(), ["kept"]);
}

#[tokio::test]
async fn a_panic_in_a_transaction_leaves_nothing_and_a_pool_that_serves() {
    let (database, db) = connected_with(1).await;
    let (tenant, admin) = (tenant(), admin(&database.config).await);
    for _ in 0..3 {
        let (db, tenant) = (db.clone(), tenant.clone());
        let panicked = tokio::spawn(async move {
            let work = async |tx: &mut TenantTx| -> Done {
                tx.after_commit(|| unreachable!("it was not committed"));
                tx.one(&INSERT, (Id::new(), "undone")).await?;
                panic!("a mistake of the program");
            };
            db.tenant(&tenant).tx(work).await
        });
        assert!(panicked.await.unwrap_err().is_panic());
    }
    assert_eq!(db.tenant(&tenant).one(&COUNT, ()).await.unwrap(), 0);
    assert_eq!(db.untenanted().one(&COUNT, ()).await.unwrap(), 0);
    assert_eq!(db.status().discarded, 3);
    eventually(Duration::from_secs(10), async || at_work(&admin).await.is_empty()).await;
}
