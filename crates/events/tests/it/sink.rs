//! Events to a sink that keeps what it gets in memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared_db::{TenantTx, statements};
use shared_events::sink::{Accepted, Capabilities, Dedup, Guarantee, Refusal, Sink};
use shared_events::{
    Cause, Config, Envelope, Error, Lane, ParkedFilter, Place, Relay, Subscriptions, backlog,
};

use crate::memory::{InMemory, start};
use crate::support::{World, quick, raise, seeing, until};

statements! {
    const WITHIN: Statement<(), bool> = "select exists (select from shared_events.cursor where pos > 0)";
    const HELD: Statement<(), i64> = "select count(*) from shared_events.cursor where owner is not null";
    const REDRIVE: Statement<(), ()> = "
        update shared_events.parked set state = 'retrying', next_at = clock_timestamp() where state = 'dead'";
}

#[tokio::test]
async fn every_event_arrives_once_and_in_order_although_relays_end_and_the_sink_stutters() {
    let world = World::new().await;
    let sink = InMemory::default();
    sink.with(|memory| (memory.down, memory.most) = (3, Some(6)));
    for round in 0..4 {
        let relay = start(&world, &sink).await;
        for n in 0..40 {
            world.raise(&format!("key {}", n % 10)).await;
        }
        // At once, in the middle of it, or when all is there.
        match round {
            0 => drop(relay),
            1 => relay.stop().await,
            _ => {
                world.settled().await;
                relay.stop().await;
            }
        }
    }
    for key in 0..10 {
        assert_eq!(sink.got(&format!("key {key}")), Vec::from_iter(1..=16));
    }
    assert!(sink.is_in_order());
}

#[tokio::test]
async fn what_the_sink_never_takes_is_parked_with_its_key_and_comes_back_in_order() {
    let world = World::new().await;
    let sink = InMemory::default();
    sink.with(|memory| memory.refused.insert("bad".to_owned()));
    let relay = start(&world, &sink).await;
    for _ in 0..5 {
        world.raise("bad").await;
        world.raise("good").await;
    }
    world.settled().await;
    assert_eq!((sink.got("bad"), sink.got("good")), (vec![], vec![1, 2, 3, 4, 5]));
    assert_eq!(backlog(&world.db).await.unwrap().parked, 5);

    // It is refused once more, and parked as before.
    world.db.system().execute(&REDRIVE, ()).await.unwrap();
    world.settled().await;
    assert_eq!(backlog(&world.db).await.unwrap().parked, 5);

    sink.with(|memory| memory.refused.clear());
    let arriving = async {
        for _ in 0..20 {
            world.raise("bad").await;
        }
    };
    let system = world.db.system();
    let (redriven, ()) = tokio::join!(system.execute(&REDRIVE, ()), arriving);
    assert_eq!(redriven.unwrap(), 1);
    world.settled().await;
    assert_eq!(sink.got("bad"), Vec::from_iter(1..=25));
    assert!(sink.is_in_order());
    relay.stop().await;
}

/// More than one tick takes: the rest follows when the first are there.
#[tokio::test]
async fn however_much_waits_behind_a_parked_event_comes_back_in_order() {
    let world = World::new().await;
    let sink = InMemory::default();
    sink.with(|memory| memory.refused.insert("bad".to_owned()));
    let relay = start(&world, &sink).await;
    let raising = async |tx: &mut TenantTx| {
        for _ in 0..1200 {
            raise(tx, "bad").await?;
        }
        Ok::<_, Error>(())
    };
    world.db.tenant(&world.tenant).tx(raising).await.unwrap();
    world.settled().await;
    assert_eq!(backlog(&world.db).await.unwrap().parked, 1200);

    sink.with(|memory| memory.refused.clear());
    world.db.system().execute(&REDRIVE, ()).await.unwrap();
    for _ in 0..20 {
        world.raise("bad").await;
    }
    until(async || sink.got("bad").len() == 1220).await;
    assert_eq!(sink.got("bad"), Vec::from_iter(1..=1220));
    assert!(sink.is_in_order());
    relay.stop().await;
}

/// The sink forgets all it had: the rest comes again, each at the place that it had.
#[tokio::test]
async fn what_was_discarded_is_not_sent_when_the_sink_goes_back_behind_it() {
    let world = World::new().await;
    let sink = InMemory::default();
    sink.with(|memory| memory.refused.insert("bad".to_owned()));
    let relay = start(&world, &sink).await;
    for _ in 0..4 {
        world.raise("bad").await;
        world.raise("good").await;
    }
    world.settled().await;
    let subscriptions = Subscriptions::new(&world.db);
    let bad = ParkedFilter::new().key("bad");
    assert_eq!(subscriptions.discard(&bad, "a test", 1).await.unwrap(), 1);
    // The next one of the key is refused as well.
    world.settled().await;
    sink.with(|memory| memory.refused.clear());
    assert_eq!(subscriptions.discard(&bad, "a test", 1).await.unwrap(), 1);
    until(async || sink.got("bad") == [3, 4]).await;
    world.settled().await;
    let places = sink.with(|memory| memory.lanes.clone());
    sink.with(|memory| memory.lanes.clear());
    until(async || sink.with(|memory| memory.lanes == places)).await;
    world.raise("bad").await;
    world.settled().await;
    assert_eq!((sink.got("bad"), sink.got("good")), (vec![3, 4, 5], vec![1, 2, 3, 4]));
    assert_eq!(backlog(&world.db).await.unwrap().parked, 0);
    assert!(sink.is_in_order());
    relay.stop().await;
}

#[tokio::test]
async fn what_was_parked_and_is_there_blocks_nothing_although_the_answer_was_lost() {
    let world = World::new().await;
    let sink = InMemory::default();
    sink.with(|memory| memory.refused.insert("bad".to_owned()));
    let relay = start(&world, &sink).await;
    for _ in 0..3 {
        world.raise("bad").await;
    }
    world.settled().await;
    sink.with(|memory| {
        memory.refused.clear();
        memory.lost_answers = 1;
    });
    assert_eq!(world.db.system().execute(&REDRIVE, ()).await.unwrap(), 1);
    until(async || sink.got("bad") == [1, 2, 3]).await;
    world.raise("bad").await;
    world.settled().await;
    assert_eq!(sink.got("bad"), [1, 2, 3, 4]);
    assert_eq!(backlog(&world.db).await.unwrap().parked, 0);
    relay.stop().await;
}

#[tokio::test]
async fn an_event_of_a_moment_ago_is_sent_again_however_long_nothing_happened_before() {
    let world = World::new().await;
    let sink = InMemory::default();
    let config = Config { subscription: "memory".to_owned(), rewind: Duration::from_secs(20), ..quick() };
    let relay = Relay::to(world.db.clone(), Arc::new(sink.clone()), config).await.unwrap();
    for n in 1..=4 {
        world.raise("a").await;
        until(async || sink.got("a").len() == n).await;
    }
    // The first ones were an hour ago.
    let superuser = world.superuser().await;
    let age = "update shared_events.tick set at = at - interval '1 hour'
                where tick > 0 and tick < (select max(tick) from shared_events.tick)";
    superuser.execute(age, &[]).await.unwrap();
    let pruned = "select pruned > 0 from shared_events.upkeep";
    until(async || superuser.query_one(pruned, &[]).await.unwrap().get(0)).await;
    sink.with(|memory| memory.lanes.values_mut().for_each(|lane| drop(lane.pop())));
    until(async || sink.got("a") == [1, 2, 3, 4]).await;
    relay.stop().await;
}

/// What is older may be forgotten at any moment.
#[tokio::test]
async fn a_sink_that_lost_everything_gets_what_is_within_rewind() {
    let world = World::new().await;
    let sink = InMemory::default();
    let config = Config { subscription: "memory".to_owned(), rewind: Duration::from_secs(3600), ..quick() };
    let relay = Relay::to(world.db.clone(), Arc::new(sink.clone()), config).await.unwrap();
    for n in 1..=4 {
        world.raise("a").await;
        until(async || sink.got("a").len() == n).await;
    }
    world.settled().await;
    // A little more than an hour ago: they are kept, and not gone back to.
    let age = "update shared_events.tick set at = at - interval '63 minutes'
                where tick in (select tick from shared_events.tick where tick > 0 order by tick limit 2)";
    assert_eq!(world.superuser().await.execute(age, &[]).await.unwrap(), 2);
    sink.with(|memory| memory.lanes.clear());
    until(async || sink.got("a").last() == Some(&4)).await;
    assert_eq!(sink.got("a"), [3, 4]);
    relay.stop().await;
}

#[tokio::test]
async fn what_a_sink_has_lost_is_sent_again() {
    let world = World::new().await;
    let sink = InMemory::default();
    let relay = start(&world, &sink).await;
    for n in 0..100 {
        world.raise(&format!("key {}", n % 5)).await;
    }
    world.settled().await;
    let places = sink.with(|memory| memory.lanes.clone());
    // The newest half of each lane, and of one lane everything. Nothing is published that would show it.
    sink.with(|memory| {
        for lane in memory.lanes.values_mut() {
            lane.truncate(lane.len() / 2);
        }
        memory.lanes.pop_first();
    });
    until(async || sink.with(|memory| memory.lanes == places)).await;
    world.raise("key 0").await;
    world.settled().await;
    assert_eq!(sink.got("key 0"), Vec::from_iter(1..=21));
    relay.stop().await;
}

/// What a backup is taken of, and what a restore brings back: all that a relay of the subscription knows.
const BACKUP: &str = "
    create table kept_cursor as select lane, tick, pos from shared_events.cursor;
    create table kept as select (select max(tick) from shared_events.tick) as tick, (select max(pos) from shared_events.log) as pos";
const RESTORE: &str = "
    set session_replication_role = replica;
    delete from shared_events.log using kept where log.pos > kept.pos;
    delete from shared_events.tick using kept where tick.tick > kept.tick;
    update shared_events.cursor set tick = kept.tick, pos = kept.pos from kept_cursor as kept where cursor.lane = kept.lane;
    update it.counter set n = 1;
    select setval('shared_events.tick_seq', greatest(tick, 1)) from kept;
    set session_replication_role = origin";

#[tokio::test]
async fn after_a_restore_nothing_is_lost_although_others_have_made_ticks_before_the_sink_was_asked() {
    let world = World::new().await;
    let (sink, superuser) = (InMemory::default(), world.superuser().await);
    let relay = start(&world, &sink).await;
    world.raise("a").await;
    world.settled().await;
    relay.stop().await;
    superuser.batch_execute(BACKUP).await.unwrap();
    let relay = start(&world, &sink).await;
    for n in 2..=4 {
        world.raise("a").await;
        until(async || sink.got("a").len() == n).await;
    }
    relay.stop().await;
    superuser.batch_execute(RESTORE).await.unwrap();
    // These ticks are the restored database's own, and there is no relay of the sink yet that could ask it.
    let others = world.relay(seeing()).await;
    for n in 2..=3 {
        world.raise("a").await;
        until(async || world.seen("see", "a").await.len() == n).await;
    }
    let relay = start(&world, &sink).await;
    world.raise("a").await;
    world.settled().await;
    assert_eq!(sink.got("a"), [1, 2, 3, 4, 2, 3, 4]);
    assert!(sink.is_in_order());
    relay.stop().await;
    others.stop().await;
}

#[tokio::test]
async fn what_a_sink_loses_in_the_middle_of_a_batch_is_sent_again() {
    let world = World::new().await;
    let sink = InMemory::default();
    let raising = async |tx: &mut TenantTx| {
        for _ in 0..1000 {
            raise(tx, "a").await?;
        }
        Ok::<_, Error>(())
    };
    world.db.tenant(&world.tenant).tx(raising).await.unwrap();
    // An event a page, so that it takes a while.
    let rewind = Duration::from_secs(60);
    let config = Config { page: 1, subscription: "sink".to_owned(), rewind, ..quick() };
    let relay = Relay::to(world.db.clone(), Arc::new(sink.clone()), config).await.unwrap();
    until(async || sink.got("a").len() >= 50).await;
    sink.with(|memory| memory.down = u32::MAX);
    until(async || world.db.system().one(&WITHIN, ()).await.unwrap()).await;
    sink.with(|memory| {
        memory.down = 0;
        memory.lanes.clear();
    });
    world.settled().await;
    assert_eq!(sink.got("a"), Vec::from_iter(1..=1000));
    relay.stop().await;
}

#[tokio::test]
async fn a_sink_that_has_later_events_than_the_log_gets_the_next_behind_them() {
    let world = World::new().await;
    let sink = InMemory::default();
    let relay = start(&world, &sink).await;
    world.raise("a").await;
    world.settled().await;
    relay.stop().await;
    // As after a restore to a server whose clock is a day slow: the sink has a place of a tick that is yet to come.
    let tomorrow = time::OffsetDateTime::now_utc().unix_timestamp() * 1000 + 86_400_000;
    let lanes: Vec<Lane> = sink.with(|memory| memory.lanes.keys().copied().collect());
    lanes.into_iter().for_each(|lane| sink.push(lane, Place::new(tomorrow, 1)));
    let relay = start(&world, &sink).await;
    let asked = async || {
        let newest = "select last_value from shared_events.tick_seq";
        world.superuser().await.query_one(newest, &[]).await.unwrap().get::<_, i64>(0) >= tomorrow
    };
    until(asked).await;
    world.raise("a").await;
    world.settled().await;
    assert_eq!(sink.got("a"), [1, 2]);
    assert!(sink.is_in_order());
    relay.stop().await;
}

#[tokio::test]
async fn a_sink_that_is_down_is_tried_again_for_as_long_as_it_takes() {
    let world = World::new().await;
    let sink = InMemory::default();
    sink.with(|memory| memory.down = 4);
    let relay = start(&world, &sink).await;
    world.raise("a").await;
    let longest = Duration::from_secs(60);
    tokio::time::timeout(longest, until(async || sink.got("a") == [1])).await.unwrap();
    assert_eq!(backlog(&world.db).await.unwrap().parked, 0);
    relay.stop().await;
}

#[tokio::test]
async fn a_sink_that_is_down_is_named_with_its_words_until_it_answers() {
    let world = World::new().await;
    let sink = InMemory::default();
    let relay = start(&world, &sink).await;
    world.raise("a").await;
    world.settled().await;
    sink.with(|memory| memory.down = u32::MAX);
    world.raise("a").await;
    let memory = Subscriptions::new(&world.db).subscription("memory");
    let causes = async || memory.explain().await.unwrap().causes;
    let is_named = |cause: &Cause| matches!(cause, Cause::OpenBreaker { sink, error: Some(error), .. } if sink == "memory" && error.contains("it is down"));
    until(async || causes().await.iter().any(is_named)).await;
    sink.with(|memory| memory.down = 0);
    world.settled().await;
    until(async || causes().await.is_empty()).await;
    relay.stop().await;
}

/// A sink that can do only so much: it takes what it gets, and can't be asked.
struct Weak(InMemory, Capabilities);

#[async_trait]
impl Sink for Weak {
    fn name(&self) -> &str {
        "weak"
    }

    fn capabilities(&self) -> Capabilities {
        self.1
    }

    async fn last(&self, _: Lane) -> Result<Option<Place>, Refusal> {
        panic!("it can't be asked")
    }

    async fn send(&self, lane: Lane, _: Option<Place>, events: &[Envelope]) -> Accepted {
        let has = self.0.last(lane).await.unwrap_or_default();
        self.0.send(lane, has, events).await
    }
}

#[tokio::test]
async fn a_sink_that_can_t_give_the_guarantee_is_refused_unless_less_is_asked_for() {
    let world = World::new().await;
    for (capabilities, lacks) in [
        (Capabilities::new(Dedup::Window, true, true, true), "always know what is sent again"),
        (Capabilities::new(Dedup::Exact, true, false, true), "say what it has last"),
        (Capabilities::new(Dedup::Exact, true, true, false), "keep the order of a lane"),
    ] {
        let sink = Arc::new(Weak(InMemory::default(), capabilities));
        let refused = Relay::to(world.db.clone(), sink, quick()).await.unwrap_err();
        assert!(matches!(&refused, Error::Config(why) if why.contains(lacks)), "{refused}");
    }
    let memory = InMemory::default();
    let sink = Arc::new(Weak(memory.clone(), Capabilities::new(Dedup::None, false, false, false)));
    let config = Config { guarantee: Guarantee::AtLeastOnce, ..quick() };
    let relay = Relay::to(world.db.clone(), sink, config).await.unwrap();
    for _ in 0..10 {
        world.raise("a").await;
    }
    world.settled().await;
    relay.stop().await;
    assert_eq!(memory.got("a"), Vec::from_iter(1..=10));
}

#[tokio::test]
async fn a_relay_stops_and_hands_its_lanes_on_although_its_sink_is_down() {
    let world = World::new().await;
    let sink = InMemory::default();
    sink.with(|memory| memory.down = u32::MAX);
    let relay = start(&world, &sink).await;
    world.raise("a").await;
    // The breaker's waits have come to be longer than the time to stop.
    until(async || sink.with(|memory| memory.down < u32::MAX - 8)).await;
    tokio::time::timeout(Duration::from_secs(5), relay.stop()).await.expect("it waits for its sink");
    assert_eq!(world.db.system().one(&HELD, ()).await.unwrap(), 0);
    assert_eq!(backlog(&world.db).await.unwrap().parked, 0);
    sink.with(|memory| memory.down = 0);
    let relay = start(&world, &sink).await;
    world.settled().await;
    assert_eq!(sink.got("a"), [1]);
    relay.stop().await;
}
