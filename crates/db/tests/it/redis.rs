//! Redis, against real servers.

mod cancel;
mod cluster;
mod outage;
mod pool;
mod script;
mod sentinel;
mod shared;
mod tls;

use std::time::Duration;

use shared_db::Error;
use shared_db::redis::{Config, FromRedisValue, Redis, cmd};
use shared_devkit::TestRedis;

/// A part of the shared server for one test.
pub(crate) async fn database() -> TestRedis {
    shared_devkit::Redis::shared().await.unwrap().database().await.unwrap()
}

/// A connected Redis with these settings changed.
pub(crate) async fn connected(url: &str, change: impl FnOnce(&mut Config)) -> Redis {
    let mut config = Config::new(url);
    change(&mut config);
    Redis::connect(&config).await.unwrap()
}

/// The URL for somebody else than the default user.
pub(crate) fn as_user(url: &str, user: &str, password: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    format!("{scheme}://{user}:{password}@{place}")
}

/// Tries a GET until it is answered, and checks that every error on the way is one to be expected of an outage.
pub(crate) async fn recovered<T: FromRedisValue>(redis: &Redis, key: &str) -> T {
    let mut value = None;
    crate::support::eventually(Duration::from_secs(30), async || {
        match redis.command(cmd("GET").arg(key)).await {
            Ok(answer) => {
                value = Some(answer);
                true
            }
            Err(error) => {
                assert!(is_outage(&error), "{error:?}");
                false
            }
        }
    })
    .await;
    value.unwrap()
}

/// Something to repeat, or to look after.
pub(crate) fn is_outage(error: &Error) -> bool {
    error.is_retryable() || matches!(error, Error::CommandTimeout { .. } | Error::Unanswered { .. })
}
