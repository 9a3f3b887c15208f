//! A standby that follows, falls behind, and takes over.

use shared_devkit::{Error, Postgres, PostgresOptions};
use tokio_postgres::error::SqlState;

use crate::{
    database::{connect, count},
    exclusive::show,
    sandbox::wait_until,
};

const NOTES: &str = "select count(*) from note";

#[tokio::test]
async fn a_replica_follows_its_primary_and_takes_over() {
    let options = PostgresOptions::new().setting("max_connections", "333");
    let mut primary = Postgres::exclusive_with(options).await.expect("a server");
    let writer = connect(primary.url()).await;
    writer.batch_execute("create table note (body text)").await.expect("a table");
    let mut replica = primary.replica().await.expect("a replica");
    let reader = connect(replica.url()).await;
    assert_ne!(primary.url(), replica.url());
    assert_eq!(show(replica.url(), "max_connections").await, "333", "the same options");

    // Also what the primary has not yet written to its disk.
    writer.batch_execute("set synchronous_commit = off").await.expect("a setting");
    for kept in 1..=20 {
        writer.execute("insert into note values ('kept')", &[]).await.expect("a row");
        replica.caught_up().await.expect("to catch up");
        assert_eq!(count(&reader, NOTES).await, kept);
    }
    let refused = reader.execute("insert into note values ('lost')", &[]).await.expect_err("a standby");
    assert_eq!(refused.code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));

    // What was written while it was down it finds in its slot.
    replica.server().kill().await.expect("a kill");
    writer.execute("insert into note values ('kept')", &[]).await.expect("a row");
    replica.server_mut().start().await.expect("a start");
    replica.caught_up().await.expect("to catch up");
    assert_eq!(count(&connect(replica.url()).await, NOTES).await, 21);

    primary.kill().await.expect("a kill");
    let session = connect(replica.url()).await;
    let promoted = replica.promote().await.expect("a promotion");
    session.execute("insert into note values ('new')", &[]).await.expect("a row, in a session from before");
    assert_eq!(count(&connect(promoted.url()).await, NOTES).await, 22);

    // The old primary knows nothing of that, and the new one may have a replica of its own.
    primary.start().await.expect("a start");
    assert_eq!(count(&connect(primary.url()).await, NOTES).await, 21);
    let next = promoted.replica().await.expect("a replica");
    next.caught_up().await.expect("to catch up");
    assert_eq!(count(&connect(next.url()).await, NOTES).await, 22);
}

#[tokio::test]
async fn a_paused_replay_shows_the_past_until_it_goes_on() {
    let primary = Postgres::exclusive().await.expect("a server");
    let replica = primary.replica().await.expect("a replica");
    let writer = connect(primary.url()).await;
    writer.batch_execute("create table note (body text)").await.expect("a table");
    replica.caught_up().await.expect("to catch up");

    replica.pause_replay().await.expect("a pause");
    writer.execute("insert into note values ('kept')", &[]).await.expect("a row");
    let reader = connect(replica.url()).await;
    let received = "select pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()";
    while !reader.query_one(received, &[]).await.expect("an answer").get::<_, bool>(0) {
        tokio::task::yield_now().await;
    }
    assert_eq!(count(&reader, NOTES).await, 0);
    replica.resume_replay().await.expect("to resume");
    replica.caught_up().await.expect("to catch up");
    assert_eq!(count(&reader, NOTES).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_goes_alone_and_keeps_its_primary_up() {
    let primary = Postgres::exclusive().await.expect("a server");
    let client = connect(primary.url()).await;
    let replica = primary.replica().await.expect("a replica");
    let reader = connect(replica.url()).await;
    drop(replica);
    wait_until("the replica is gone", || reader.is_closed());
    assert_eq!(count(&client, "select 1::bigint").await, 1);

    let replica = primary.replica().await.expect("another replica");
    drop(primary);
    replica.caught_up().await.expect("a primary that is up");
    drop(replica);
    wait_until("the primary is gone", || client.is_closed());
}

#[tokio::test]
async fn a_primary_that_cannot_be_copied_says_why() {
    let options = PostgresOptions::new().setting("wal_level", "minimal").setting("max_wal_senders", "0");
    let primary = Postgres::exclusive_with(options).await.expect("a server");
    let error = primary.replica().await.expect_err("no senders");
    assert!(matches!(error, Error::Program { .. }), "{error}");
    assert!(error.to_string().starts_with("`pg_basebackup` failed: "), "{error}");
}
