//! A growing table that is read by cuts: completely, once, and without waiting.

use shared_db::{
    Db, Error, MigrationSet, Step, bootstrap, cut, cut_behind, cut_between, cut_lock, statements,
};
use shared_devkit::{Postgres, TestDatabase};

const SQL: &str = "
    create table it.log (
        pos bigint generated always as identity (cache 1) primary key,
        xid xid8 not null default pg_current_xact_id(), body text not null);
    create index log_xid_pos on it.log (xid, pos);
    create table it.reader (one boolean primary key default true, seen pg_snapshot not null, sees pg_snapshot);
    insert into it.reader (seen) values (pg_current_snapshot());
    grant select, insert on it.log to {app}, {system};
    grant select, update on it.reader to {system};";

const MIGRATIONS: MigrationSet =
    MigrationSet::new("it", &[Step::sql(1, "log", SQL)]).requires(&["shared_db"]);

statements! {
    const ADD: Statement<(String,), ()> = "insert into it.log (body) values ($1)";
    const LOCK: Statement<(), bool> = cut_lock!("it.reader");
    const CUT: Statement<(), ()> = "update it.reader set seen = coalesce(sees, seen), sees = pg_current_snapshot()";
    const ANY: Statement<(), bool> = concat!(
        "with cut as materialized (select coalesce(sees, seen) as seen from it.reader) select ", cut_behind!("it.log"));
    const BATCH: Statement<(i64,), String> = concat!("
        with cut as materialized (select seen, sees from it.reader),
             page as (", cut_between!("it.log"), " order by pos limit $1)
        select log.body from page join it.log on log.pos = page.pos order by log.pos");
    // The control: a reader that trusts a number that grows.
    const BEHIND: Statement<(i64,), (i64, String)> = "select pos, body from it.log where pos > $1 order by pos";
}

async fn a_log() -> (TestDatabase, Db) {
    let database = Postgres::shared().await.unwrap().empty_database().await.unwrap();
    let config = shared_db::Config::new(database.url());
    bootstrap(&config, &[MIGRATIONS]).await.unwrap();
    (database, Db::connect(&config).await.unwrap())
}

async fn next_batch(db: &Db) -> Vec<String> {
    let cut = async |tx: &mut shared_db::Tx| {
        cut::lock(tx, &LOCK).await?;
        tx.execute(&CUT, ()).await
    };
    assert_eq!(db.system().tx(cut).await.unwrap(), 1);
    db.system().all(&BATCH, (100,)).await.unwrap()
}

#[tokio::test]
async fn a_row_is_between_one_pair_of_cuts_however_late_it_is_committed() {
    let (_database, db) = a_log().await;
    let mut open = db.untenanted().begin().await.unwrap();
    open.execute(&ADD, ("early",)).await.unwrap();
    let mut naive = Vec::new();
    let mut last = 0;
    for body in ["first", "second"] {
        db.untenanted().execute(&ADD, (body,)).await.unwrap();
        assert!(db.system().one(&ANY, ()).await.unwrap());
        assert_eq!(next_batch(&db).await, [body]);
        for (pos, body) in db.system().all(&BEHIND, (last,)).await.unwrap() {
            last = pos;
            naive.push(body);
        }
        assert!(!db.system().one(&ANY, ()).await.unwrap(), "the open row is not behind the cut");
    }
    open.commit().await.unwrap();
    assert!(db.system().one(&ANY, ()).await.unwrap());
    assert_eq!(next_batch(&db).await, ["early"]);
    assert_eq!(next_batch(&db).await, Vec::<String>::new());
    assert!(db.system().all(&BEHIND, (last,)).await.unwrap().is_empty());
    assert_eq!(naive, ["first", "second"], "the control has lost the row");
}

#[tokio::test]
async fn a_sequence_that_caches_is_refused() {
    let (database, db) = a_log().await;
    cut::check(&db.system(), "it.log").await.unwrap();
    let (client, connection) = tokio_postgres::connect(database.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("alter sequence it.log_pos_seq cache 20").await.unwrap();
    let refused = cut::check(&db.system(), "it.log").await;
    assert!(
        matches!(refused, Err(Error::Uncut(why)) if why.contains("alter sequence it.log_pos_seq cache 1"))
    );
}
