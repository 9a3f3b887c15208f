use std::time::Duration;

use shared_db::redis::{Config, Redis, cmd};
use shared_devkit::{Proxy, Redis as Server, RedisCluster, RedisOptions, RedisSentinels, TestRedis};

use super::*;
use crate::intake::Source;
use crate::sink::RedisStreams;

async fn sink(database: &TestRedis) -> RedisStreams {
    connected(database.url()).await
}

async fn connected(url: &str) -> RedisStreams {
    RedisStreams::new(&Redis::connect(&Config::new(url)).await.unwrap())
}

async fn read(sink: &RedisStreams) -> Vec<Envelope> {
    let read = sink.read(LANE, None, 10_000).await.unwrap();
    read.taken.into_iter().map(|taken| taken.event.unwrap()).collect()
}

#[tokio::test]
async fn redis_keeps_what_sinks_promise() {
    let server = Server::shared().await.unwrap();
    let open = async || {
        let database = server.database().await.unwrap();
        (sink(&database).await, database)
    };
    keeps_what_sinks_promise(open, async |sink: &RedisStreams, _| read(sink).await).await;
}

#[tokio::test]
async fn redis_6_2_is_enough() {
    let server = Server::exclusive_with(RedisOptions::bundled()).await.unwrap();
    assert!(server.version().starts_with("6.2"));
    let sink = connected(server.url()).await;
    what_is_sent_again_is_known(&sink, async || read(&sink).await).await;
}

/// Each lane's stream lies where its key says.
#[tokio::test]
async fn a_cluster_spreads_the_lanes() {
    let cluster = RedisCluster::exclusive().await.unwrap();
    let config = Config {
        urls: cluster.urls().iter().map(|url| shared_core::Secret::new(url.clone())).collect(),
        cluster: true,
        ..Config::new("redis://any")
    };
    let sink = RedisStreams::new(&Redis::connect(&config).await.unwrap());
    let page = events(1, 1..=3);
    for lane in Lane::all() {
        all(&sink.send(lane, None, &page).await, 3);
        assert_eq!(sink.last(lane).await.unwrap(), Some(Place::new(1, 3)));
    }
    let mut nodes = std::collections::BTreeSet::new();
    for lane in Lane::all() {
        let slot: u16 = sink.redis.command(cmd("CLUSTER").arg("KEYSLOT").arg(sink.key(lane))).await.unwrap();
        nodes.insert(cluster.owner(slot).await.unwrap());
    }
    assert_eq!(nodes.len(), 3);
    // A slot that moves on is found again.
    let slot: u16 = sink.redis.command(cmd("CLUSTER").arg("KEYSLOT").arg(sink.key(LANE))).await.unwrap();
    let owner = cluster.owner(slot).await.unwrap();
    cluster.move_slot(slot, (owner + 1) % 3).await.unwrap();
    deliver(&sink, &events(2, 1..=3), 2).await;
    assert_eq!(sink.last(LANE).await.unwrap(), Some(Place::new(2, 3)));
}

#[tokio::test]
async fn a_server_that_keeps_nothing_is_killed_and_gets_everything_again() {
    let nothing = RedisOptions::new().setting("appendonly", "no");
    let mut server = Server::exclusive_with(nothing).await.unwrap();
    let sink = connected(server.url()).await;
    let page = events(1, 1..=30);
    all(&sink.send(LANE, None, &page[..20]).await, 20);
    server.kill().await.unwrap();
    server.start().await.unwrap();
    let after = Some(Place::new(1, 20));
    // The first call may meet the connection that is gone.
    let mut next = sink.send(LANE, after, &page[20..]).await;
    while let Some(Refusal::Later(_)) = next.refusal {
        next = sink.send(LANE, after, &page[20..]).await;
    }
    fenced(&next);
    assert_eq!(sink.last(LANE).await.unwrap(), None);
    deliver(&sink, &page, 10).await;
    assert_eq!(read(&sink).await, page);
}

#[tokio::test]
async fn a_failover_that_loses_the_last_events_shows() {
    let set = RedisSentinels::exclusive().await.unwrap();
    let secret = |url: &String| shared_core::Secret::new(url.clone());
    let config = Config {
        sentinels: set.sentinel_urls().iter().map(secret).collect(),
        master: set.master_name().to_owned(),
        ..Config::new(set.urls()[0].clone())
    };
    let redis = Redis::connect(&config).await.unwrap();
    let sink = RedisStreams::new(&redis);
    let page = events(1, 1..=20);
    all(&sink.send(LANE, None, &page[..10]).await, 10);
    let copied: u32 = redis
        .get()
        .await
        .unwrap()
        .wait(cmd("WAIT").arg(1).arg(10_000), Duration::from_secs(10))
        .await
        .unwrap();
    assert_eq!(copied, 1);
    // The replica hears of no more, and then takes over.
    set.pause(1).await.unwrap();
    all(&sink.send(LANE, Some(Place::new(1, 10)), &page[10..15]).await, 5);
    set.kill(0).await.unwrap();
    set.resume(1).await.unwrap();
    let refused = loop {
        match sink.send(LANE, Some(Place::new(1, 15)), &page[15..]).await {
            Accepted { refusal: Some(Refusal::Later(_)), .. } => {}
            accepted => break accepted,
        }
    };
    // What was under way to the replica may have come after all.
    if refused.refusal.is_some() {
        fenced(&refused);
        deliver(&sink, &page, 10).await;
    }
    assert_eq!(read(&sink).await, page);
}

#[tokio::test]
async fn lines_that_break_in_the_middle_of_a_page_lose_and_double_nothing() {
    let server = Server::shared().await.unwrap();
    let database = server.database().await.unwrap();
    let proxy = Proxy::to(database.url()).await.unwrap();
    let sink = connected(&proxy.url(database.url())).await;
    let page = events(1, 1..=600);
    let deliver = deliver(&sink, &page, 100);
    let break_it = async {
        for round in 0..8 {
            match round % 2 {
                0 => proxy.to_server().cut_after(20_000),
                _ => proxy.to_client().cut_after(0),
            }
            let cut = proxy.counters().cut;
            proxy.until(|counters| counters.cut > cut).await.unwrap();
            proxy.heal();
        }
    };
    let break_it = async {
        let _ = tokio::time::timeout(Duration::from_secs(30), break_it).await;
        proxy.heal();
    };
    futures_util::future::join(deliver, break_it).await;
    assert!(proxy.counters().cut > 0);
    assert_eq!(places(&read(&sink).await), places(&page));
}

#[tokio::test]
async fn streams_keep_so_many_entries_and_the_last_place_stays_when_all_are_gone() {
    let server = Server::shared().await.unwrap();
    let database = server.database().await.unwrap();
    let sink = sink(&database).await.prefix("short").unwrap().keep(100);
    all(&sink.send(LANE, None, &events(1, 1..=1000)).await, 1000);
    let left: usize = sink.redis.command(cmd("XLEN").arg("{short:3}")).await.unwrap();
    assert!((100..=300).contains(&left), "{left}");
    let _: usize = sink.redis.command(cmd("XTRIM").arg(sink.key(LANE)).arg("MAXLEN").arg(0)).await.unwrap();
    assert_eq!(sink.last(LANE).await.unwrap(), Some(Place::new(1, 1000)));
    all(&sink.send(LANE, Some(Place::new(1, 1000)), &events(1, 900..=1001)).await, 102);
    assert_eq!(places(&read(&sink).await), [Place::new(1, 1001)]);
    assert!(sink.clone().prefix("a{b").is_err());
}

#[tokio::test]
async fn a_server_without_memory_is_asked_again_later() {
    let small = RedisOptions::new().setting("maxmemory", "3mb").setting("maxmemory-policy", "noeviction");
    let server = Server::exclusive_with(small).await.unwrap();
    let sink = connected(server.url()).await;
    let mut page = events(1, 1..=100);
    for event in &mut page {
        event.payload = format!("\"{}\"", "x".repeat(100_000));
    }
    let accepted = sink.send(LANE, None, &page).await;
    assert!(matches!(&accepted.refusal, Some(Refusal::Later(said)) if said.contains("OOM")), "{accepted:?}");
    assert!(accepted.count > 0 && accepted.count < 100);
    let last = sink.last(LANE).await.unwrap();
    assert_eq!(last, Some(page[accepted.count - 1].place));
}
