//! A master that sentinels watch, and the one that takes over.

use std::time::Duration;

use shared_core::Secret;
use shared_db::Error;
use shared_db::redis::{Config, Redis, cmd};
use shared_devkit::RedisSentinels;

use super::recovered;
use crate::support::eventually;

/// Through the sentinels, without the place of any server.
fn config(set: &RedisSentinels) -> Config {
    let server = &set.urls()[0];
    let (login, _) = server.rsplit_once('@').unwrap();
    let mut config = Config::new(format!("{login}@not.looked.at.test"));
    config.sentinels = set.sentinel_urls().iter().map(Secret::new).collect();
    config.command_timeout = Duration::from_secs(2);
    config
}

#[tokio::test]
async fn a_failover_is_followed_from_a_dead_master_and_from_a_silent_one() {
    let set = RedisSentinels::exclusive().await.unwrap();
    let redis = Redis::connect(&config(&set)).await.unwrap();
    // Acknowledged by the replica, so that it survives.
    let () = redis.command(cmd("SET").arg("key").arg("kept")).await.unwrap();
    let mut connection = redis.get().await.unwrap();
    assert_eq!(
        connection.wait::<i64>(cmd("WAIT").arg(1).arg(10_000), Duration::from_secs(10)).await.unwrap(),
        1
    );
    drop(connection);

    let first = set.master().await.unwrap();
    set.pause(first).await.unwrap();
    eventually(Duration::from_secs(30), async || set.master().await.is_ok_and(|master| master != first))
        .await;
    assert_eq!(recovered::<String>(&redis, "key").await, "kept");
    let () = write(&redis).await;
    assert_eq!(role(&redis).await, "master");
    assert_eq!(redis.get().await.unwrap().command::<String>(cmd("GET").arg("key")).await.unwrap(), "new");

    // The former master is a replica now, and takes over in its turn.
    set.resume(first).await.unwrap();
    eventually(Duration::from_secs(30), async || {
        redis
            .command::<String>(cmd("INFO").arg("replication"))
            .await
            .is_ok_and(|said| said.contains("state=online"))
    })
    .await;
    let mut connection = redis.get().await.unwrap();
    let () = connection.command(cmd("SET").arg("key").arg("new")).await.unwrap();
    assert_eq!(
        connection.wait::<i64>(cmd("WAIT").arg(1).arg(10_000), Duration::from_secs(10)).await.unwrap(),
        1
    );
    drop(connection);
    set.kill(2).await.unwrap(); // the sentinel that is asked first
    set.kill(1 - first).await.unwrap();
    eventually(Duration::from_secs(60), async || set.master().await.is_ok_and(|master| master == first))
        .await;
    assert_eq!(recovered::<String>(&redis, "key").await, "new");
    assert_eq!(role(&redis).await, "master");
}

#[tokio::test]
async fn a_master_that_nobody_knows_is_an_error_that_says_so() {
    let set = RedisSentinels::exclusive().await.unwrap();
    let mut config = config(&set);
    config.master = "another".to_owned();
    let unknown = Redis::connect(&config).await.unwrap_err();
    assert!(
        matches!(unknown, Error::Connect { .. }) && unknown.to_string().contains("know no master"),
        "{unknown}"
    );
}

/// Writes until it is done; a master that was demoted says READONLY, which is worth a retry.
async fn write(redis: &Redis) {
    eventually(Duration::from_secs(30), async || {
        match redis.command::<()>(cmd("SET").arg("key").arg("new")).await {
            Ok(()) => true,
            Err(error) => {
                assert!(super::is_outage(&error), "{error:?}");
                false
            }
        }
    })
    .await;
}

async fn role(redis: &Redis) -> String {
    let said: String = redis.command(cmd("INFO").arg("replication")).await.unwrap();
    said.lines().find_map(|line| line.strip_prefix("role:")).unwrap().trim().to_owned()
}
