//! Users of Redis with the rights that the page of sinks lists, and no others.

use std::sync::Arc;

use shared_core::Secret;
use shared_db::redis::{Config as RedisConfig, Redis, Value, cmd};
use shared_devkit::{Redis as Server, RedisCluster, RedisSentinels};
use shared_events::intake::RedisGroup;
use shared_events::sink::RedisStreams;
use shared_events::{Config, Intake, Relay};

use crate::sinks::{arrived, here_and_there, publish};
use crate::support::{World, quick, seeing, until};

const PAGE: &str = include_str!("../../../../docs/events/sinks.md");

/// The page's line that makes this user, and these rights besides, which it names as well.
fn documented(user: &str, besides: &[&str]) -> Vec<String> {
    let line = PAGE.lines().find(|line| line.starts_with(&format!("ACL SETUSER {user} "))).unwrap();
    let besides = besides.iter().inspect(|right| assert!(PAGE.contains(&format!("`{right}`")), "{right}"));
    line.split(' ').chain(besides.copied()).map(str::to_owned).collect()
}

async fn connected(url: &str) -> Redis {
    Redis::connect(&RedisConfig::new(url)).await.unwrap()
}

/// Makes the user at this server. Returns the URL for him.
async fn made(user: &str, besides: &[&str], url: &str) -> String {
    let words = documented(user, besides);
    let _: String = connected(url).await.command(cmd(&words[0]).arg(&words[1..])).await.unwrap();
    let (_, place) = url.rsplit_once("://").unwrap();
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    format!("redis://{user}:password@{place}")
}

/// Brings the log of this world to the streams.
async fn bring(world: &World, redis: &Redis) -> Relay {
    let config = Config { subscription: "to redis".to_owned(), ..quick() };
    Relay::to(world.db.clone(), Arc::new(RedisStreams::new(redis)), config).await.unwrap()
}

/// By one user, and read by another.
async fn events_arrive(relay: &Redis, reader: &Redis) {
    let (here, there) = here_and_there().await;
    let relay = bring(&here, relay).await;
    let streams = RedisStreams::new(reader);
    let intake = Intake::start(there.db.clone(), (), seeing(), streams, quick()).await.unwrap();
    publish(&here, 3).await;
    arrived(&there, 3).await;
    relay.stop().await;
    intake.stop().await;
}

#[tokio::test]
async fn a_relay_and_an_intake_need_no_more_rights_than_the_page_lists() {
    let server = Server::exclusive().await.unwrap();
    let relay = connected(&made("relay", &[], server.url()).await).await;
    let reader = connected(&made("reader", &[], server.url()).await).await;
    events_arrive(&relay, &reader).await;
}

#[tokio::test]
async fn behind_sentinels_they_need_what_the_page_adds() {
    let servers = RedisSentinels::exclusive().await.unwrap();
    let mut users = Vec::new();
    for user in ["relay", "reader"] {
        let master = &servers.urls()[servers.master().await.unwrap()];
        let config = RedisConfig {
            sentinels: servers.sentinel_urls().iter().map(|url| Secret::new(url.clone())).collect(),
            master: servers.master_name().to_owned(),
            ..RedisConfig::new(made(user, &["+role"], master).await)
        };
        users.push(Redis::connect(&config).await.unwrap());
    }
    events_arrive(&users[0], &users[1]).await;
}

#[tokio::test]
async fn in_a_cluster_they_need_what_the_page_adds() {
    let cluster = RedisCluster::exclusive().await.unwrap();
    let mut users = Vec::new();
    for user in ["relay", "reader"] {
        let mut urls = Vec::new();
        for node in cluster.urls() {
            urls.push(Secret::new(made(user, &["+ping", "+cluster|slots"], node).await));
        }
        let config = RedisConfig { urls, cluster: true, ..RedisConfig::new("redis://any") };
        users.push(Redis::connect(&config).await.unwrap());
    }
    events_arrive(&users[0], &users[1]).await;
}

#[tokio::test]
async fn a_group_needs_no_more_rights_than_the_page_lists() {
    let server = Server::exclusive().await.unwrap();
    let (operator, (here, there)) = (connected(server.url()).await, here_and_there().await);
    let relay = bring(&here, &operator).await;
    // Of one key alone: others may share its lane.
    for _ in 0..3 {
        here.raise("a").await;
    }
    // From the lane to a stream of somebody else.
    let lane = RedisStreams::new(&operator).key(here.lane("a").await);
    let entries = async || -> Vec<(String, Vec<Vec<u8>>)> {
        operator.command(cmd("XRANGE").arg(&lane).arg("-").arg("+")).await.unwrap()
    };
    until(async || entries().await.len() >= 3).await;
    relay.stop().await;
    for (_, words) in entries().await {
        let _: String = operator.command(cmd("XADD").arg("orders").arg("*").arg(words)).await.unwrap();
    }
    let redis = connected(&made("grouped", &[], server.url()).await).await;
    let group = RedisGroup::open(&redis, "orders", "seers").await.unwrap();
    let intake = Intake::grouped(there.db.clone(), (), seeing(), group, quick()).await.unwrap();
    until(async || there.seen("see", "a").await.len() == 3).await;
    let is_acknowledged = async || {
        let pending: Vec<Value> = operator.command(cmd("XPENDING").arg("orders").arg("seers")).await.unwrap();
        pending.first() == Some(&Value::Int(0))
    };
    until(is_acknowledged).await;
    intake.stop().await;
}
