//! Isolation levels, repetition, and the doors that see more than one tenant.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use shared_core::Id;
use shared_db::{Error, Isolation, TenantTx, statements};
use tokio::sync::Barrier;

use crate::support::{BODIES, COUNT, Done, INSERT, admin, connected, connected_with, tenant};

statements! {
    const LEVEL: Statement<(), (String, String)> = "
        select current_setting('transaction_isolation'), current_setting('transaction_read_only')";
    const APPEND: Statement<(Id<crate::support::Note>, String), ()> = "
        update notes.note set body = body || $2 where tenant_id = $tenant and id = $1";
    const WHO: Statement<(), String> = "select current_user::text";
    const TENANTS: Statement<(), i64> = "select count(distinct tenant_id) from notes.note";
    const PURGE: Statement<(), ()> = "delete from notes.note";
    const SEQSCAN: Statement<(), String> = "select current_setting('enable_seqscan')";
    const PLANNED: Statement<(), i64> = "select count(*) /* planned */ from notes.note where tenant_id = $tenant";
    const PLANS: Statement<(), (i64, i64)> = "
        select custom_plans, generic_plans from pg_prepared_statements where statement like '%/* planned */%' and statement like '%notes.note%'
           and statement not like '%pg_prepared%'";
    const LOSE: Statement<(), ()> = "
        do $$ begin raise exception 'another was faster' using errcode = 'serialization_failure'; end $$";
    const FRESH: Statement<(String,), String> = "insert into notes.country values ($1, 'x') returning *";
}

#[tokio::test]
async fn a_transaction_has_the_level_that_was_asked_for() {
    let (_database, db) = connected().await;
    let door = db.tenant(&tenant());
    let levels = [
        (door.clone(), ("read committed", "off")),
        (door.clone().read_only(), ("read committed", "on")),
        (door.clone().isolation(Isolation::RepeatableRead), ("repeatable read", "off")),
        (door.clone().isolation(Isolation::Serializable).read_only(), ("serializable", "on")),
    ];
    for (door, (level, read_only)) in levels {
        let expected = (level.to_owned(), read_only.to_owned());
        assert_eq!(door.one(&LEVEL, ()).await.unwrap(), expected);
        assert_eq!(door.tx(async |tx| -> Done<_> { tx.one(&LEVEL, ()).await }).await.unwrap(), expected);
    }
    let error = door.read_only().one(&INSERT, (Id::new(), "no")).await.unwrap_err();
    assert_eq!(error.code(), Some("25006"), "{error}");
}

#[tokio::test]
async fn two_transactions_that_skew_each_other_are_run_again_until_both_have_happened() {
    let (_database, db) = connected().await;
    let door = db.tenant(&tenant());
    let (attempts, meeting) = (AtomicU32::new(0), Barrier::new(2));
    // Each adds a note if there is none yet: one after the other that makes one note.
    let work = async |tx: &mut TenantTx| -> Done {
        let there = tx.one(&COUNT, ()).await?;
        if attempts.fetch_add(1, Ordering::SeqCst) < 2 {
            meeting.wait().await;
        }
        if there == 0 {
            tx.one(&INSERT, (Id::new(), "the only one")).await?;
        }
        Ok(())
    };
    let serializable = door.clone().isolation(Isolation::Serializable).retrying();
    let (one, other) = tokio::join!(serializable.tx(work), serializable.tx(work));
    one.unwrap();
    other.unwrap();
    assert_eq!(door.one(&COUNT, ()).await.unwrap(), 1);
    assert!(attempts.load(Ordering::SeqCst) >= 3, "nobody lost");
}

#[tokio::test]
async fn without_retrying_the_loser_is_told() {
    let (_database, db) = connected().await;
    let door = db.tenant(&tenant()).isolation(Isolation::RepeatableRead);
    let note = Id::new();
    door.one(&INSERT, (note, "a")).await.unwrap();
    let lost = door
        .tx(async |tx| -> Done {
            tx.one(&COUNT, ()).await?;
            door.execute(&APPEND, (note, "b")).await?;
            tx.execute(&APPEND, (note, "c")).await.map(drop)
        })
        .await
        .unwrap_err();
    assert!(lost.is_conflict() && lost.is_retryable(), "{lost}");
    assert_eq!(door.all(&BODIES, ()).await.unwrap(), ["ab"]);
}

#[tokio::test]
async fn a_deadlock_is_run_again() {
    let (_database, db) = connected().await;
    let door = db.tenant(&tenant());
    let (left, right) = (Id::new(), Id::new());
    for note in [left, right] {
        door.one(&INSERT, (note, "a")).await.unwrap();
    }
    let (attempts, meeting) = (AtomicU32::new(0), Barrier::new(2));
    let both = async |tx: &mut TenantTx, first: Id<_>, second: Id<_>| -> Done {
        tx.execute(&APPEND, (first, "+")).await?;
        if attempts.fetch_add(1, Ordering::SeqCst) < 2 {
            meeting.wait().await;
        }
        tx.execute(&APPEND, (second, "+")).await.map(drop)
    };
    let retrying = door.clone().retrying();
    let (one, other) = tokio::join!(
        retrying.tx(async |tx| both(tx, left, right).await),
        retrying.tx(async |tx| both(tx, right, left).await)
    );
    one.unwrap();
    other.unwrap();
    assert_eq!(door.all(&BODIES, ()).await.unwrap(), ["a++", "a++"]);
    assert_eq!(attempts.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_error_of_the_work_itself_is_not_a_reason_to_repeat() {
    let (_database, db) = connected().await;
    let attempts = AtomicU32::new(0);
    let refused = db
        .tenant(&tenant())
        .retrying()
        .tx(async |tx| -> Done {
            attempts.fetch_add(1, Ordering::SeqCst);
            tx.one(&INSERT, (Id::new(), "")).await.map(drop)
        })
        .await
        .unwrap_err();
    assert!(refused.is_check_violation(), "{refused}");
    assert_eq!(attempts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_statement_survives_the_change_of_its_table() {
    let (database, db) = connected_with(1).await;
    let admin = admin(&database.config).await;
    let (door, change) = (db.untenanted(), async |sql: &str| admin.batch_execute(sql).await.unwrap());
    door.one(&FRESH, ("a",)).await.unwrap();
    // `returning *` has one column more now: the server refuses the old plan, and the statement is prepared anew.
    change("alter table notes.country add column since date").await;
    door.one(&FRESH, ("b",)).await.unwrap();
    let tenant = db.tenant(&tenant());
    change("alter table notes.country drop column since").await;
    tenant.one(&FRESH, ("c",)).await.unwrap();

    // Inside a transaction nothing is repeated behind one's back, unless that was asked for.
    let insert = async |tx: &mut TenantTx| -> Done { tx.one(&FRESH, ("d",)).await.map(drop) };
    change("alter table notes.country add column till date").await;
    let error = tenant.tx(insert).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    tenant.tx(insert).await.unwrap();
    change("delete from notes.country; alter table notes.country drop column till").await;
    tenant.retrying().tx(insert).await.unwrap();
}

#[tokio::test]
async fn across_tenants_everything_is_seen_and_every_use_is_reported() {
    let (_database, db) = connected().await;
    for _ in 0..3 {
        db.tenant(&tenant()).one(&INSERT, (Id::new(), "mine")).await.unwrap();
    }
    let reports = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&reports);
    db.on_crossing(move |crossing| {
        let line = format!("{} {} {}", crossing.door, crossing.reason, crossing.statement);
        assert!(crossing.location.file().ends_with("transactions.rs"));
        writer.lock().unwrap().push(line);
    })
    .unwrap();
    assert!(matches!(db.on_crossing(|_| {}), Err(Error::Config(_))), "the first hook stays");

    let door = db.across_tenants("monthly figures");
    assert_eq!(door.one(&TENANTS, ()).await.unwrap(), 3);
    assert_eq!(door.one(&WHO, ()).await.unwrap(), "shared_across");
    assert_eq!(door.one(&SEQSCAN, ()).await.unwrap(), "on");
    door.tx(async |tx| -> Done { tx.execute(&PURGE, ()).await.map(drop) }).await.unwrap();
    assert_eq!(db.system().one(&WHO, ()).await.unwrap(), "shared_system");
    assert_eq!(db.system().one(&SEQSCAN, ()).await.unwrap(), "off");
    assert_eq!(
        *reports.lock().unwrap(),
        [
            "across_tenants monthly figures TENANTS",
            "across_tenants monthly figures WHO",
            "across_tenants monthly figures SEQSCAN",
            "across_tenants monthly figures transaction",
            "system the family's own tables WHO",
        ]
    );
    let error = db.system().one(&COUNT, ()).await.unwrap_err();
    assert!(error.is_permission_denied(), "the family's own role has no business there: {error}");
}

#[tokio::test]
async fn who_always_loses_is_told_after_eight_attempts() {
    let (_database, db) = connected_with(1).await;
    let (attempts, tenant) = (AtomicU32::new(0), tenant());
    let lost = db
        .tenant(&tenant)
        .retrying()
        .tx(async |tx| -> Done {
            attempts.fetch_add(1, Ordering::SeqCst);
            tx.one(&INSERT, (Id::new(), "never")).await?;
            tx.execute(&LOSE, ()).await.map(drop)
        })
        .await
        .unwrap_err();
    assert!(lost.is_conflict(), "{lost}");
    assert_eq!(attempts.load(Ordering::SeqCst), 8);
    assert_eq!(db.tenant(&tenant).one(&COUNT, ()).await.unwrap(), 0);
    assert_eq!(db.status().discarded, 0);
}

#[tokio::test]
async fn one_stale_plan_in_any_transaction_is_the_last_one_of_its_pool() {
    let (database, db) = connected_with(3).await;
    let admin = admin(&database.config).await;
    let fresh = async |code: String| db.untenanted().tx(async |tx| tx.one(&FRESH, (code,)).await).await;
    // All three connections have prepared it.
    let door = db.untenanted();
    let (mut one, mut two, mut three) = tokio::try_join!(door.begin(), door.begin(), door.begin()).unwrap();
    for (code, tx) in [("a", &mut one), ("b", &mut two), ("c", &mut three)] {
        tx.one(&FRESH, (code,)).await.unwrap();
    }
    for tx in [one, two, three] {
        tx.rollback().await;
    }
    admin.batch_execute("alter table notes.country add column since date").await.unwrap();
    assert!(fresh("d".to_owned()).await.unwrap_err().is_retryable());
    for code in ["e", "f", "g"] {
        fresh(code.to_owned()).await.unwrap();
    }
}

#[tokio::test]
async fn a_sign_of_life_is_no_crossing() {
    let (_database, db) = connected().await;
    let reports = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&reports);
    db.on_crossing(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    })
    .unwrap();
    db.ping().await.unwrap();
    assert_eq!(reports.load(Ordering::SeqCst), 0);
    for _ in 0..3 {
        db.system().clone().one(&WHO, ()).await.unwrap();
    }
    assert_eq!(reports.load(Ordering::SeqCst), 1, "the first use alone");
    let door = db.across_tenants("twice");
    door.clone().one(&COUNT, ()).await.unwrap();
    assert!(door.tx(async |_| Err::<(), _>(Error::Closed)).await.is_err());
    assert_eq!(reports.load(Ordering::SeqCst), 3, "every use, also of a clone, also of one that fails");
}

#[tokio::test]
async fn a_statement_can_be_planned_for_each_tenant_anew() {
    let (_database, db) = connected_with(1).await;
    let door = db.tenant(&tenant());
    let plans = async || db.untenanted().one(&PLANS, ()).await.unwrap();
    for _ in 0..10 {
        door.clone().custom_plans().one(&PLANNED, ()).await.unwrap();
        door.clone().custom_plans().tx(async |tx| tx.one(&PLANNED, ()).await).await.unwrap();
    }
    assert_eq!(plans().await, (20, 0));
    for _ in 0..10 {
        door.one(&PLANNED, ()).await.unwrap();
    }
    let (_, general) = plans().await;
    assert!(general > 0, "without it the server comes to prefer a general plan");
}
