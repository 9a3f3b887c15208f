//! Every fault does what it says, seen by a client.

use std::{path::Path, time::SystemTime};

use shared_devkit::{Error, Postgres, Shutdown};
use tokio_postgres::{Client, error::SqlState};

use crate::{
    database::{connect, count},
    exclusive::show,
    sandbox::wait_until,
};

async fn with_a_note(server: &Postgres) -> Client {
    let client = connect(server.url()).await;
    let made = client.batch_execute("create table note (body text); insert into note values ('kept')").await;
    made.expect("a row");
    client
}

async fn notes(server: &Postgres) -> i64 {
    count(&connect(server.url()).await, "select count(*) from note").await
}

fn log(server: &Postgres) -> String {
    server.log_of("postgres", SystemTime::UNIX_EPOCH).join("\n")
}

#[tokio::test]
async fn a_killed_server_comes_back_with_every_commit() {
    let mut server = Postgres::exclusive().await.expect("a server");
    let client = with_a_note(&server).await;
    server.kill().await.expect("a kill");
    assert!(client.simple_query("select 1").await.is_err());

    let url = server.url().to_owned();
    server.start().await.expect("a start");
    assert_eq!(server.url(), url);
    assert_eq!(notes(&server).await, 1);
}

#[tokio::test]
async fn a_fast_shutdown_leaves_nothing_to_recover_and_an_immediate_one_does() {
    let mut server = Postgres::exclusive().await.expect("a server");
    let mut client = with_a_note(&server).await;
    let data = show(server.url(), "data_directory").await;
    for (how, code, recovers) in [
        (Shutdown::Fast, SqlState::ADMIN_SHUTDOWN, false),
        (Shutdown::Immediate, SqlState::CRASH_SHUTDOWN, true),
    ] {
        server.stop(how).await.expect("a stop");
        let told = client.simple_query("select 1").await.expect_err("no server");
        assert!(told.is_closed() || told.code() == Some(&code), "{told:?}");
        assert!(tokio_postgres::connect(server.url(), tokio_postgres::NoTls).await.is_err());

        server.start().await.expect("a start");
        let log = std::fs::read_to_string(Path::new(&data).with_file_name("log")).expect("a log");
        assert_eq!(log.contains("was not properly shut down"), recovers, "{log}");
        client = connect(server.url()).await;
        assert_eq!(count(&client, "select count(*) from note").await, 1);
    }

    let started = "select pg_postmaster_start_time()::text";
    let before: String = client.query_one(started, &[]).await.expect("a time").get(0);
    server.restart().await.expect("a restart");
    let after = connect(server.url()).await.query_one(started, &[]).await.expect("a time");
    assert_ne!(before, after.get::<_, String>(0));
}

#[tokio::test]
async fn a_paused_server_answers_when_it_is_resumed() {
    let server = Postgres::exclusive().await.expect("a server");
    let client = with_a_note(&server).await;
    server.pause().await.expect("a pause");
    let mut asked = std::pin::pin!(client.query_one("select body from note", &[]));
    let patience = std::time::Duration::from_millis(200);
    assert!(tokio::time::timeout(patience, &mut asked).await.is_err(), "nothing answers, nothing is closed");
    server.resume().await.expect("to resume");
    assert_eq!(asked.await.expect("a row").get::<_, String>(0), "kept");
}

#[tokio::test]
async fn a_killed_backend_ends_every_session_and_no_commit() {
    let server = Postgres::exclusive().await.expect("a server");
    let (victim, other) = (with_a_note(&server).await, connect(server.url()).await);
    let pid: i32 = victim.query_one("select pg_backend_pid()", &[]).await.expect("an id").get(0);
    let started = "select pg_postmaster_start_time()::text";
    let before: String = other.query_one(started, &[]).await.expect("a time").get(0);
    server.kill_backend(pid).await.expect("a crash");
    assert!(victim.simple_query("select 1").await.is_err());
    assert!(other.simple_query("select 1").await.is_err());
    assert_eq!(notes(&server).await, 1);
    let after = connect(server.url()).await.query_one(started, &[]).await.expect("a time");
    assert_eq!(before, after.get::<_, String>(0), "the same server has recovered");

    let refused = server.kill_backend(std::process::id().cast_signed()).await.expect_err("not its process");
    assert!(refused.to_string().contains("none of its processes"), "{refused}");
}

#[tokio::test]
async fn a_server_with_a_truncated_file_says_so() {
    let mut server = Postgres::exclusive().await.expect("a server");
    let client = with_a_note(&server).await;
    let file = "select pg_relation_filepath('note')";
    let table: String = client.query_one(file, &[]).await.expect("a path").get(0);
    let refused = server.truncate_file(&table, 0).await.expect_err("it runs");
    assert!(refused.to_string().contains("stop or kill it first"), "{refused}");

    server.stop(Shutdown::Fast).await.expect("a stop");
    server.overwrite_file(&table, 0, &[0xff; 64]).await.expect("a damage");
    server.start().await.expect("a start");
    let broken = connect(server.url()).await.query("select body from note", &[]).await.expect_err("a damage");
    assert_eq!(broken.code(), Some(&SqlState::DATA_CORRUPTED), "{broken:?}");
    assert!(log(&server).contains("ERROR:  invalid page in block 0"), "{}", log(&server));

    server.kill().await.expect("a kill");
    server.truncate_file("global/pg_control", 100).await.expect("a damage");
    let refused = server.start().await.expect_err("no control file");
    assert!(matches!(refused, Error::Server { attempted: "start", .. }), "{refused}");
    assert!(refused.to_string().contains("global/pg_control"), "{refused}");
}

#[tokio::test]
async fn only_files_of_the_data_directory_are_damaged() {
    let server = Postgres::exclusive().await.expect("a server");
    let data = show(server.url(), "data_directory").await;
    server.stop(Shutdown::Immediate).await.expect("a stop");
    std::os::unix::fs::symlink("../port", Path::new(&data).join("a link")).expect("a link");
    for file in ["../port", "/etc/hostname", "base/../../port", "a link", "missing", "base"] {
        let refused = server.truncate_file(file, 0).await.expect_err("no file of the data");
        assert!(matches!(refused, Error::File { attempted: "truncate", .. }), "{refused}");
    }
    for refused in
        [server.truncate_file("PG_VERSION", 4).await, server.overwrite_file("PG_VERSION", 2, b"89").await]
    {
        assert!(matches!(refused, Err(Error::File { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn nobody_breaks_the_server_of_others() {
    let mut server = Postgres::shared().await.expect("a server");
    assert!(matches!(server.kill().await, Err(Error::NotYours { .. })));
    assert!(matches!(server.start().await, Err(Error::NotYours { .. })));
    assert!(matches!(server.stop(Shutdown::Fast).await, Err(Error::NotYours { .. })));
    assert!(matches!(server.restart().await, Err(Error::NotYours { .. })));
    assert!(matches!(server.pause().await, Err(Error::NotYours { .. })));
    assert!(matches!(server.kill_backend(1).await, Err(Error::NotYours { .. })));
    assert!(matches!(server.truncate_file("PG_VERSION", 0).await, Err(Error::NotExclusive { .. })));
    assert!(matches!(server.replica().await, Err(Error::NotExclusive { .. })));
}

#[tokio::test]
async fn a_database_has_its_own_lines_of_the_log() {
    let server = Postgres::shared().await.expect("a server");
    let one = server.empty_database().await.expect("a database");
    let other = server.empty_database().await.expect("a database");
    for (database, mistake) in [(&one, "select 1 from\nmine"), (&other, "select 1 from theirs")] {
        assert!(connect(database.url()).await.batch_execute(mistake).await.is_err());
    }
    let lines = || one.log().join("\n");
    wait_until("the server has written it", || lines().contains("from\n\tmine"));
    assert!(lines().contains("ERROR:  relation \"mine\" does not exist"), "{}", lines());
    assert!(!lines().contains("theirs"), "{}", lines());
    assert_eq!(server.log_of(one.name(), SystemTime::now()), Vec::<String>::new());
    for at in 0..40 {
        let broken = format!("select {at} from mine");
        assert!(connect(one.url()).await.batch_execute(&broken).await.is_err());
    }
    wait_until("the server has written it", || lines().contains("select 39 from mine"));
    assert!(one.log().len() <= 50);
}
