//! A cluster of three nodes: redirections, a moved slot, a killed node.

use std::time::Duration;

use shared_core::Secret;
use shared_db::Error;
use shared_db::redis::{Config, Redis, Script, cmd, pipe};
use shared_devkit::RedisCluster;

use super::{is_outage, recovered};
use crate::support::eventually;

static BOTH: Script = Script::new("both", "redis.call('INCR', KEYS[1]) return redis.call('INCR', KEYS[2])");
static ONE: Script = Script::new("one", "return redis.call('INCR', KEYS[1])");

/// `CLUSTER KEYSLOT task`.
const SLOT_OF_TASK: u16 = 9240;

async fn connected(cluster: &RedisCluster) -> Redis {
    let mut config = Config::new("");
    config.urls = cluster.urls().iter().map(Secret::new).collect();
    config.cluster = true;
    config.command_timeout = Duration::from_secs(2);
    Redis::connect(&config).await.unwrap()
}

#[tokio::test]
async fn everything_finds_its_node_also_while_a_slot_moves() {
    let cluster = RedisCluster::exclusive().await.unwrap();
    let redis = connected(&cluster).await;
    redis.ping().await.unwrap();
    for number in 0..100 {
        let () = redis.command(cmd("SET").arg(format!("key{number}")).arg(number)).await.unwrap();
    }
    for number in 0..100 {
        assert_eq!(redis.command::<i64>(cmd("GET").arg(format!("key{number}"))).await.unwrap(), number);
    }
    let (one, two): (i64, i64) =
        redis.pipeline(pipe().atomic().incr("{task}a", 1).incr("{task}b", 1)).await.unwrap();
    assert_eq!((one, two), (1, 1));
    assert_eq!(redis.script::<i64>(&BOTH.keys(["{task}a", "{task}b"])).await.unwrap(), 2);

    // Half-way the keys that are not there yet are at the new owner: ASK. Then all are: MOVED.
    let owner = cluster.owner(SLOT_OF_TASK).await.unwrap();
    let to = (owner + 1) % 3;
    cluster.begin_move(SLOT_OF_TASK, to).await.unwrap();
    assert_eq!(redis.command::<i64>(cmd("INCR").arg("{task}new")).await.unwrap(), 1);
    assert_eq!(redis.script::<i64>(&ONE.keys(["{task}newer"])).await.unwrap(), 1);
    cluster.finish_move(SLOT_OF_TASK, to).await.unwrap();
    let mut held = redis.get().await.unwrap();
    let moved = redis.pipeline::<(i64,)>(pipe().atomic().incr("{task}a", 0)).await.unwrap_err();
    assert!(moved.code() == Some("MOVED") && moved.is_retryable(), "nothing has happened: {moved:?}");
    assert_eq!(redis.pipeline::<(i64,)>(pipe().atomic().incr("{task}a", 0)).await.unwrap(), (2,));
    assert_eq!(held.pipeline::<(i64,)>(pipe().atomic().incr("{task}a", 0)).await.unwrap(), (2,));
    assert_eq!(redis.command::<i64>(cmd("INCR").arg("{task}new")).await.unwrap(), 2);
    assert_eq!(redis.script::<i64>(&BOTH.keys(["{task}a", "{task}b"])).await.unwrap(), 3);

    let connections = [redis.get().await.unwrap(), redis.get().await.unwrap()];
    for mut connection in connections {
        let element = cmd("BLPOP").arg("{task}jobs").arg(10).to_owned();
        let () = redis.command(cmd("RPUSH").arg("{task}jobs").arg("first")).await.unwrap();
        let (_, first): (String, String) = connection.wait(&element, Duration::from_secs(10)).await.unwrap();
        assert_eq!(first, "first");
        let watch = connection.command::<()>(cmd("WATCH").arg("task")).await.unwrap_err();
        assert!(watch.to_string().contains("use a script"), "{watch}");
    }
}

#[tokio::test]
async fn keys_of_several_slots_are_refused_and_not_named() {
    let cluster = RedisCluster::exclusive().await.unwrap();
    let redis = connected(&cluster).await;
    let crossed = redis.script::<i64>(&BOTH.keys(["secret", "other"])).await.unwrap_err();
    assert!(matches!(crossed, Error::CrossSlot { script: "both", keys: 2, .. }), "{crossed:?}");
    assert!(!format!("{crossed} {crossed:?}").contains("secret"));
    let crossed = redis.pipeline::<()>(pipe().incr("secret", 1).incr("other", 1)).await.unwrap_err();
    assert_eq!(crossed.code(), Some("CROSSSLOT"));
    assert!(!format!("{crossed} {crossed:?}").contains("secret"));
}

#[tokio::test]
async fn a_dead_node_takes_its_slots_with_it_and_brings_them_back() {
    let mut cluster = RedisCluster::exclusive().await.unwrap();
    let redis = connected(&cluster).await;
    let owner = cluster.owner(SLOT_OF_TASK).await.unwrap();
    let mut elsewhere = Vec::new();
    for number in 0..10 {
        let key = format!("key{number}");
        let slot: u16 = redis.command(cmd("CLUSTER").arg("KEYSLOT").arg(&key)).await.unwrap();
        if cluster.owner(slot).await.unwrap() != owner {
            elsewhere.push(key);
        }
    }
    let () = redis.command(cmd("SET").arg("task").arg("kept")).await.unwrap();
    let waiting = tokio::spawn({
        let redis = redis.clone();
        async move {
            let mut connection = redis.get().await?;
            connection.wait::<()>(cmd("BLPOP").arg("{task}jobs").arg(60), Duration::from_secs(60)).await
        }
    });
    let node = super::connected(&cluster.urls()[owner], |_| ()).await;
    eventually(Duration::from_secs(10), async || super::shared::blocked(&node).await == 1).await;
    cluster.kill(owner).await.unwrap();
    let lost = waiting.await.unwrap().unwrap_err();
    assert!(
        matches!(lost, Error::Unanswered { .. }),
        "it is not sent again behind the caller's back: {lost:?}"
    );
    let mut down = None;
    eventually(Duration::from_secs(20), async || {
        let error = redis.command::<String>(cmd("GET").arg("task")).await.unwrap_err();
        assert!(is_outage(&error), "{error:?}");
        let is_down = error.is_retryable();
        down = Some(error);
        is_down
    })
    .await;
    assert!(matches!(down, Some(Error::Command { .. } | Error::Connect { .. })), "{down:?}");

    cluster.start(owner).await.unwrap();
    cluster.ready().await.unwrap();
    assert_eq!(recovered::<String>(&redis, "task").await, "kept");
    for key in elsewhere {
        recovered::<Option<String>>(&redis, &key).await;
    }
}
