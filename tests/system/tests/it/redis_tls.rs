//! A cluster and a master with sentinels that speak nothing but TLS, to clients and among themselves.

use std::time::Duration;

use shared_core::Secret;
use shared_db::Error;
use shared_db::redis::{Config, Redis, Script, cmd};
use shared_devkit::Authority;
use system_tests::{REDIS_CLI, REDIS_SERVER};

use crate::process::{Place, Server, free_port, run};

static ADD: Script = Script::new("add", "return redis.call('INCRBY', KEYS[1], ARGV[1])");

/// Starts a server with these settings behind those of all, and returns its port.
async fn start(authority: &Authority, settings: &str) -> (Server, u16) {
    let (place, port) = (Place::new(), free_port());
    let certificate = authority.server().expect("a certificate");
    // Nodes of a cluster show one another that of a client.
    let client = authority.client("redis").expect("a certificate");
    let [pem, key, client_pem, client_key, root] = [
        ("certificate.pem", certificate.certificate_pem()),
        ("key.pem", certificate.key_pem()),
        ("client.pem", client.certificate_pem()),
        ("client.key.pem", client.key_pem()),
        ("root.pem", authority.root_pem()),
    ]
    .map(|(name, text)| place.write(name, text).display().to_string());
    let usual = format!(
        "bind 127.0.0.1\nport 0\ntls-port {port}\ntls-cert-file {pem}\ntls-key-file {key}\n\
         tls-client-cert-file {client_pem}\ntls-client-key-file {client_key}\ntls-ca-cert-file {root}\n\
         tls-auth-clients no\ntls-replication yes\nsave \"\"\n"
    );
    let file = place.write("redis.conf", usual + settings);
    let mut command = place.command(&REDIS_SERVER);
    command.arg(file);
    if settings.contains("sentinel ") {
        command.arg("--sentinel");
    }
    let mut server = Server::start(command, place);
    let answers = async || cli(authority, port, &["ping"]).await.contains("PONG").then_some(());
    server.until("Redis answers over TLS", answers).await;
    (server, port)
}

/// What redis-cli says, over TLS.
async fn cli(authority: &Authority, port: u16, arguments: &[&str]) -> String {
    let mut command = Place::new().command(&REDIS_CLI);
    command.current_dir("/").args(["--tls", "--cacert"]).arg(authority.root_file());
    run(command.args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(arguments)).await.1
}

fn url(port: u16) -> String {
    format!("rediss://127.0.0.1:{port}")
}

async fn is_refused(mut config: Config) {
    config.ca_certificate = Some(Authority::new().expect("an authority").root_pem().to_owned());
    config.connect_timeout = Duration::from_secs(2);
    let refused = Redis::connect(&config).await.expect_err("certificates of another authority");
    assert!(matches!(refused, Error::Connect { .. }), "{refused:?}");
}

#[tokio::test]
async fn every_node_of_a_cluster_is_spoken_to_over_tls() {
    let authority = Authority::new().expect("an authority");
    let mut nodes = Vec::new();
    for _ in 0..3 {
        // The port of the bus is else the other one plus 10,000, which need not be one.
        let bus = free_port();
        let settings = format!("cluster-enabled yes\ntls-cluster yes\ncluster-port {bus}\n");
        let (server, port) = start(&authority, &settings).await;
        nodes.push((server, port, bus));
    }
    let first = nodes[0].1;
    for ((_, port, bus), slots) in nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
        let (from, to) = slots.split_once(' ').expect("two numbers");
        cli(&authority, *port, &["cluster", "addslotsrange", from, to]).await;
        cli(&authority, first, &["cluster", "meet", "127.0.0.1", &port.to_string(), &bus.to_string()]).await;
    }
    for (server, port, _) in &mut nodes {
        let is_whole = async || {
            let said = cli(&authority, *port, &["cluster", "info"]).await;
            (said.contains("cluster_state:ok") && said.contains("cluster_known_nodes:3")).then_some(())
        };
        server.until("the cluster is whole", is_whole).await;
    }

    let mut config = Config::new("");
    config.urls = nodes.iter().map(|(_, port, _)| Secret::new(url(*port))).collect();
    config.cluster = true;
    config.ca_certificate = Some(authority.root_pem().to_owned());
    let redis = Redis::connect(&config).await.expect("a connection");
    for number in 0..100_i64 {
        let key = format!("key {number}");
        redis.command::<()>(cmd("SET").arg(&key).arg(number)).await.expect("a write");
        assert_eq!(redis.script::<i64>(&ADD.keys([&key]).arg(1)).await.expect("a sum"), number + 1);
    }
    // Each of them has its share, and none of them another port to come in by.
    for (_, port, _) in &nodes {
        let keys = cli(&authority, *port, &["dbsize"]).await;
        assert!(keys.trim().parse::<u32>().is_ok_and(|keys| (10..60).contains(&keys)), "{keys}");
    }
    is_refused(config).await;
}

#[tokio::test]
async fn a_failover_is_followed_by_sentinels_that_are_asked_over_tls() {
    let authority = Authority::new().expect("an authority");
    let (master, first) = start(&authority, "").await;
    let (_replica, second) = start(&authority, &format!("replicaof 127.0.0.1 {first}\n")).await;
    let watch = format!(
        "sentinel monitor mymaster 127.0.0.1 {first} 1\nsentinel down-after-milliseconds mymaster 1000\n"
    );
    let (mut sentinel, port) = start(&authority, &watch).await;
    let knows = async |what: &str, want: &str| {
        let said = cli(&authority, port, &["sentinel", what, "mymaster"]).await;
        said.contains(want).then_some(())
    };
    sentinel.until("the sentinel sees the replica", async || knows("replicas", "\nok").await).await;

    let mut config = Config::new("rediss://not.looked.at.test");
    config.sentinels = vec![Secret::new(url(port))];
    config.ca_certificate = Some(authority.root_pem().to_owned());
    config.command_timeout = Duration::from_secs(1);
    let redis = Redis::connect(&config).await.expect("a connection");
    redis.command::<()>(cmd("SET").arg("key").arg("kept")).await.expect("a write");
    let mut connection = redis.get().await.expect("a connection");
    let acknowledged = cmd("WAIT").arg(1).arg(10_000).to_owned();
    let replicas = connection.wait::<i64>(&acknowledged, Duration::from_secs(10)).await.expect("an answer");
    assert_eq!(replicas, 1, "it is there, so that it survives");
    drop(connection);

    drop(master);
    let is_master = async || {
        let port = second.to_string();
        knows("get-master-addr-by-name", &port).await
    };
    sentinel.until("the replica has taken over", is_master).await;
    let read = async || redis.command::<String>(cmd("GET").arg("key")).await.ok();
    let kept = sentinel.until("the client has followed", read).await;
    assert_eq!(kept, "kept");
    redis.command::<()>(cmd("SET").arg("key").arg("new")).await.expect("a write at the new master");
    is_refused(config).await;
}
