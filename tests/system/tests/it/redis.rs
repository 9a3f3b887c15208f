//! The installed Redis beside the bundled one: two versions at once, and the same code on both.

use shared_core::Secret;
use shared_db::redis::{Config, Redis as Client, Script, cmd};
use shared_devkit::{Redis, RedisCluster, RedisOptions, Replicas};

static ADD: Script = Script::new("add", "return redis.call('INCRBY', KEYS[1], ARGV[1])");

async fn client(server: &Redis) -> Client {
    Client::connect(&Config::new(server.url())).await.expect("a connection")
}

async fn add(client: &Client, number: i64) -> i64 {
    client.script(&ADD.keys(["sum"]).arg(number)).await.expect("a sum")
}

#[tokio::test]
async fn six_and_seven_run_side_by_side() {
    let six = Redis::exclusive_with(RedisOptions::bundled().version(6)).await.expect("the bundled one");
    let mut seven =
        Redis::exclusive_with(RedisOptions::installed().version(7)).await.expect("the installed one");
    assert!(six.version().starts_with("6.2"), "{}", six.version());
    assert!(seven.version().starts_with("7."), "{}", seven.version());
    let (on_six, on_seven) = (client(&six).await, client(&seven).await);
    assert_eq!((add(&on_six, 6).await, add(&on_seven, 7).await), (6, 7));

    // What is acknowledged survives a kill, and the other one takes no notice.
    seven.kill().await.expect("a kill");
    assert_eq!(add(&on_six, 6).await, 12);
    seven.start().await.expect("a start");
    assert_eq!(add(&client(&seven).await, 7).await, 14);
}

#[tokio::test]
async fn a_cluster_of_sevens_serves_every_slot() {
    let options = RedisOptions::installed().version(7);
    let cluster = RedisCluster::exclusive_with(Replicas::None, options).await.expect("a cluster");
    let urls = cluster.urls();
    let mut config = Config::new("");
    config.urls = urls.iter().map(Secret::new).collect();
    config.cluster = true;
    let client = Client::connect(&config).await.expect("a connection");
    for number in 0..100_i64 {
        let key = format!("key {number}");
        client.command::<()>(cmd("SET").arg(&key).arg(number)).await.expect("a write");
        assert_eq!(client.command::<i64>(cmd("GET").arg(&key)).await.expect("a read"), number);
    }
}
