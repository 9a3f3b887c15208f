//! From one database's log through a broker to consumers over another one, with everything on the way broken once.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use shared_core::InTenant as _;
use shared_db::redis::{Config as RedisConfig, Redis, cmd};
use shared_devkit::child::{self, Child, Kill, Matrix, Outcome};
use shared_devkit::{Proxy, Redis as Server, RedisOptions};
use shared_events::sink::{PostgresLog, RedisStreams};
use shared_events::{Config, Intake, Lane, Relay};

use crate::support::{World, connect, quick, seeing, until};

const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

async fn streams(url: &str) -> RedisStreams {
    RedisStreams::new(&Redis::connect(&RedisConfig::new(url)).await.unwrap())
}

/// Brings the log of this world to the streams.
async fn bring(world: &World, streams: &RedisStreams) -> Relay {
    let config = Config { subscription: "to redis".to_owned(), ..quick() };
    Relay::to(world.db.clone(), Arc::new(streams.clone()), config).await.unwrap()
}

/// Consumes what the streams have, over the database of that world.
async fn consume(world: &World, streams: &RedisStreams) -> Intake {
    Intake::start(world.db.clone(), (), seeing(), streams.clone(), quick()).await.unwrap()
}

/// Two worlds with one tenant in both.
pub(crate) async fn here_and_there() -> (World, World) {
    let here = World::new().await;
    let mut there = World::new().await;
    there.tenant = shared_core::AssumedTenant::new(here.tenant.context().tenant(), "the same tenant");
    (here, there)
}

pub(crate) async fn publish(world: &World, times: usize) {
    for _ in 0..times {
        for key in KEYS {
            world.raise(key).await;
        }
    }
}

/// Waits until each key was raised so often over there, and finds them in order and once.
pub(crate) async fn arrived(there: &World, times: usize) {
    for key in KEYS {
        until(async || there.seen("see", key).await.len() >= times).await;
        assert_eq!(there.seen("see", key).await, Vec::from_iter(1..=times as i64), "{key}");
    }
}

/// The events in all streams.
async fn entries(redis: &Redis, streams: &RedisStreams) -> usize {
    let mut entries = 0;
    for lane in Lane::all() {
        entries += redis.command::<usize>(cmd("XLEN").arg(streams.key(lane))).await.unwrap();
    }
    entries
}

#[tokio::test]
async fn what_is_published_here_has_its_effect_there_once_and_in_order() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let (streams, (here, there)) = (streams(database.url()).await, here_and_there().await);
    publish(&here, 3).await;
    let (relay, intake) = (bring(&here, &streams).await, consume(&there, &streams).await);
    publish(&here, 3).await;
    arrived(&there, 6).await;
    relay.stop().await;
    intake.stop().await;
    let redis = Redis::connect(&RedisConfig::new(database.url())).await.unwrap();
    assert_eq!(entries(&redis, &streams).await, 6 * KEYS.len());
}

#[tokio::test]
async fn a_redis_that_lost_everything_gets_it_again_and_nothing_happens_twice() {
    let mut server = Server::exclusive_with(RedisOptions::new().setting("appendonly", "no")).await.unwrap();
    let (streams, (here, there)) = (streams(server.url()).await, here_and_there().await);
    // As far back as it has to come again.
    let config = Config { subscription: "to redis".to_owned(), rewind: Duration::from_secs(60), ..quick() };
    let relay = Relay::to(here.db.clone(), Arc::new(streams.clone()), config).await.unwrap();
    let intake = consume(&there, &streams).await;
    publish(&here, 3).await;
    arrived(&there, 3).await;
    server.kill().await.unwrap();
    server.start().await.unwrap();
    publish(&here, 3).await;
    arrived(&there, 6).await;
    let redis = Redis::connect(&RedisConfig::new(server.url())).await.unwrap();
    until(async || entries(&redis, &streams).await == 6 * KEYS.len()).await;
    relay.stop().await;
    intake.stop().await;
}

/// By somebody who writes to the streams as well, behind what is there.
#[tokio::test]
async fn entries_that_somebody_adds_again_have_their_effect_once_and_hold_nothing_up() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let (streams, (here, there)) = (streams(database.url()).await, here_and_there().await);
    let (relay, intake) = (bring(&here, &streams).await, consume(&there, &streams).await);
    publish(&here, 3).await;
    arrived(&there, 3).await;
    let redis = Redis::connect(&RedisConfig::new(database.url())).await.unwrap();
    for lane in Lane::all() {
        let key = streams.key(lane);
        let all = cmd("XRANGE").arg(&key).arg("-").arg("+").to_owned();
        let entries = redis.command::<Vec<(String, Vec<Vec<u8>>)>>(&all).await.unwrap();
        let Some((last, _)) = entries.last().cloned() else { continue };
        let (tick, _) = last.split_once('-').unwrap();
        for (_, words) in entries {
            let _: String =
                redis.command(cmd("XADD").arg(&key).arg(format!("{tick}-*")).arg(words)).await.unwrap();
        }
    }
    publish(&here, 3).await;
    arrived(&there, 6).await;
    relay.stop().await;
    intake.stop().await;
}

#[tokio::test]
async fn lines_that_break_all_the_time_lose_and_double_nothing() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let proxy = Proxy::to(database.url()).await.unwrap();
    let (streams, (here, there)) = (streams(&proxy.url(database.url())).await, here_and_there().await);
    let (relay, intake) = (bring(&here, &streams).await, consume(&there, &streams).await);
    for round in 0..10 {
        publish(&here, 1).await;
        let before = proxy.counters().cut;
        match round % 2 {
            0 => proxy.to_server().cut_after(3000),
            _ => proxy.to_client().cut_after(0),
        }
        proxy.until(|counters| counters.cut > before).await.unwrap();
        proxy.heal();
    }
    arrived(&there, 10).await;
    relay.stop().await;
    intake.stop().await;
    let redis = Redis::connect(&RedisConfig::new(database.url())).await.unwrap();
    assert_eq!(entries(&redis, &streams).await, 10 * KEYS.len());
}

#[tokio::test]
async fn a_relay_brings_events_into_another_log_whose_relay_delivers_them() {
    let (here, there) = here_and_there().await;
    let log = PostgresLog::new(&there.db, "here").unwrap();
    let config = Config { subscription: "to there".to_owned(), ..quick() };
    let bringing = Relay::to(here.db.clone(), Arc::new(log), config).await.unwrap();
    let delivering = there.relay(seeing()).await;
    publish(&here, 5).await;
    arrived(&there, 5).await;
    bringing.stop().await;
    delivering.stop().await;
}

/// Where the victims work.
const HERE: &str = "EVENTS_TEST_HERE";
const THERE: &str = "EVENTS_TEST_THERE";
const REDIS: &str = "EVENTS_TEST_REDIS";

const POINTS: [&str; 4] =
    ["events.relay.sent", "events.relay.consumed", "db.commit.sending", "db.commit.answered"];

/// Relay and intake in one process, which is killed with -9 wherever that comes. This test is its own victim.
#[tokio::test]
async fn each_event_arrives_once_and_in_order_wherever_a_kill_comes() {
    if child::enter().unwrap().is_some() {
        let of = async |name: &str| connect(&env::var(name).unwrap(), 10).await;
        let streams = streams(&env::var(REDIS).unwrap()).await;
        let config = Config { subscription: "to redis".to_owned(), ..quick() };
        let _relay = Relay::to(of(HERE).await, Arc::new(streams.clone()), config).await.unwrap();
        let _intake = Intake::start(of(THERE).await, (), seeing(), streams, quick()).await.unwrap();
        return std::future::pending().await;
    }
    let kills = Matrix::new(POINTS).moments(4, Duration::ZERO..Duration::from_millis(200), 11);
    kills.run(one_is_killed_and_another_goes_on).await.unwrap();
}

async fn one_is_killed_and_another_goes_on(kill: Kill) -> Outcome {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let (streams, (here, there)) = (streams(database.url()).await, here_and_there().await);
    publish(&here, 4).await;
    let victim = Child::test_function("sinks::each_event_arrives_once_and_in_order_wherever_a_kill_comes");
    let victim = victim.env(HERE, here.database.url()).env(THERE, there.database.url());
    let mut victim = victim.env(REDIS, database.url()).kill(kill).start().unwrap();
    victim.killed().await.unwrap();
    let (relay, intake) = (bring(&here, &streams).await, consume(&there, &streams).await);
    arrived(&there, 4).await;
    relay.stop().await;
    intake.stop().await;
    let redis = Redis::connect(&RedisConfig::new(database.url())).await.unwrap();
    let doubled = entries(&redis, &streams).await - 4 * KEYS.len();
    Outcome::new().count("events", 4 * KEYS.len()).wrong("doubled at the broker", doubled)
}
