//! Redis Cluster: whole from the start, moved, killed, taken over.

use std::path::Path;

use redis::{Commands, Connection, cluster::ClusterClient};
use shared_devkit::{Error, RedisCluster, RedisOptions, Replicas};

use crate::{
    redis::connect,
    sandbox::{is_mentioned, wait_until},
};

/// `CLUSTER KEYSLOT task`.
const SLOT_OF_TASK: u16 = 9240;

async fn cluster(replicas: Replicas) -> RedisCluster {
    RedisCluster::exclusive_with(replicas, RedisOptions::bundled()).await.expect("a cluster")
}

/// What a node answers to one who asks it alone.
fn ask(cluster: &RedisCluster, node: usize, command: &[&str]) -> Result<String, String> {
    let answer =
        redis::cmd(command[0]).arg(&command[1..]).query::<Option<String>>(&mut node_of(cluster, node));
    answer.map(Option::unwrap_or_default).map_err(|error| format!("{error:?}"))
}

fn is_primary(cluster: &RedisCluster, node: usize) -> bool {
    ask(cluster, node, &["INFO", "replication"]).is_ok_and(|role| role.contains("role:master"))
}

fn node_of(cluster: &RedisCluster, node: usize) -> Connection {
    connect(&cluster.urls()[node])
}

fn port(cluster: &RedisCluster, node: usize) -> String {
    let url = &cluster.urls()[node];
    url.rsplit_once(':').expect("a port").1.trim_end_matches("/0").to_owned()
}

#[tokio::test]
async fn a_slot_and_its_keys_move_while_clients_use_them() {
    for cluster in [cluster(Replicas::None).await, RedisCluster::exclusive().await.expect("a cluster")] {
        let client = ClusterClient::new(cluster.urls().to_vec()).expect("URLs");
        let mut client = client.get_connection().expect("a cluster");
        let () = client.set("task", "kept").expect("a write");
        assert_eq!(cluster.owner(SLOT_OF_TASK).await.expect("an owner"), 1);
        let moved = ask(&cluster, 0, &["GET", "task"]).expect_err("another's");
        assert!(moved.contains("MOVED") || moved.contains("Moved"), "{moved}");

        cluster.begin_move(SLOT_OF_TASK, 2).await.expect("half a move");
        assert_eq!(ask(&cluster, 1, &["GET", "task"]).expect("still there"), "kept");
        let absent = ask(&cluster, 1, &["GET", "{task}2"]).expect_err("perhaps there");
        assert!(absent.to_lowercase().contains("ask") && absent.contains(&port(&cluster, 2)), "{absent}");
        let () = client.set("{task}2", "new").expect("a write on the way");

        cluster.finish_move(SLOT_OF_TASK, 2).await.expect("a move");
        assert_eq!(cluster.owner(SLOT_OF_TASK).await.expect("an owner"), 2);
        let moved = ask(&cluster, 1, &["GET", "task"]).expect_err("another's");
        assert!(moved.contains(&port(&cluster, 2)), "{moved}");
        assert_eq!(ask(&cluster, 2, &["GET", "task"]).expect("an answer"), "kept");
        assert_eq!(client.get::<_, String>("{task}2").expect("an answer"), "new");
        cluster.move_slot(SLOT_OF_TASK, 0).await.expect("a move");
        assert_eq!(client.get::<_, String>("task").expect("an answer"), "kept");
        assert!(matches!(cluster.move_slot(0, 3).await, Err(Error::NoNode { .. })));
    }
}

#[tokio::test]
async fn what_a_dead_primary_held_comes_back_with_it() {
    let mut cluster = cluster(Replicas::None).await;
    ask(&cluster, 1, &["SET", "task", "kept"]).expect("a write");
    cluster.kill(1).await.expect("a kill");
    wait_until("the others notice", || {
        ask(&cluster, 0, &["CLUSTER", "INFO"]).is_ok_and(|state| state.contains("cluster_state:fail"))
    });
    assert!(cluster.owner(SLOT_OF_TASK).await.is_err());
    cluster.start(1).await.expect("a start");
    cluster.ready().await.expect("a whole cluster");
    assert_eq!(ask(&cluster, 1, &["GET", "task"]).expect("an answer"), "kept");
}

#[tokio::test]
async fn a_replica_takes_over_and_nothing_is_left_behind() {
    let mut cluster = cluster(Replicas::OneEach).await;
    assert_eq!(cluster.urls().len(), 6);
    ask(&cluster, 1, &["SET", "task", "kept"]).expect("a write");
    assert_eq!(ask(&cluster, 1, &["WAIT", "1", "60000"]).expect("a replica"), "1");
    cluster.pause(1).await.expect("a pause");
    wait_until("the replica has taken over", || is_primary(&cluster, 4));
    assert_eq!(cluster.owner(SLOT_OF_TASK).await.expect("an owner"), 4);
    assert_eq!(ask(&cluster, 4, &["GET", "task"]).expect("an answer"), "kept");

    // The former primary is the replica now.
    cluster.resume(1).await.expect("it wakes");
    wait_until("it knows", || !is_primary(&cluster, 1));
    cluster.kill(0).await.expect("a kill");
    wait_until("the next one has taken over", || is_primary(&cluster, 3));
    cluster.start(0).await.expect("a start");
    wait_until("it knows", || !is_primary(&cluster, 0));
    cluster.ready().await.expect("a whole cluster");

    let said = format!("{cluster:?}");
    let directory = said.split('"').nth(1).expect("a directory").to_owned();
    drop(cluster);
    wait_until("the directory is gone", || !Path::new(&directory).exists());
    wait_until("its processes are gone", || !is_mentioned(Path::new(&directory)));
}

#[tokio::test]
async fn a_cluster_has_no_tls() {
    let options = RedisOptions::new().tls("-", "-");
    let error = RedisCluster::exclusive_with(Replicas::None, options).await.expect_err("no TLS");
    assert!(error.to_string().starts_with("no cluster of Redis with TLS to run"), "{error}");
}
