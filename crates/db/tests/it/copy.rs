//! COPY in and out.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use shared_db::{Db, Error, Many, Params, Row, statements};
use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio_postgres::types::ToSql;

#[path = "copy/types.rs"]
mod types;

use crate::items::{ADD_NEW, Item, with_items};
use crate::support::{Done, admin, at_work, eventually, tenant};

/// One of each type that is of interest.
#[derive(Clone, Debug, PartialEq, Row)]
struct Measure {
    id: i64,
    name: Option<String>,
    value: Option<f64>,
    bytes: Option<Vec<u8>>,
    at: Option<OffsetDateTime>,
    tags: Option<Vec<String>>,
}

type Values =
    (i64, Option<String>, Option<f64>, Option<Vec<u8>>, Option<OffsetDateTime>, Option<Vec<String>>);

statements! {
    const LOAD: CopyIn<(i64, Option<String>, Option<f64>, Option<Vec<u8>>, Option<OffsetDateTime>, Option<Vec<String>>)> =
        "notes.measure (id, name, value, bytes, at, tags)";
    const IDS: CopyIn<(i64,)> = "notes.measure (id)";
    const NOTES: CopyIn<(uuid::Uuid, uuid::Uuid, String)> = "notes.note (tenant_id, id, body)";
    const NOWHERE: CopyIn<(i64,)> = "notes.nowhere (id)";

    const MEASURES: CopyOut<Measure> = "select id, name, value, bytes, at, tags from notes.measure order by id";
    const ITEMS: CopyOut<Item> = "select id, language, stars from notes.item order by id; ";
    const FEW: CopyOut<i64> = "select id from notes.measure limit 5";
    const FIRST: Statement<(), i64> = "select id from notes.measure limit 5";
    const BROKEN: CopyOut<i64> = "select 1 / (500 - n) from generate_series(1::int8, 1000) n";
    const ENDLESS: CopyOut<i64> = "select generate_series(1::int8, 1000000000)";

    const ALL: Statement<(), Measure> = "select id, name, value, bytes, at, tags from notes.measure order by id";
    const COUNT: Statement<(), i64> = "select count(*) from notes.measure";
    const ECHO: Statement<(i64,), i64> = "select $1::int8";
    const ECHOES: Statement<Many<(i64,)>, i64> = "select n from unnest($1::int8[]) n";
}

fn measures() -> impl Strategy<Value = Vec<Measure>> {
    // What the server knows: microseconds, and no NUL in a text.
    let time = (-60_000_000_000_i64..250_000_000_000)
        .prop_map(|second| OffsetDateTime::from_unix_timestamp(second).unwrap());
    let text = "[^\0]{0,20}";
    let columns = (
        prop::option::of(text),
        prop::option::of(any::<f64>().prop_filter("a NaN is no equal of itself", |value| !value.is_nan())),
        prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        prop::option::of(time),
        prop::option::of(prop::collection::vec(text, 0..4)),
    );
    prop::collection::vec(columns, 0..100).prop_map(|rows| {
        let numbered = rows.into_iter().zip(0..);
        numbered
            .map(|((name, value, bytes, at, tags), id)| Measure { id, name, value, bytes, at, tags })
            .collect()
    })
}

impl Measure {
    fn values(&self) -> Values {
        let Self { id, name, value, bytes, at, tags } = self.clone();
        (id, name, value, bytes, at, tags)
    }
}

/// In by COPY; out by a query and by COPY; and undone.
async fn there_and_back(db: &Db, measures: &[Measure]) -> Done<(u64, Vec<Measure>, Vec<Measure>)> {
    let mut tx = db.untenanted().begin().await?;
    let mut copy = tx.copy_in(&LOAD).await?;
    for measure in measures {
        copy.write(measure.values()).await?;
    }
    let added = copy.finish().await?;
    let queried = tx.all(&ALL, ()).await?;
    let (mut copied, mut rows) = (Vec::new(), tx.copy_out(&MEASURES).await?);
    while let Some(row) = rows.next().await? {
        copied.push(row);
    }
    // The next statement finds the connection in order.
    assert_eq!(tx.one(&ECHO, (7_i64,)).await?, 7);
    tx.rollback().await;
    Ok((added, queried, copied))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_in_comes_out() {
    let (_database, db) = with_items().await;
    let server = Handle::current();
    TestRunner::new(Cases { cases: 100, failure_persistence: None, ..Cases::default() })
        .run(&measures(), |measures| {
            let back =
                tokio::task::block_in_place(|| server.block_on(there_and_back(&db, &measures))).unwrap();
            prop_assert_eq!(back.0, measures.len() as u64);
            prop_assert_eq!(&back.1, &measures);
            prop_assert_eq!(back.2, measures);
            Ok(())
        })
        .unwrap();
    assert_eq!(db.status().discarded, 0);
}

#[tokio::test]
async fn many_chunks_arrive_whole() {
    let (_database, db) = with_items().await;
    const ROWS: i64 = 200_000;
    let added = db
        .untenanted()
        .tx(async |tx| -> Done<u64> {
            let mut copy = tx.copy_in(&IDS).await?;
            for id in 0..ROWS {
                copy.write((id,)).await?;
            }
            copy.finish().await
        })
        .await;
    assert_eq!(added.unwrap(), 200_000);
    assert_eq!(db.untenanted().one(&COUNT, ()).await.unwrap(), ROWS);
}

mod wrong {
    use shared_db::statements;

    statements! {
        pub(super) const TAGS: CopyIn<(i64, Option<String>)> = "notes.measure (id, tags)";
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_sent_is_left_out() {
    let (_database, db) = with_items().await;
    let added = db
        .untenanted()
        .tx(async |tx| -> Done<u64> {
            let mut copy = tx.copy_in(&wrong::TAGS).await?;
            // Declared as a text, and on the server an array of texts: the test of the statements finds it, and so does this.
            let error = copy.write((1_i64, Some("text"))).await.unwrap_err().to_string();
            assert!(
                error.starts_with("statement `TAGS` failed: value 2 of a row can't be sent: cannot convert"),
                "{error}"
            );
            copy.write((2_i64, None::<String>)).await.unwrap_err();
            copy.finish().await
        })
        .await;
    assert_eq!(added.unwrap(), 0);
}

/// Tuples have as many values as the constant has columns; a type of one's own may have any number.
struct Given(Vec<i64>);

impl Params<(i64,)> for Given {
    fn refs(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
    }
}

#[tokio::test]
async fn a_row_of_another_length_is_left_out() {
    let (_database, db) = with_items().await;
    let added = db
        .untenanted()
        .tx(async |tx| -> Done<u64> {
            let mut copy = tx.copy_in(&IDS).await?;
            for values in [vec![], vec![1, 2]] {
                let error = copy.write(Given(values.clone())).await.unwrap_err().to_string();
                let wrong = format!(
                    "statement `IDS` failed: a row has {} values, and the copy 1 columns",
                    values.len()
                );
                assert_eq!(error, wrong);
            }
            copy.write(Given(vec![3])).await?;
            copy.finish().await
        })
        .await;
    assert_eq!(added.unwrap(), 1);
    let rows = [Given(vec![1, 2])];
    let error = db.untenanted().tx(async |tx| tx.all_many(&ECHOES, rows).await).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "statement `ECHOES` failed: a row has 2 values, and the statement 1 arrays"
    );
}

#[tokio::test]
async fn a_refused_row_undoes_the_copy_and_spares_the_connection() {
    let (_database, db) = with_items().await;
    let twice = db
        .untenanted()
        .tx(async |tx| -> Done<u64> {
            let mut copy = tx.copy_in(&IDS).await?;
            for id in (0..50_000).chain([0]) {
                copy.write((id,)).await?;
            }
            copy.finish().await
        })
        .await;
    assert!(twice.unwrap_err().is_unique_violation());
    assert_eq!(db.untenanted().one(&COUNT, ()).await.unwrap(), 0);
    assert_eq!(db.status().discarded, 0);
}

#[tokio::test]
async fn a_copy_that_is_not_finished_adds_nothing() {
    let (_database, db) = with_items().await;
    let swallowed = db
        .untenanted()
        .tx(async |tx| -> Done {
            let mut copy = tx.copy_in(&IDS).await?;
            copy.write((1_i64,)).await?;
            drop(copy);
            Ok(())
        })
        .await;
    assert!(matches!(swallowed.unwrap_err(), Error::TransactionFailed { statement: "IDS", .. }));
    assert_eq!(db.untenanted().one(&COUNT, ()).await.unwrap(), 0);
    assert_eq!(db.status().discarded, 1);
}

/// The driver mixes up answers after a COPY that was refused at once: such a connection serves nobody again.
#[tokio::test]
async fn after_a_refused_copy_nobody_gets_anothers_answer() {
    let (_database, db) = with_items().await;
    for n in 0..50_i64 {
        let refused = db
            .untenanted()
            .tx(async |tx| -> Done {
                tx.one(&ECHO, (-n,)).await?;
                // A tenant's table, and row-level security.
                let error = tx.copy_in(&NOTES).await.map(drop).unwrap_err();
                assert_eq!(error.code(), Some("0A000"));
                // Nor does this transaction.
                assert!(matches!(
                    tx.one(&ECHO, (1_000_000_i64,)).await,
                    Err(Error::TransactionFailed { .. })
                ));
                Err(error)
            })
            .await;
        assert_eq!(refused.unwrap_err().code(), Some("0A000"));
        assert_eq!(db.untenanted().one(&ECHO, (n,)).await.unwrap(), n);
        assert_eq!(db.untenanted().one(&ECHO, (n + 1,)).await.unwrap(), n + 1);
    }
    assert_eq!(db.status().discarded, 50);
}

#[tokio::test]
async fn a_table_that_is_not_there_costs_no_connection() {
    let (_database, db) = with_items().await;
    let error = db.untenanted().tx(async |tx| tx.copy_in(&NOWHERE).await.map(drop)).await.unwrap_err();
    assert_eq!(error.code(), Some("42P01"));
    assert_eq!(db.status().discarded, 0);
}

#[tokio::test]
async fn a_tenant_copies_its_own_rows_out() {
    let (_database, db) = with_items().await;
    let (ours, theirs) = (tenant(), tenant());
    for (tenant, stars) in [(&ours, 1_i64), (&theirs, 2)] {
        let rows = (0..1000).map(|id| (id, Some("en"), Some(stars)));
        db.tenant(tenant).tx(async |tx| tx.execute_many(&ADD_NEW, rows).await).await.unwrap();
    }
    let copied = db
        .tenant(&ours)
        .tx(async |tx| -> Done<Vec<Item>> {
            let (mut items, mut rows) = (Vec::new(), tx.copy_out(&ITEMS).await?);
            while let Some(item) = rows.next().await? {
                items.push(item);
            }
            Ok(items)
        })
        .await;
    let copied = copied.unwrap();
    assert_eq!(copied.len(), 1000);
    assert!(copied.iter().all(|item| item.stars == Some(1)));
}

#[tokio::test]
async fn what_breaks_half_way_is_told_and_remembered() {
    let (_database, db) = with_items().await;
    let broken = db
        .untenanted()
        .tx(async |tx| -> Done {
            let mut rows = tx.copy_out(&BROKEN).await?;
            let error = loop {
                match rows.next().await {
                    Ok(row) => assert!(row.is_some(), "the division by zero is passed over"),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.code(), Some("22012"));
            Ok(())
        })
        .await;
    assert!(matches!(broken.unwrap_err(), Error::TransactionFailed { statement: "BROKEN", .. }));
    assert_eq!(db.status().discarded, 0);
}

#[tokio::test]
async fn a_reader_that_goes_away_stops_the_server() {
    let (database, db) = with_items().await;
    let mut tx = db.untenanted().begin().await.unwrap();
    let mut rows = tx.copy_out(&ENDLESS).await.unwrap();
    for n in 1..100 {
        assert_eq!(rows.next().await.unwrap(), Some(n));
    }
    drop(rows);
    assert!(matches!(tx.one(&ECHO, (1_i64,)).await, Err(Error::TransactionFailed { .. })));
    drop(tx);
    let admin = admin(&database.config).await;
    eventually(Duration::from_secs(10), async || at_work(&admin).await.is_empty()).await;
    assert_eq!(db.untenanted().one(&ECHO, (1_i64,)).await.unwrap(), 1);
}

/// Streams and batches need no prepared statements; COPY does.
#[tokio::test]
async fn behind_a_pooler_copy_is_refused_and_the_rest_works() {
    let (mut database, _) = with_items().await;
    database.config.pooler = true;
    let db = Db::connect(&database.config).await.unwrap();
    let items = db
        .tenant(&tenant())
        .tx(async |tx| -> Done<Vec<Item>> {
            let rows = (0..6000).map(|id| (id, None::<String>, None::<i64>));
            assert_eq!(tx.execute_many(&ADD_NEW, rows).await?, 6000);
            let (mut streamed, mut rows) = (Vec::new(), tx.stream(&crate::items::ITEMS, ()).await?);
            while let Some(item) = rows.next().await? {
                streamed.push(item);
            }
            Ok(streamed)
        })
        .await;
    assert_eq!(items.unwrap().len(), 6000);
    let refused = db.untenanted().tx(async |tx| tx.copy_in(&IDS).await.map(drop)).await.unwrap_err();
    assert!(matches!(refused, Error::Config(_)), "{refused}");
}

/// What takes more than one question and answer, one after the other.
async fn at_length(db: &Db) -> Done {
    let mut tx = db.untenanted().begin().await?;
    let mut copy = tx.copy_in(&IDS).await?;
    for id in 0..20_000 {
        copy.write((id,)).await?;
    }
    copy.finish().await?;
    let mut rows = tx.copy_out(&FEW).await?;
    while rows.next_columns().await?.is_some() {}
    tx.all_many(&ECHOES, (0..12_000).map(|n| (n,))).await?;
    let mut rows = tx.stream(&FIRST, ()).await?;
    while rows.next_columns().await?.is_some() {}
    tx.rollback().await;
    Ok(())
}

#[tokio::test]
async fn dropped_at_any_point_nobody_gets_anothers_answer() {
    let (mut database, _) = with_items().await;
    database.config.pool_size = 1;
    let db = Db::connect(&database.config).await.unwrap();
    let mut dropped = 0;
    for polls in 0_i64.. {
        let (mut work, mut left) = (Box::pin(at_length(&db)), polls);
        let done = poll_fn(|context| match left {
            0 => Poll::Ready(None),
            _ => {
                left -= 1;
                work.as_mut().poll(context).map(Some)
            }
        });
        let done = done.await;
        drop(work);
        for n in [polls, -polls] {
            assert_eq!(db.untenanted().one(&ECHO, (n,)).await.unwrap(), n, "dropped after {polls} polls");
        }
        if done.is_some() {
            break;
        }
        dropped += 1;
    }
    assert!(dropped > 20, "it was dropped at {dropped} points");
    assert_eq!(db.untenanted().one(&COUNT, ()).await.unwrap(), 0);
}
