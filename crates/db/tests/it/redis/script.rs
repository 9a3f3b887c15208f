//! Scripts: known by their hash, and sent again when the server does not know them.

use std::time::Duration;

use futures_util::future::join_all;
use shared_db::redis::{Redis, Script, cmd};
use shared_devkit::Proxy;

use super::connected;

static COUNT: Script = Script::new("count", "return redis.call('INCRBY', KEYS[1], ARGV[1])");
static ECHO: Script = Script::new("echo", "return ARGV[1]");
static FAIL: Script = Script::new("fail", "return redis.error_reply('LEASELOST of ' .. ARGV[1])");
static BROKEN: Script = Script::new("broken", "return redis.call('INCR', KEYS[1], ARGV[1])");

/// How often the server has carried out each way of calling a script.
async fn calls(redis: &Redis) -> (u64, u64) {
    let said: String = redis.command(cmd("INFO").arg("commandstats")).await.unwrap();
    let count = |command: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    };
    (count("evalsha"), count("eval"))
}

#[tokio::test]
async fn the_text_is_sent_once_and_after_a_flush_or_a_restart_again() {
    let mut server = shared_devkit::Redis::exclusive().await.unwrap();
    let redis = connected(server.url(), |_| ()).await;
    let mut expected = 0;
    let mut called = async |redis: &Redis| {
        expected += 2;
        let count: i64 = redis.script(&COUNT.keys(["n"]).arg(2)).await.unwrap();
        assert_eq!(count, expected);
    };
    called(&redis).await;
    called(&redis).await;
    assert_eq!(calls(&redis).await.1, 1);
    let () = redis.command(cmd("SCRIPT").arg("FLUSH")).await.unwrap();
    called(&redis).await;
    called(&redis).await;
    assert_eq!(calls(&redis).await.1, 2);

    server.kill().await.unwrap();
    server.start().await.unwrap();
    super::recovered::<i64>(&redis, "n").await;
    called(&redis).await;
    called(&redis).await;
    assert_eq!(calls(&redis).await.1, 1, "the counts of a new process");

    let () = redis.command(cmd("SCRIPT").arg("FLUSH")).await.unwrap();
    let mut connection = redis.get().await.unwrap();
    let count: i64 = connection.script(&COUNT.keys(["n"]).arg(2)).await.unwrap();
    assert_eq!(count, expected + 2);
}

#[tokio::test]
async fn in_a_pipeline_each_call_is_carried_out_once() {
    let server = shared_devkit::Redis::exclusive().await.unwrap();
    let proxy = Proxy::to(server.url()).await.unwrap();
    let redis = connected(&proxy.url(server.url()), |_| ()).await;
    proxy.to_client().delay(Duration::from_millis(40));
    for expected in [2, 1] {
        let trips = proxy.round_trips(async {
            let calls = (0..40).map(|number| {
                let redis = redis.clone();
                async move {
                    let echoed: String = redis.script(&ECHO.keys([""; 0]).arg(number)).await.unwrap();
                    assert_eq!(echoed, number.to_string());
                    redis.script::<i64>(&COUNT.keys(["n"]).arg(1)).await.unwrap()
                }
            });
            join_all(calls).await;
        });
        // One for each of the two scripts in a row, and as many again where the server knows neither.
        assert_eq!(trips.await, 2 * expected);
    }
    assert_eq!(redis.command::<i64>(cmd("GET").arg("n")).await.unwrap(), 80);
}

#[tokio::test]
async fn what_a_script_says_is_known_by_its_first_word() {
    let database = super::database().await;
    let redis = connected(database.url(), |_| ()).await;
    let lost = redis.script::<()>(&FAIL.keys(["n"]).arg("hunter2")).await.unwrap_err();
    assert_eq!(lost.code(), Some("LEASELOST"));
    assert_eq!(lost.to_string(), "command `fail` failed: the server refused it (LEASELOST)");
    let broken = redis.script::<()>(&BROKEN.keys(["n"]).arg("hunter2")).await.unwrap_err();
    assert!(!format!("{broken:?}").contains("hunter2"), "{broken:?}");
}
