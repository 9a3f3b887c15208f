//! The shared connection: what travels together, and what may not travel on it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use shared_db::redis::{Redis, cmd, pipe};
use shared_db::{Closed, Error};
use shared_devkit::Proxy;

use super::{as_user, connected, database};

#[tokio::test]
async fn commands_and_pipelines_are_answered_by_type() {
    let database = database().await;
    let redis = connected(database.url(), |_| ()).await;
    redis.ping().await.unwrap();
    assert_eq!(redis.command::<Option<String>>(cmd("GET").arg("absent")).await.unwrap(), None);
    assert_eq!(redis.command::<i64>(cmd("INCR").arg("count")).await.unwrap(), 1);
    let (two, ttl): (i64, i64) =
        redis.pipeline(pipe().incr("count", 1).cmd("TTL").arg("count")).await.unwrap();
    assert_eq!((two, ttl), (2, -1));
    let (three,): (i64,) = redis.pipeline(pipe().atomic().incr("count", 1)).await.unwrap();
    assert_eq!(three, 3);

    let text: Error = redis.command::<i64>(cmd("SET").arg("name").arg("hunter2")).await.unwrap_err();
    assert_eq!(text.to_string(), "command `SET` failed: its answer can't be read as i64");
    let wrong = redis.command::<i64>(cmd("INCR").arg("name")).await.unwrap_err();
    assert_eq!((wrong.code(), wrong.is_retryable()), (Some("ERR"), false));
    let wrong = redis.command::<()>(cmd("LPUSH").arg("name").arg("hunter2")).await.unwrap_err();
    assert_eq!(wrong.code(), Some("WRONGTYPE"));
    for error in [text, wrong] {
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test]
async fn what_is_asked_at_the_same_time_travels_together() {
    let database = database().await;
    let proxy = Proxy::to(database.url()).await.unwrap();
    let redis = connected(&proxy.url(database.url()), |_| ()).await;
    proxy.to_client().delay(Duration::from_millis(40));
    let trips = proxy.round_trips(async {
        let all = join_all((0..40).map(|number| {
            let redis = redis.clone();
            async move { redis.command::<String>(cmd("ECHO").arg(number)).await }
        }));
        for (number, answer) in all.await.into_iter().enumerate() {
            assert_eq!(answer.unwrap(), number.to_string());
        }
    });
    assert_eq!(trips.await, 1);
}

#[tokio::test]
async fn what_would_hold_up_others_is_refused() {
    let database = database().await;
    let redis = connected(database.url(), |_| ()).await;
    let refused = redis.command::<()>(cmd("BLPOP").arg("jobs").arg(0)).await.unwrap_err();
    assert!(
        matches!(refused, Error::Config(_)) && refused.to_string().contains("`BLPOP` needs a connection"),
        "{refused}"
    );
    for word in ["WATCH", "SELECT", "SUBSCRIBE", "MONITOR", "MULTI"] {
        assert!(
            redis
                .command::<()>(cmd(word).arg("x"))
                .await
                .is_err_and(|error| matches!(error, Error::Config(_))),
            "{word}"
        );
    }
}

#[tokio::test]
async fn a_late_answer_is_an_error_that_says_what_is_unknown() {
    let database = database().await;
    let proxy = Proxy::to(database.url()).await.unwrap();
    let redis =
        connected(&proxy.url(database.url()), |config| config.command_timeout = Duration::from_millis(300))
            .await;
    proxy.to_client().stall_after(0);
    let asked = Instant::now();
    let late = redis.command::<i64>(cmd("INCR").arg("count")).await.unwrap_err();
    assert!(asked.elapsed() < Duration::from_secs(2));
    assert!(
        matches!(late, Error::CommandTimeout { .. }) && late.is_timeout() && !late.is_retryable(),
        "{late}"
    );
    assert!(
        late.to_string().contains("`INCR` within")
            && late.to_string().contains("may or may not have happened"),
        "{late}"
    );
    // While nothing answers, not even a connection can be opened: that much is certain.
    let down = redis.command::<i64>(cmd("INCR").arg("count")).await.unwrap_err();
    assert!(matches!(down, Error::Connect { .. }) && down.is_retryable(), "{down}");
    proxy.heal();
    assert_eq!(redis.command::<i64>(cmd("INCR").arg("count")).await.unwrap(), 2, "the late one had happened");
}

#[tokio::test]
async fn a_connection_that_was_cut_while_it_rested_is_noticed_before_it_is_used() {
    let database = database().await;
    let proxy = Proxy::to(database.url()).await.unwrap();
    let redis = connected(&proxy.url(database.url()), |_| ()).await;
    drop(redis.get().await.unwrap());
    let rested = Instant::now() + Duration::from_millis(1100);
    proxy.cut();
    tokio::time::sleep_until(rested.into()).await; // time itself is tested: the age of a connection
    assert_eq!(redis.command::<i64>(cmd("INCR").arg("count")).await.unwrap(), 1);
    assert_eq!(redis.get().await.unwrap().command::<i64>(cmd("INCR").arg("count")).await.unwrap(), 2);
}

/// The server lives, and the connection too: it may only not be asked.
#[tokio::test]
async fn a_user_who_may_not_ping_keeps_a_connection_that_rested() {
    let server = shared_devkit::Redis::exclusive().await.unwrap();
    let operator = connected(server.url(), |_| ()).await;
    let rights = "ACL SETUSER counter on >test ~count +incr";
    let _: String = operator.command(&words(rights)).await.unwrap();
    let redis = connected(&as_user(server.url(), "counter", "test"), |_| ()).await;
    let count = async || redis.command::<i64>(cmd("INCR").arg("count")).await.unwrap();
    let opened = async || {
        let stats: String = operator.command(cmd("INFO").arg("stats")).await.unwrap();
        stats.lines().find(|line| line.starts_with("total_connections_received")).unwrap().to_owned()
    };
    assert_eq!(count().await, 1);
    let before = opened().await;
    let rested = Instant::now() + Duration::from_millis(1100);
    tokio::time::sleep_until(rested.into()).await; // time itself is tested: the age of a connection
    assert_eq!(count().await, 2);
    assert_eq!(opened().await, before);
}

/// A command as one types it.
fn words(line: &str) -> shared_db::redis::Cmd {
    let mut words = line.split(' ');
    let mut command = cmd(words.next().unwrap_or_default());
    for word in words {
        command.arg(word);
    }
    command
}

#[tokio::test]
async fn a_close_waits_and_then_cuts_and_says_so() {
    let database = database().await;
    let redis = connected(database.url(), |_| ()).await;
    redis.ping().await.unwrap();
    let waiting = tokio::spawn({
        let redis = redis.clone();
        async move {
            let mut connection = redis.get().await?;
            connection
                .wait::<Option<(String, String)>>(cmd("BLPOP").arg("jobs").arg(60), Duration::from_secs(60))
                .await
        }
    });
    crate::support::eventually(Duration::from_secs(5), async || blocked(&redis).await == 1).await;
    let closed = redis.close(Duration::from_millis(100)).await;
    assert_eq!((closed.cancelled, closed.terminated), (1, 0));
    let cut = waiting.await.unwrap().unwrap_err();
    assert!(
        matches!(cut, Error::Unanswered { .. }) && cut.to_string().contains("the pool was closed"),
        "{cut}"
    );
    assert!(matches!(redis.ping().await, Err(Error::Closed)));
    assert!(matches!(redis.get().await, Err(Error::Closed)));

    let redis = connected(database.url(), |_| ()).await;
    assert_eq!(redis.close(Duration::from_secs(5)).await, Closed::default());
}

/// How many clients of this database wait for an element.
pub(super) async fn blocked(redis: &Redis) -> usize {
    crate::storm_redis::blocked(redis).await.len()
}
