//! A server that is killed, restarted, or silent.

use std::time::{Duration, Instant};

use shared_db::Error;
use shared_db::redis::{Config, Redis, cmd};
use shared_devkit::Proxy;

use super::{connected, recovered};

#[tokio::test]
async fn all_connections_outlive_a_killed_server() {
    let mut server = shared_devkit::Redis::exclusive().await.unwrap();
    let redis = connected(server.url(), |_| ()).await;
    let () = redis.command(cmd("SET").arg("key").arg("kept")).await.unwrap();
    drop(redis.get().await.unwrap());
    let mut held = redis.get().await.unwrap();
    let mut waiting = redis.get().await.unwrap();
    let waiting = tokio::spawn(async move {
        waiting.wait::<()>(cmd("BLPOP").arg("jobs").arg(60), Duration::from_secs(60)).await
    });
    crate::support::eventually(Duration::from_secs(5), async || super::shared::blocked(&redis).await == 1)
        .await;

    server.kill().await.unwrap();
    let broken = waiting.await.unwrap().unwrap_err();
    assert!(matches!(&broken, Error::Unanswered { command, .. } if command == "BLPOP"), "{broken:?}");
    let broken = held.command::<()>(&cmd("PING")).await.unwrap_err();
    assert!(matches!(broken, Error::Unanswered { .. }) && !broken.is_retryable(), "{broken}");
    let given_up = held.command::<()>(&cmd("PING")).await.unwrap_err();
    assert!(given_up.to_string().contains("take another connection"), "{given_up}");

    let mut first = None;
    crate::support::eventually(Duration::from_secs(5), async || {
        let error = redis.ping().await.unwrap_err();
        let is_down = matches!(error, Error::Connect { .. }) && error.is_retryable();
        first.get_or_insert(error);
        is_down
    })
    .await;
    let asked = Instant::now();
    assert!(redis.get().await.is_err_and(|error| matches!(error, Error::Connect { .. })));
    assert!(asked.elapsed() < Duration::from_secs(2), "it does not wait for the pool's time-out");

    server.start().await.unwrap();
    assert_eq!(recovered::<String>(&redis, "key").await, "kept");
    let mut connection = redis.get().await.unwrap();
    assert_eq!(connection.command::<String>(cmd("GET").arg("key")).await.unwrap(), "kept");
}

#[tokio::test]
async fn a_silent_server_is_a_deadline_and_not_a_hang() {
    let server = shared_devkit::Redis::exclusive().await.unwrap();
    let redis = connected(server.url(), |config| {
        config.command_timeout = Duration::from_millis(300);
        config.connect_timeout = Duration::from_millis(300);
    })
    .await;
    let () = redis.command(cmd("SET").arg("key").arg("kept")).await.unwrap();
    let mut held = redis.get().await.unwrap();
    server.pause().await.unwrap();
    let start = Instant::now();
    let late = redis.command::<()>(cmd("GET").arg("key")).await.unwrap_err();
    assert!(late.is_timeout() && matches!(late, Error::CommandTimeout { .. }), "{late}");
    let late = held.command::<()>(cmd("GET").arg("key")).await.unwrap_err();
    assert!(late.is_timeout(), "{late}");
    let silent = redis.get().await.unwrap_err();
    assert!(matches!(silent, Error::Connect { .. }) && silent.is_retryable(), "{silent}");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    server.resume().await.unwrap();
    assert_eq!(recovered::<String>(&redis, "key").await, "kept");
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_has_happened_once() {
    let server = shared_devkit::Redis::exclusive().await.unwrap();
    let proxy = Proxy::to(server.url()).await.unwrap();
    let redis = connected(&proxy.url(server.url()), |_| ()).await;
    proxy.to_client().cut_after(0);
    let lost = redis.command::<i64>(cmd("INCR").arg("n")).await.unwrap_err();
    assert!(matches!(lost, Error::Unanswered { .. }) && !lost.is_retryable(), "{lost}");
    proxy.heal();
    assert_eq!(redis.command::<i64>(cmd("GET").arg("n")).await.unwrap(), 1);
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_without_a_password() {
    let server = shared_devkit::Redis::exclusive().await.unwrap();
    let url = server.url().replace("//default:", "//default:hunter2");
    let wrong = Redis::connect(&Config::new(url)).await.unwrap_err();
    assert!(matches!(wrong, Error::Connect { .. }) && !wrong.to_string().contains("hunter2"), "{wrong}");
    let nowhere = Redis::connect(&Config::new("redis://127.0.0.1:1")).await.unwrap_err();
    assert!(matches!(nowhere, Error::Connect { .. }), "{nowhere}");
    let mut two = Config::new(server.url());
    two.urls.push(two.urls[0].clone());
    assert!(matches!(Redis::connect(&two).await, Err(Error::Config(_))));
    let mut none = Config::new(server.url());
    none.pool_size = 0;
    assert!(matches!(Redis::connect(&none).await, Err(Error::Config(_))));
}
