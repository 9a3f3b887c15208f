//! A tenant sees and touches its own rows, and nobody else's.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use shared_core::{Id, InTenant, TenantId};
use shared_db::{Db, Error, statements};

use crate::support::{BODIES, COUNT, INSERT, Note, admin, connected, connected_with, tenant};

statements! {
    const BY_ID: Statement<(Id<Note>,), String> = "select body from notes.note where id = $1";
    const CHANGE: Statement<(Id<Note>,), ()> = "update notes.note set body = 'changed' where id = $1";
    const DELETE: Statement<(Id<Note>,), ()> = "delete from notes.note where id = $1";
    const GIVE_AWAY: Statement<(TenantId, Id<Note>), ()> = "update notes.note set tenant_id = $1 where id = $2";
    const INSERT_AS: Statement<(TenantId, Id<Note>), ()> = "
        insert into notes.note (tenant_id, id, body) values ($1, $2, 'smuggled')";
    const BODY_AFTER: Statement<(f64,), String> = "select body from notes.note, pg_sleep($1)";
}

#[tokio::test]
async fn another_tenant_neither_sees_nor_changes_nor_deletes_a_row() {
    let (_database, db) = connected().await;
    let (a, b) = (tenant(), tenant());
    let note = db.tenant(&a).one(&INSERT, (Id::new(), "a's")).await.unwrap();

    assert_eq!(db.tenant(&b).opt(&BY_ID, (note.id,)).await.unwrap(), None);
    assert_eq!(db.tenant(&b).execute(&CHANGE, (note.id,)).await.unwrap(), 0);
    assert_eq!(db.tenant(&b).execute(&DELETE, (note.id,)).await.unwrap(), 0);

    let mut tx = db.tenant(&b).begin().await.unwrap();
    assert_eq!(tx.opt(&BY_ID, (note.id,)).await.unwrap(), None);
    assert_eq!(tx.execute(&CHANGE, (note.id,)).await.unwrap(), 0);
    assert_eq!(tx.execute(&DELETE, (note.id,)).await.unwrap(), 0);
    tx.commit().await.unwrap();

    assert_eq!(db.tenant(&a).one(&BY_ID, (note.id,)).await.unwrap(), "a's");
}

#[tokio::test]
async fn a_row_cannot_be_written_for_another_tenant() {
    let (_database, db) = connected().await;
    let (a, b) = (tenant(), tenant());
    let note = db.tenant(&a).one(&INSERT, (Id::new(), "a's")).await.unwrap();
    let theirs = b.context().tenant();

    let inserted = db.tenant(&a).execute(&INSERT_AS, (theirs, Id::new())).await.unwrap_err();
    assert!(inserted.is_permission_denied(), "{inserted}");
    assert_eq!(inserted.code(), Some("42501"));
    let given = db.tenant(&a).execute(&GIVE_AWAY, (theirs, note.id)).await.unwrap_err();
    assert!(given.is_permission_denied(), "{given}");

    assert_eq!(db.tenant(&b).one(&COUNT, ()).await.unwrap(), 0);
    assert_eq!(db.tenant(&a).one(&COUNT, ()).await.unwrap(), 1);
}

#[tokio::test]
async fn without_a_tenant_no_row_shows_and_none_can_be_written() {
    let (_database, db) = connected_with(1).await;
    let a = tenant();
    let note = db.tenant(&a).one(&INSERT, (Id::new(), "a's")).await.unwrap();

    // The one connection has just been a tenant's.
    assert_eq!(db.untenanted().one(&COUNT, ()).await.unwrap(), 0);
    assert_eq!(db.untenanted().execute(&CHANGE, (note.id,)).await.unwrap(), 0);
    let inserted = db.untenanted().execute(&INSERT_AS, (a.context().tenant(), Id::new())).await.unwrap_err();
    assert!(inserted.is_permission_denied(), "{inserted}");
    assert_eq!(db.tenant(&a).all(&BODIES, ()).await.unwrap(), ["a's"]);
}

#[tokio::test]
async fn the_owner_of_a_table_is_held_to_it_as_well() {
    let (database, db) = connected().await;
    db.tenant(&tenant()).one(&INSERT, (Id::new(), "a's")).await.unwrap();
    let admin = admin(&database.config).await;
    admin.batch_execute("set role shared_owner").await.unwrap();
    let seen: i64 = admin.query_one("select count(*) from notes.note", &[]).await.unwrap().get(0);
    assert_eq!(seen, 0);
}

#[tokio::test]
async fn the_system_role_reads_no_business_table() {
    let (_database, db) = connected().await;
    let error = db.system().one(&COUNT, ()).await.unwrap_err();
    assert!(error.is_permission_denied(), "{error}");
}

#[tokio::test]
async fn a_statement_that_takes_a_tenant_is_refused_where_there_is_none() {
    let (_database, db) = connected().await;
    let error = db.untenanted().one(&INSERT, (Id::new(), "whose?")).await.unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error}");
    let mut tx = db.system().begin().await.unwrap();
    let error = tx.one(&INSERT, (Id::new(), "whose?")).await.unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error}");
    tx.commit().await.unwrap();
}

/// 1,000 tasks of 50 tenants over 4 connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_row_ever_crosses_under_load() {
    let (_database, db) = connected_with(4).await;
    let tenants: Vec<_> = (0..50).map(|_| tenant()).collect();
    for one in &tenants {
        db.tenant(one).one(&INSERT, (Id::new(), one.context().tenant().to_string())).await.unwrap();
    }
    let tasks = (0..1000).map(|task| {
        let (db, one) = (db.clone(), tenants[task % tenants.len()].clone());
        tokio::spawn(async move { look_around(&db, &one).await })
    });
    stream::iter(tasks).buffer_unordered(1000).for_each(async |done| done.unwrap()).await;
    assert!(db.status().open <= 8, "{:?}", db.status());
}

async fn look_around(db: &Db, one: &(impl InTenant + Clone)) {
    let own = [one.context().tenant().to_string()];
    for round in 0..10 {
        let seen = match round % 3 {
            0 => db.tenant(one).all(&BODIES, ()).await.unwrap(),
            1 => db.tenant(one).tx(async |tx| tx.all(&BODIES, ()).await).await.unwrap(),
            _ => {
                // Given up in the middle now and then, to put other connections into the pool.
                let slow = db.tenant(one);
                let cut = tokio::time::timeout(Duration::from_millis(2), slow.all(&BODY_AFTER, (0.003,)));
                cut.await.map_or(own.to_vec(), Result::unwrap)
            }
        };
        assert_eq!(seen, own);
        assert_eq!(db.untenanted().one(&COUNT, ()).await.unwrap(), 0);
    }
}
