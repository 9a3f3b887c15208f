//! What a call costs in round trips, counted on the wire.

use std::time::Duration;

use shared_core::{Id, Secret};
use shared_db::{Db, Error};
use shared_devkit::Proxy;

use crate::support::{BODIES, COUNT, Collecting, Database, INSERT, database, tenant};

/// How long an answer is on its way: what the client sends meanwhile was not waiting for it.
const DELAY: Duration = Duration::from_millis(40);

async fn counted() -> (Database, Proxy, Db) {
    let mut database = database().await;
    let proxy = database.behind_proxy().await;
    proxy.to_client().delay(DELAY);
    database.config.pool_size = 1;
    let db = Db::connect(&database.config).await.unwrap();
    (database, proxy, db)
}

#[tokio::test]
async fn a_warm_statement_takes_one_trip() {
    let (_database, proxy, db) = counted().await;
    let tenant = tenant();
    db.tenant(&tenant).all(&BODIES, ()).await.unwrap();
    db.untenanted().one(&COUNT, ()).await.unwrap();

    let tenants = async {
        db.tenant(&tenant).all(&BODIES, ()).await.unwrap();
    };
    assert_eq!(proxy.round_trips(tenants).await, 1);
    let untenanted = async {
        db.untenanted().one(&COUNT, ()).await.unwrap();
    };
    assert_eq!(proxy.round_trips(untenanted).await, 1);
}

#[tokio::test]
async fn a_transaction_takes_one_trip_to_begin_one_for_each_statement_and_one_to_commit() {
    let (_database, proxy, db) = counted().await;
    let tenant = tenant();
    db.tenant(&tenant).one(&INSERT, (Id::new(), "warm")).await.unwrap();

    let transaction = async {
        db.tenant(&tenant).tx(async |tx| tx.one(&INSERT, (Id::new(), "x")).await).await.unwrap();
    };
    assert_eq!(proxy.round_trips(transaction).await, 3);
}

#[tokio::test]
async fn a_transaction_s_first_statement_goes_out_with_its_begin() {
    let (_database, proxy, db) = counted().await;
    let tenant = tenant();
    let transaction = async |body: &str| {
        let (mut tx, first) = db.tenant(&tenant).begin_with(&INSERT, (Id::new(), body)).await?;
        assert_eq!(first.body, body);
        tx.one(&INSERT, (Id::new(), "and another")).await?;
        tx.commit().await
    };
    transaction("warm").await.unwrap();
    assert_eq!(proxy.round_trips(async { transaction("x").await.unwrap() }).await, 3);
    assert_eq!(db.tenant(&tenant).one(&COUNT, ()).await.unwrap(), 4);

    // A refused one leaves nothing open, and the connection as it was.
    assert!(matches!(transaction("nul \0").await, Err(Error::Statement { .. })));
    assert_eq!(proxy.round_trips(async { transaction("y").await.unwrap() }).await, 3);
    assert_eq!(db.tenant(&tenant).one(&COUNT, ()).await.unwrap(), 6);
}

#[tokio::test]
async fn what_is_collected_goes_out_with_the_commit() {
    let (_database, proxy, db) = counted().await;
    let tenant = tenant();
    let collect = async |bodies: &[&str]| {
        let mut tx = db.tenant(&tenant).begin().await.unwrap();
        for body in bodies {
            tx.at_commit::<Collecting>().0.push((*body).to_owned());
        }
        tx.commit().await.unwrap();
    };
    collect(&["warm"]).await;

    let committed = db.signal("collected");
    assert_eq!(proxy.round_trips(collect(&["one", "two", "three"])).await, 2);
    committed.notified().await;
    assert_eq!(db.tenant(&tenant).one(&COUNT, ()).await.unwrap(), 4);
}

#[tokio::test]
async fn where_a_commit_was_costs_no_trip() {
    let (mut database, proxy, db) = counted().await;
    drop(db);
    // The looks at the servers go past the proxy. That the replica is none plays no part: it is configured.
    let direct = Secret::new(database.direct.clone());
    database.config.system_url = Some(direct.clone());
    database.config.replica_urls = vec![direct];
    let db = Db::connect(&database.config).await.unwrap();
    let tenant = tenant();
    let notes = db.tenant(&tenant);
    notes.one(&INSERT, (Id::new(), "warm")).await.unwrap();
    let first = notes.committed_at();
    assert!(first.is_some());

    let single = async {
        notes.one(&INSERT, (Id::new(), "x")).await.unwrap();
    };
    assert_eq!(proxy.round_trips(single).await, 1);
    let second = notes.committed_at();
    assert!(second > first);
    let transaction = async {
        notes.tx(async |tx| tx.one(&INSERT, (Id::new(), "y")).await).await.unwrap();
    };
    assert_eq!(proxy.round_trips(transaction).await, 3);
    assert!(notes.committed_at() > second);
}
