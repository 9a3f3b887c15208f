//! From one database's log through a broker to consumers over another one, with everything on the way broken once.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use shared_core::InTenant as _;
use shared_db::redis::{Config as RedisConfig, Redis, cmd};
use shared_devkit::child::{self, Child, Kill, Matrix, Outcome};
use shared_devkit::{Proxy, Redis as Server, RedisOptions};
use shared_events::sink::{Accepted, Capabilities, PostgresLog, RedisStreams, Refusal, Sink};
use shared_events::{Config, Envelope, Intake, Lane, Place, Relay};

use crate::support::{World, connect, quick, seeing, until};

const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

async fn streams(url: &str) -> RedisStreams {
    RedisStreams::new(&Redis::connect(&RedisConfig::new(url)).await.unwrap())
}

/// What is lost comes again, however long ago it was sent.
fn to_redis() -> Config {
    Config { subscription: "to redis".to_owned(), rewind: Duration::from_secs(60), ..quick() }
}

/// Brings the log of this world to the streams.
async fn bring(world: &World, streams: &RedisStreams) -> Relay {
    Relay::to(world.db.clone(), Arc::new(streams.clone()), to_redis()).await.unwrap()
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
    let (relay, intake) = (bring(&here, &streams).await, consume(&there, &streams).await);
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

/// The steps from the log to the broker, which has lost what it had and refuses a key at first, and from there to an effect.
const POINTS: [&str; 9] = [
    "events.relay.asked",
    "events.relay.cut",
    "events.relay.read",
    "events.relay.parked",
    "events.relay.sent",
    "events.relay.redriven",
    "events.relay.advanced",
    "events.relay.consumed",
    "events.relay.committed",
];

/// Around the COMMIT of an effect. The first ones are of subscriptions, ticks and what is parked.
const COMMITS: [&str; 2] = ["db.commit.sending", "db.commit.answered"];

const TIMES: usize = 5;

/// Relay and intake in one process, which is killed with -9 wherever that comes. This test is its own victim.
#[tokio::test]
async fn each_event_arrives_once_and_in_order_wherever_a_kill_comes() {
    if child::enter().unwrap().is_some() {
        return be_killed().await;
    }
    let kills = Matrix::new(POINTS).moments(4, Duration::ZERO..Duration::from_millis(200), 11);
    kills.run(one_is_killed_and_another_goes_on).await.unwrap();

    let kills = Matrix::new(COMMITS.map(|point| Kill::at(point, 16)));
    let report = kills.run(one_is_killed_and_another_goes_on).await.unwrap();
    assert_eq!(report.total("midway"), COMMITS.len(), "some effects were there, and not all");
}

/// What the victim does.
async fn be_killed() {
    let of = async |name: &str| connect(&env::var(name).unwrap(), 10).await;
    let streams = streams(&env::var(REDIS).unwrap()).await;
    let fussy = Fussy(streams.clone(), AtomicBool::new(false));
    let relay = Relay::to(of(HERE).await, Arc::new(fussy), to_redis()).await.unwrap();
    let one_by_one = Config { batch: 1, ..quick() };
    let _intake = Intake::start(of(THERE).await, (), seeing(), streams, one_by_one).await.unwrap();
    // As an operator does it.
    until(async || relay.redrive("redis").await.unwrap() > 0).await;
    std::future::pending().await
}

/// Refuses an event of the first key, once.
struct Fussy(RedisStreams, AtomicBool);

#[async_trait]
impl Sink for Fussy {
    fn name(&self) -> &str {
        Sink::name(&self.0)
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn last(&self, lane: Lane) -> Result<Option<Place>, Refusal> {
        self.0.last(lane).await
    }

    async fn send(&self, lane: Lane, after: Option<Place>, events: &[Envelope]) -> Accepted {
        match events.iter().position(|event| event.key == KEYS[0]) {
            Some(0) if !self.1.swap(true, Ordering::Relaxed) => {
                Accepted::until(0, Refusal::Never("not at once".to_owned()))
            }
            // The rest comes again, with that event in front.
            Some(before) if !self.1.load(Ordering::Relaxed) => {
                self.0.send(lane, after, &events[..before]).await
            }
            _ => self.0.send(lane, after, events).await,
        }
    }
}

async fn one_is_killed_and_another_goes_on(kill: Kill) -> Outcome {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let redis = Redis::connect(&RedisConfig::new(database.url())).await.unwrap();
    let (streams, (here, there)) = (streams(database.url()).await, here_and_there().await);
    publish(&here, 2).await;
    let relay = bring(&here, &streams).await;
    here.settled().await;
    relay.stop().await;
    let _: String = redis.command(&cmd("FLUSHDB")).await.unwrap();
    publish(&here, 2).await;

    let victim = Child::test_function("sinks::each_event_arrives_once_and_in_order_wherever_a_kill_comes");
    let victim = victim.env(HERE, here.database.url()).env(THERE, there.database.url());
    let mut victim = victim.env(REDIS, database.url()).kill(kill).start().unwrap();
    victim.killed().await.unwrap();
    let before = effects(&there).await;

    publish(&here, 1).await;
    let (relay, intake) = (bring(&here, &streams).await, consume(&there, &streams).await);
    until(async || {
        relay.redrive("redis").await.unwrap();
        effects(&there).await >= TIMES * KEYS.len()
    })
    .await;
    arrived(&there, TIMES).await;
    relay.stop().await;
    intake.stop().await;
    Outcome::new()
        .count("before", before)
        .count("midway", usize::from((1..4 * KEYS.len()).contains(&before)))
        .wrong("lost or doubled at the broker", entries(&redis, &streams).await.abs_diff(TIMES * KEYS.len()))
}

/// How many effects are there.
async fn effects(there: &World) -> usize {
    let mut effects = 0;
    for key in KEYS {
        effects += there.seen("see", key).await.len();
    }
    effects
}
