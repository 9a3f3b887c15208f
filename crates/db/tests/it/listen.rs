//! Notifications, and what becomes of them when the server goes away.

use std::sync::{LazyLock, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use shared_db::{Config, Db, Error, Listener, Notice, bootstrap};

use crate::support::{NOTES, admin, connected};

async fn next(listener: &mut Listener) -> Notice {
    tokio::time::timeout(Duration::from_secs(30), listener.next()).await.expect("a notice")
}

fn said(channel: &str, payload: &str) -> Notice {
    Notice::Notification { channel: channel.to_owned(), payload: payload.to_owned() }
}

#[tokio::test]
async fn what_is_said_on_a_channel_is_heard_in_order() {
    let (database, db) = connected().await;
    let admin = admin(&database.config).await;
    let mut listener = db.listen(&["notes", "Odd \"name\""]).await.unwrap();
    admin.batch_execute("begin; notify notes, 'never'; rollback; notify other, 'not this'").await.unwrap();
    admin
        .batch_execute("notify notes, 'one'; notify \"Odd \"\"name\"\"\"; notify notes, 'two'")
        .await
        .unwrap();
    for expected in [said("notes", "one"), said("Odd \"name\"", ""), said("notes", "two")] {
        assert_eq!(next(&mut listener).await, expected);
    }
    for odd in ["", "nul\0", &"x".repeat(64)] {
        assert!(matches!(db.listen(&[odd]).await, Err(Error::Config(_))), "{odd}");
    }
}

#[tokio::test]
async fn after_an_absence_it_says_that_something_may_be_missing_and_hears_again() {
    let mut server = crate::server::exclusive().await;
    let config = Config::new(server.url());
    bootstrap(&config, &[NOTES]).await.unwrap();
    let db = Db::connect(&config).await.unwrap();
    let mut listener = db.listen(&["notes"]).await.unwrap();
    server.kill().await.unwrap();
    server.start().await.unwrap();
    assert_eq!(next(&mut listener).await, Notice::MayHaveMissed);
    admin(&Config::new(server.url())).await.batch_execute("notify notes, 'back'").await.unwrap();
    assert_eq!(next(&mut listener).await, said("notes", "back"));
}

/// What the binary's tests log, each on a thread of its own. One subscriber for all: those of single threads forget callsites that
/// another thread has met before.
static LOG: LazyLock<Mutex<Vec<(ThreadId, String)>>> = LazyLock::new(|| {
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(|| Line(thread::current().id())).finish();
    tracing::subscriber::set_global_default(subscriber).expect("the first subscriber");
    Mutex::default()
});

/// A line of a thread.
struct Line(ThreadId);

impl std::io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().push((self.0, String::from_utf8_lossy(bytes).into_owned()));
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn each_absence_is_the_first_one_for_its_patience() {
    LazyLock::force(&LOG);
    let (database, db) = connected().await;
    let admin = admin(&database.config).await;
    let end = "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'shared-db listener'";
    let mut listener = db.listen(&["notes"]).await.unwrap();
    for _ in 0..5 {
        assert_eq!(admin.execute(end, &[]).await.unwrap(), 1);
        assert_eq!(next(&mut listener).await, Notice::MayHaveMissed);
    }
    let log = LOG.lock().unwrap();
    let mine = log.iter().filter(|(thread, _)| *thread == thread::current().id()).map(|(_, line)| line);
    let lost: Vec<&String> = mine.filter(|line| line.contains("lost its connection")).collect();
    assert_eq!(lost.len(), 5, "{lost:?}");
    assert!(lost.iter().all(|line| line.contains("attempt=1")), "{lost:?}");
}

#[tokio::test]
async fn a_dropped_listener_leaves_no_connection() {
    let (database, db) = connected().await;
    let admin = admin(&database.config).await;
    let listening = "select count(*) from pg_stat_activity
        where datname = current_database() and application_name = 'shared-db listener'";
    let count = async || admin.query_one(listening, &[]).await.unwrap().get::<_, i64>(0);
    let listener = db.listen(&["notes"]).await.unwrap();
    assert_eq!(count().await, 1);
    drop(listener);
    crate::support::eventually(Duration::from_secs(5), async || count().await == 0).await;
}
