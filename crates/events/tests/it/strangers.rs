//! Somebody else writes to what a relay brings events to.

use std::sync::Arc;

use shared_db::redis::{Config as RedisConfig, Redis, cmd};
use shared_devkit::Redis as Server;
use shared_events::sink::RedisStreams;
use shared_events::{Cause, Config, Intake, Lane, Place, Relay, Subscriptions};

use crate::memory::{InMemory, start};
use crate::sinks::{arrived, here_and_there, publish};
use crate::support::{World, quick, seeing, until};

/// An id that is later than those of all events to come.
const LATE: &str = "99999999999999-0";

#[tokio::test]
async fn an_entry_that_is_not_ours_is_explained_and_when_it_is_taken_out_nothing_is_missing() {
    let database = Server::shared().await.unwrap().database().await.unwrap();
    let redis = Redis::connect(&RedisConfig::new(database.url())).await.unwrap();
    let (streams, (here, there)) = (RedisStreams::new(&redis), here_and_there().await);
    let config = Config { subscription: "to redis".to_owned(), ..quick() };
    let relay = Relay::to(here.db.clone(), Arc::new(streams.clone()), config).await.unwrap();
    let intake = Intake::start(there.db.clone(), (), seeing(), streams.clone(), quick()).await.unwrap();
    publish(&here, 1).await;
    arrived(&there, 1).await;

    // By the clock: what is published from now on comes behind it, and goes on.
    for lane in Lane::all() {
        let _: Option<String> = redis
            .command(cmd("XADD").arg(streams.key(lane)).arg("NOMKSTREAM").arg("*").arg("hello").arg("world"))
            .await
            .unwrap();
    }
    publish(&here, 1).await;
    arrived(&there, 2).await;

    for lane in Lane::all() {
        let _: String = redis
            .command(cmd("XADD").arg(streams.key(lane)).arg(LATE).arg("hello").arg("world"))
            .await
            .unwrap();
    }
    publish(&here, 1).await;
    let subscription = Subscriptions::new(&here.db).subscription("to redis");
    let held_up = async || {
        let causes = subscription.explain().await.unwrap().causes;
        causes.into_iter().filter(|cause| matches!(cause, Cause::ForeignWriter { .. })).collect::<Vec<_>>()
    };
    until(async || !held_up().await.is_empty()).await;
    let said = held_up().await[0].to_string();
    assert!(said.contains(LATE) && said.contains("EVAL"), "{said}");

    // As it says.
    let (_, script) = said.split_once("EVAL \"").unwrap();
    let (script, _) = script.split_once('"').unwrap();
    for lane in Lane::all() {
        let stream = streams.key(lane);
        let last: Option<String> = redis.command(cmd("GET").arg(format!("{stream}:last"))).await.unwrap();
        let last = last.unwrap_or_else(|| "0-0".to_owned());
        let _: u64 = redis.command(cmd("EVAL").arg(script).arg(1).arg(stream).arg(last)).await.unwrap();
    }
    publish(&here, 1).await;
    arrived(&there, 4).await;
    until(async || held_up().await.is_empty()).await;
    relay.stop().await;
    intake.stop().await;
}

/// As where the log of another program is brought to the same place.
#[tokio::test]
async fn a_place_that_is_not_in_the_log_holds_its_lane_up_and_takes_no_event_with_it() {
    let world = World::new().await;
    let sink = InMemory::default();
    let relay = start(&world, &sink).await;
    world.raise("a").await;
    world.settled().await;
    let lane = world.lane("a").await;
    sink.push(lane, in_a_minute());
    world.raise("a").await;
    world.raise("a").await;
    let held_up = async || {
        let causes = Subscriptions::new(&world.db).subscription("memory").explain().await.unwrap().causes;
        causes.iter().any(|cause| matches!(cause, Cause::ForeignWriter { .. }))
    };
    until(held_up).await;
    assert_eq!(sink.got("a"), [1]);
    let newest = "select last_value < $1 from shared_events.tick_seq";
    let late = sink.place(lane).unwrap().tick;
    let is_earlier: bool = world.superuser().await.query_one(newest, &[&late]).await.unwrap().get(0);
    assert!(is_earlier, "ticks go on by the clock, and not behind what is somebody else's");
    sink.pop(lane);
    until(async || sink.got("a") == [1, 2, 3] && !held_up().await).await;
    assert!(sink.is_in_order());
    relay.stop().await;
}

/// As if the database refused beats alone.
const MUTE: &str = "
    create function public.mute() returns trigger language plpgsql as 'begin raise exception ''not now''; end';
    create trigger mute before insert or update on shared_events.relay for each row execute function public.mute()";

/// What it says of itself then is of afterwards.
const HEAR: &str = "drop trigger mute on shared_events.relay; update shared_events.relay set state = null";

#[tokio::test]
async fn a_lane_that_waits_for_a_stranger_still_waits_when_its_lease_has_run_out_meanwhile() {
    let world = World::new().await;
    let (sink, superuser) = (InMemory::default(), world.superuser().await);
    let relay = start(&world, &sink).await;
    world.raise("a").await;
    world.settled().await;
    let lane = world.lane("a").await;
    sink.push(lane, in_a_minute());
    world.raise("a").await;
    let held_up = async || {
        let causes = Subscriptions::new(&world.db).subscription("memory").explain().await.unwrap().causes;
        causes.iter().any(|cause| matches!(cause, Cause::ForeignWriter { .. }))
    };
    until(held_up).await;
    superuser.batch_execute(MUTE).await.unwrap();
    let run_out = "select max(expires) < clock_timestamp() from shared_events.cursor";
    until(async || superuser.query_one(run_out, &[]).await.unwrap().get(0)).await;
    superuser.batch_execute(HEAR).await.unwrap();
    until(held_up).await;
    assert_eq!(sink.got("a"), [1]);
    sink.pop(lane);
    until(async || sink.got("a") == [1, 2]).await;
    relay.stop().await;
}

/// The same before a relay starts, at a tick of the log: the position is of another lane.
#[tokio::test]
async fn what_waits_for_a_relay_is_sent_although_the_sink_seems_to_have_passed_it() {
    let world = World::new().await;
    let sink = InMemory::default();
    let relay = start(&world, &sink).await;
    world.raise("a").await;
    world.settled().await;
    relay.stop().await;
    // Another subscription has ticks made.
    let others = world.relay(seeing()).await;
    world.raise("a").await;
    until(async || world.seen("see", "a").await.len() == 2).await;
    let newest = "select max(tick) from shared_events.tick";
    let tick = world.superuser().await.query_one(newest, &[]).await.unwrap().get(0);
    let lane = world.lane("a").await;
    sink.push(lane, Place::new(tick, i64::MAX));
    let relay = start(&world, &sink).await;
    let subscription = Subscriptions::new(&world.db).subscription("memory");
    until(async || {
        let causes = subscription.explain().await.unwrap().causes;
        causes.iter().any(|cause| matches!(cause, Cause::ForeignWriter { .. }))
    })
    .await;
    sink.pop(lane);
    until(async || sink.got("a") == [1, 2]).await;
    relay.stop().await;
    others.stop().await;
}

/// A place that a log could come to.
fn in_a_minute() -> Place {
    Place::new(time::OffsetDateTime::now_utc().unix_timestamp() * 1000 + 60_000, 1)
}

/// No clock was ever there: the numbers of ticks would come to their end.
#[tokio::test]
async fn a_place_that_no_log_can_have_made_holds_its_lane_up_and_no_other() {
    let world = World::new().await;
    let sink = InMemory::default();
    let (forged, other) = world.keys_apart().await;
    let lane = world.lane(&forged).await;
    sink.push(lane, Place::new(i64::MAX - 1, 1));
    let relay = start(&world, &sink).await;
    for n in 1..=3 {
        world.raise(&other).await;
        world.raise(&forged).await;
        until(async || sink.got(&other).len() == n).await;
    }
    let subscription = Subscriptions::new(&world.db).subscription("memory");
    let is_told = async || {
        let causes = subscription.explain().await.unwrap().causes;
        causes.iter().any(|cause| matches!(cause, Cause::ForeignWriter { lane: of, .. } if *of == lane))
    };
    until(is_told).await;
    assert_eq!(sink.got(&forged), Vec::<i64>::new());
    sink.pop(lane);
    world.settled().await;
    assert_eq!(sink.got(&forged), [1, 2, 3]);
    until(async || !is_told().await).await;
    relay.stop().await;
}
