//! Many rows in one statement.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use shared_core::AssumedTenant;
use shared_db::filter::Page;
use shared_db::{Db, Many, statements};
use tokio::runtime::Handle;

use crate::items::{ADD, ADD_MANY, ADD_NEW, ID, ITEMS, Item, with_items};
use crate::support::{Done, tenant};

statements! {
    const SUM: Statement<Many<(i64,)>, i64> = "select n + 1 from unnest($1::int8[]) n";
    const LENGTHS: Statement<Many<(String,)>, i64> = "select length(t)::int8 from unnest($1::text[]) t";
    const SCALAR: Statement<Many<(i64,)>, i64> = "select $1::int8";
}

fn rows() -> impl Strategy<Value = Vec<Item>> {
    let item = (prop::option::of("[^\0]{0,20}"), prop::option::of(any::<i64>()));
    prop::collection::vec(item, 0..200).prop_map(|items| {
        items.into_iter().zip(0..).map(|((language, stars), id)| Item { id, language, stars }).collect()
    })
}

async fn one_by_one(db: &Db, items: &[Item]) -> Vec<Item> {
    let tenant = tenant();
    let added = async |tx: &mut shared_db::TenantTx| -> Done {
        for item in items {
            tx.one(&ADD, item.values()).await?;
        }
        Ok(())
    };
    db.tenant(&tenant).tx(added).await.unwrap();
    stored(db, &tenant).await
}

async fn at_once(db: &Db, items: &[Item]) -> Vec<Item> {
    let tenant = tenant();
    let ids = db
        .tenant(&tenant)
        .tx(async |tx| tx.all_many(&ADD_MANY, items.iter().map(Item::values)).await)
        .await
        .unwrap();
    assert_eq!(ids, items.iter().map(|item| item.id).collect::<Vec<_>>());
    stored(db, &tenant).await
}

async fn stored(db: &Db, tenant: &AssumedTenant) -> Vec<Item> {
    db.tenant(tenant).page(&ITEMS, (), Page::of(1000).order_by(ID.ascending())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_as_good_as_single_inserts() {
    let (_database, db) = with_items().await;
    let server = Handle::current();
    TestRunner::new(Cases { cases: 60, failure_persistence: None, ..Cases::default() })
        .run(&rows(), |items| {
            let both = async { (one_by_one(&db, &items).await, at_once(&db, &items).await) };
            let (single, batch) = tokio::task::block_in_place(|| server.block_on(both));
            prop_assert_eq!(&single, &items);
            prop_assert_eq!(batch, items);
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn chunks_come_back_in_the_order_of_their_rows() {
    let (_database, db) = with_items().await;
    let sums =
        db.untenanted().tx(async |tx| tx.all_many(&SUM, (0..23_456_i64).map(|n| (n,))).await).await.unwrap();
    assert_eq!(sums, (1..23_457).collect::<Vec<_>>());
    // 40 MB: chunks are cut by their size as well.
    let texts = (0..40).map(|n| ("x".repeat(1_000_000 + n),));
    let lengths = db.untenanted().tx(async |tx| tx.all_many(&LENGTHS, texts).await).await.unwrap();
    assert_eq!(lengths, (1_000_000..1_000_040).collect::<Vec<i64>>());
}

#[tokio::test]
async fn behind_a_refused_chunk_nothing_is_kept() {
    let (_database, db) = with_items().await;
    let tenant = tenant();
    let row = |id: i64| (id, None::<String>, None::<i64>);
    // The last row is the first once more, three chunks later.
    let rows = || (0..12_000).chain([0]).map(row);
    let refused = db.tenant(&tenant).tx(async |tx| tx.all_many(&ADD_MANY, rows()).await).await;
    assert!(refused.unwrap_err().is_unique_violation());
    assert_eq!(db.tenant(&tenant).all(&ITEMS, ()).await.unwrap(), []);

    let kept = db
        .tenant(&tenant)
        .tx(async |tx| -> Done<u64> {
            assert!(
                tx.savepoint(async |tx| tx.all_many(&ADD_MANY, rows()).await)
                    .await
                    .unwrap_err()
                    .is_unique_violation()
            );
            tx.execute_many(&ADD_NEW, rows()).await
        })
        .await;
    assert_eq!(kept.unwrap(), 12_000);
    assert_eq!(db.status().discarded, 0);
}

/// Two chunks are on their way at once, and up to 5,000 rows are one.
#[tokio::test]
async fn a_batch_takes_a_trip_for_two_chunks() {
    let (mut database, _) = with_items().await;
    let proxy = database.behind_proxy().await;
    proxy.to_client().delay(Duration::from_millis(60));
    database.config.pool_size = 1;
    let db = Db::connect(&database.config).await.unwrap();
    let mut tx = db.untenanted().begin().await.unwrap();
    tx.all_many(&SUM, [(1_i64,)]).await.unwrap();
    for (rows, trips) in [(0, 0), (1, 1), (5000, 1), (10_000, 1), (15_000, 2)] {
        let sums = async {
            assert_eq!(tx.all_many(&SUM, (0..rows).map(|n| (n,))).await.unwrap().len() as i64, rows);
        };
        assert_eq!(proxy.round_trips(sums).await, trips, "{rows} rows");
    }
}

#[tokio::test]
async fn no_rows_are_no_trip() {
    let (_database, db) = with_items().await;
    let rows = std::iter::empty::<(i64, Option<String>, Option<i64>)>();
    let none = db.tenant(&tenant()).tx(async |tx| tx.execute_many(&ADD_NEW, rows).await).await;
    assert_eq!(none.unwrap(), 0);
}

#[tokio::test]
async fn a_statement_without_arrays_is_told() {
    let (_database, db) = with_items().await;
    let error = db.untenanted().tx(async |tx| tx.all_many(&SCALAR, [(1_i64,)]).await).await.unwrap_err();
    assert_eq!(error.to_string(), "statement `SCALAR` failed: parameter 1 has to be an array, and is int8");
}

#[tokio::test]
async fn a_batch_may_be_sent_from_a_task() {
    let (_database, db) = with_items().await;
    let tenant = tenant();
    let task = tokio::spawn(async move {
        let rows = (0..6000).map(|id| (id, Some("en"), Some(id)));
        db.tenant(&tenant).tx(async |tx| tx.execute_many(&ADD_NEW, rows).await).await
    });
    assert_eq!(task.await.unwrap().unwrap(), 6000);
}
