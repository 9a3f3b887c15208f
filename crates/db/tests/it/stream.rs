//! Rows one by one.

use std::time::Duration;

use shared_db::{Error, statements};

use crate::items::{ADD_NEW, with_items};
use crate::support::{Done, admin, eventually, tenant};

statements! {
    const ITEMS: Statement<(), (i64, String)> = "
        select id, language from notes.item where tenant_id = $tenant order by id";
    const SENT: Statement<(i64,), (i64, String)> = "
        select nextval('notes.sent'), repeat('x', 1000) from generate_series(1, $1::int8)";
    const BROKEN: Statement<(), i64> = "select 1 / (500 - n) from generate_series(1::int8, 1000) n";
    const ECHO: Statement<(i64,), i64> = "select $1::int8";
}

#[tokio::test]
async fn rows_are_read_one_by_one_and_borrowed_from() {
    let (_database, db) = with_items().await;
    let tenant = tenant();
    let read = db
        .tenant(&tenant)
        .tx(async |tx| -> Done<(usize, Vec<(i64, String)>)> {
            let texts: Vec<String> = (0..100).map(|n| "x".repeat(n)).collect();
            tx.execute_many(
                &ADD_NEW,
                texts.iter().zip(0..).map(|(text, id)| (id, Some(text.as_str()), None::<i64>)),
            )
            .await?;
            let (mut bytes, mut rows) = (0, tx.stream(&ITEMS, ()).await?);
            while let Some(row) = rows.next_columns().await? {
                let text: &str = row.named("language")?;
                bytes += text.len();
            }
            let (mut few, mut rows) = (Vec::new(), tx.stream(&ITEMS, ()).await?);
            while let Some(row) = rows.next().await? {
                few.push(row);
            }
            Ok((bytes, few))
        })
        .await;
    let (bytes, rows) = read.unwrap();
    assert_eq!(bytes, (0..100).sum::<usize>());
    assert_eq!(rows.last(), Some(&(99, "x".repeat(99))));
}

/// What nobody has read yet is on its way, and no more of it than the network holds.
#[tokio::test]
async fn a_slow_reader_slows_the_server_down() {
    let (database, db) = with_items().await;
    let admin = admin(&database.config).await;
    let sent =
        async || admin.query_one("select last_value from notes.sent", &[]).await.unwrap().get::<_, i64>(0);
    const ROWS: i64 = 200_000;

    let mut tx = db.untenanted().begin().await.unwrap();
    let mut rows = tx.stream(&SENT, (ROWS,)).await.unwrap();
    assert!(rows.next().await.unwrap().is_some());
    let mut before = 0;
    eventually(Duration::from_secs(20), async || {
        tokio::time::sleep(Duration::from_millis(100)).await; // a condition is polled: no row for so long
        let now = sent().await;
        std::mem::replace(&mut before, now) == now
    })
    .await;
    // Rows of 1 KB: the buffers of two sockets.
    assert!(before < ROWS / 4, "{before} of {ROWS} rows were sent to a reader of one");

    let mut read = 1;
    while rows.next_columns().await.unwrap().is_some() {
        read += 1;
    }
    assert_eq!(read, ROWS);
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn what_breaks_half_way_is_told_and_remembered() {
    let (_database, db) = with_items().await;
    let broken = db
        .untenanted()
        .tx(async |tx| -> Done {
            let mut rows = tx.stream(&BROKEN, ()).await?;
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
async fn a_stream_that_is_not_read_to_its_end_can_not_be_committed() {
    let (_database, db) = with_items().await;
    let mut tx = db.untenanted().begin().await.unwrap();
    let mut rows = tx.stream(&SENT, (1_000_000,)).await.unwrap();
    assert!(rows.next().await.unwrap().is_some());
    drop(rows);
    assert!(matches!(tx.one(&ECHO, (1,)).await, Err(Error::TransactionFailed { .. })));
    assert!(matches!(tx.commit().await, Err(Error::TransactionFailed { statement: "SENT", .. })));
    assert_eq!(db.untenanted().one(&ECHO, (7_i64,)).await.unwrap(), 7);
    assert_eq!(db.status().discarded, 1);
}

#[tokio::test]
async fn a_stream_may_be_read_in_a_task() {
    let (_database, db) = with_items().await;
    let task = tokio::spawn(async move {
        db.untenanted()
            .tx(async |tx| -> Done<i64> {
                let (mut count, mut rows) = (0, tx.stream(&SENT, (1000,)).await?);
                while let Some((_, text)) = rows.next().await? {
                    count += i64::try_from(text.len()).unwrap_or(0);
                }
                Ok(count)
            })
            .await
    });
    assert_eq!(task.await.unwrap().unwrap(), 1_000_000);
}
