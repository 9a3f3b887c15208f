//! Connections of one's own.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use shared_db::Error;
use shared_db::redis::{Redis, cmd, pipe};

use super::shared::blocked;
use super::{connected, database};

async fn id(redis: &Redis) -> i64 {
    let mut connection = redis.get().await.unwrap();
    connection.command(cmd("CLIENT").arg("ID")).await.unwrap()
}

#[tokio::test]
async fn nobody_starves_and_who_waits_too_long_is_told() {
    let database = database().await;
    let redis = connected(database.url(), |config| {
        config.pool_size = 2;
        config.pool_timeout = Duration::from_millis(300);
    })
    .await;
    let (one, two) = (redis.get().await.unwrap(), redis.get().await.unwrap());
    let asked = Instant::now();
    let refused = redis.get().await.unwrap_err();
    assert!(
        matches!(refused, Error::PoolTimeout { .. }) && refused.is_retryable() && refused.is_timeout(),
        "{refused}"
    );
    assert!(asked.elapsed() >= Duration::from_millis(300));
    assert_eq!((redis.status().open, redis.status().idle), (2, 0));
    drop((one, two));
    assert_eq!((redis.status().open, redis.status().idle), (2, 2));

    let redis = connected(database.url(), |config| config.pool_size = 2).await;
    let everybody = (0..200).map(|_| {
        let redis = redis.clone();
        tokio::spawn(async move { redis.get().await?.command::<i64>(cmd("INCR").arg("served")).await })
    });
    let served = join_all(everybody).await.into_iter().map(|task| task.unwrap().unwrap()).max();
    assert_eq!(served, Some(200));
    let status = redis.status();
    assert_eq!((status.waiting, status.discarded), (0, 0));
    assert!(status.open <= 2, "{status:?}");
}

#[tokio::test]
async fn a_clean_connection_is_used_again_and_a_changed_one_is_not() {
    let database = database().await;
    let redis = connected(database.url(), |config| config.pool_size = 1).await;
    let first = id(&redis).await;
    assert_eq!(id(&redis).await, first);

    let changes = [cmd("WATCH").arg("key").clone(), cmd("SELECT").arg(0).clone(), cmd("MULTI")];
    for change in changes {
        let before = id(&redis).await;
        let () = redis.get().await.unwrap().command(&change).await.unwrap();
        assert_ne!(id(&redis).await, before);
    }
    assert_eq!(redis.status().discarded, 3);
}

#[tokio::test]
async fn a_watched_key_that_changes_undoes_the_transaction() {
    let database = database().await;
    let redis = connected(database.url(), |_| ()).await;
    for (meddled, expected) in [(false, Some(())), (true, None)] {
        let mut connection = redis.get().await.unwrap();
        let () = connection.command(cmd("WATCH").arg("key")).await.unwrap();
        if meddled {
            let () = redis.command(cmd("SET").arg("key").arg("meddled")).await.unwrap();
        }
        let done: Option<()> =
            connection.pipeline(pipe().atomic().set("key", "done").ignore()).await.unwrap();
        assert_eq!(done, expected, "meddled: {meddled}");
    }
    assert_eq!(redis.command::<String>(cmd("GET").arg("key")).await.unwrap(), "meddled");
    assert_eq!(redis.status().discarded, 0, "EXEC ends the watch");
}

#[tokio::test]
async fn who_waits_for_an_element_gets_it_or_nothing() {
    let database = database().await;
    let redis = connected(database.url(), |config| config.command_timeout = Duration::from_millis(500)).await;
    let mut connection = redis.get().await.unwrap();
    let nothing: Option<(String, String)> =
        connection.wait(cmd("BLPOP").arg("jobs").arg(1), Duration::from_secs(1)).await.unwrap();
    assert_eq!(nothing, None, "one second is more than the deadline of a command");
    // Who waits for ever says so.
    let (): () = redis.command(cmd("RPUSH").arg("jobs").arg("first")).await.unwrap();
    let first: Option<(String, String)> =
        connection.wait(cmd("BLPOP").arg("jobs").arg(0), Duration::MAX).await.unwrap();
    assert!(first.is_some_and(|(_, first)| first == "first"));
    let waiting = tokio::spawn(async move {
        connection.wait::<(String, String)>(cmd("BLPOP").arg("jobs").arg(60), Duration::from_secs(60)).await
    });
    crate::support::eventually(Duration::from_secs(5), async || blocked(&redis).await == 1).await;
    let () = redis.command(cmd("RPUSH").arg("jobs").arg("first")).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), ("jobs".to_owned(), "first".to_owned()));
}

#[tokio::test]
async fn old_connections_end() {
    let database = database().await;
    let redis = connected(database.url(), |config| config.pool_lifetime = Duration::from_secs(1)).await;
    let before = id(&redis).await;
    let old = Instant::now() + Duration::from_millis(1100);
    let held = redis.get().await.unwrap();
    tokio::time::sleep_until(old.into()).await; // time itself is tested: the age of a connection
    drop(held);
    assert_ne!(id(&redis).await, before);
}
