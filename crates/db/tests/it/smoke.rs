//! The smallest whole round: a table, a row, a transaction.

use shared_core::Id;

use crate::support::{BODIES, COUNT, Done, INSERT, connected, tenant};

#[tokio::test]
async fn a_row_is_written_and_read_in_single_statements() {
    let (_database, db) = connected().await;
    let tenant = tenant();
    let note = db.tenant(&tenant).one(&INSERT, (Id::new(), "first")).await.unwrap();
    assert_eq!(note.body, "first");
    assert_eq!(db.tenant(&tenant).all(&BODIES, ()).await.unwrap(), ["first"]);
    assert_eq!(db.untenanted().one(&COUNT, ()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_transaction_commits_or_leaves_nothing() {
    let (_database, db) = connected().await;
    let tenant = tenant();
    db.tenant(&tenant)
        .tx(async |tx| -> Done { tx.one(&INSERT, (Id::new(), "kept")).await.map(drop) })
        .await
        .unwrap();
    let tx = async {
        let mut tx = db.tenant(&tenant).begin().await?;
        tx.one(&INSERT, (Id::new(), "undone")).await?;
        tx.rollback().await;
        Done::Ok(())
    };
    tx.await.unwrap();
    assert_eq!(db.tenant(&tenant).all(&BODIES, ()).await.unwrap(), ["kept"]);
    assert_eq!(db.status().discarded, 0);
}
