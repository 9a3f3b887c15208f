//! A Redis that sentinels watch: whole from the start, paused, killed, taken over.

use std::path::Path;

use redis::{Client, Commands};
use shared_devkit::{Error, RedisSentinels};

use crate::{
    redis::connect,
    sandbox::{is_mentioned, wait_until},
};

/// Nothing where a sentinel has just told the server to change, which ends every connection.
fn replication(set: &RedisSentinels, server: usize) -> Option<String> {
    let mut connection = Client::open(set.urls()[server].as_str()).ok()?.get_connection().ok()?;
    redis::cmd("INFO").arg("replication").query(&mut connection).ok()
}

fn is(set: &RedisSentinels, server: usize, state: &str) -> bool {
    replication(set, server).is_some_and(|said| said.contains(state))
}

/// The port of the master, as each sentinel says.
fn named(set: &RedisSentinels) -> Vec<String> {
    let named = |url: &String| {
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("get-master-addr-by-name").arg(set.master_name());
        ask.query::<(String, String)>(&mut connect(url)).expect("a place").1
    };
    set.sentinel_urls().iter().map(named).collect()
}

fn port(url: &str) -> &str {
    url.rsplit_once(':').expect("a port").1.trim_end_matches("/0")
}

async fn wait_for_master(set: &RedisSentinels, server: usize) {
    wait_until("the other has taken over", || {
        named(set).iter().all(|named| named == port(&set.urls()[server]))
    });
    assert_eq!(set.master().await.expect("a master"), server);
}

#[tokio::test]
async fn the_replica_takes_over_and_nothing_is_left_behind() {
    let set = RedisSentinels::exclusive().await.expect("five nodes");
    assert_eq!((set.urls().len(), set.sentinel_urls().len()), (2, 3));
    assert_eq!(set.master().await.expect("a master"), 0);
    assert!(is(&set, 0, "role:master") && is(&set, 1, "role:slave"));
    let mut master = connect(&set.urls()[0]);
    let () = master.set("task", "kept").expect("a write");
    assert_eq!(redis::cmd("WAIT").arg(1).arg(60_000).query::<u32>(&mut master).expect("a replica"), 1);

    set.pause(0).await.expect("a pause");
    wait_for_master(&set, 1).await;
    assert_eq!(connect(&set.urls()[1]).get::<_, String>("task").expect("an answer"), "kept");
    set.resume(0).await.expect("it wakes");

    // The one that was first takes over again; a sentinel fewer is enough for that.
    wait_until("it follows", || is(&set, 0, "role:slave") && is(&set, 0, "master_link_status:up"));
    set.kill(2).await.expect("a kill");
    set.kill(1).await.expect("a kill");
    wait_until("the first has taken over", || is(&set, 0, "role:master"));
    assert!(matches!(set.kill(5).await, Err(Error::NoNode { .. })));

    let said = format!("{set:?}");
    let directory = said.split('"').nth(1).expect("a directory").to_owned();
    drop(set);
    wait_until("the directory is gone", || !Path::new(&directory).exists());
    wait_until("its processes are gone", || !is_mentioned(Path::new(&directory)));
}
