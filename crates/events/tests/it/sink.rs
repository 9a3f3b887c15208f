//! Events to a sink: one that keeps what it gets in memory, and fails as the test wants.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use shared_db::statements;
use shared_events::sink::{Accepted, Capabilities, Dedup, Refusal, Sink};
use shared_events::{Config, Envelope, Lane, Place, Relay, backlog};

use crate::support::{World, quick, until};

statements! {
    const REDRIVE: Statement<(), ()> = "
        update shared_events.parked set state = 'retrying', next_at = clock_timestamp() where state = 'dead'";
}

#[derive(Default)]
struct Memory {
    lanes: BTreeMap<Lane, Vec<(Place, String, String)>>,
    /// Never taken.
    refused: HashSet<String>,
    /// So many calls fail.
    down: u32,
    /// What was taken of a page before it failed.
    most: Option<usize>,
    /// So many answers are lost, after all was taken.
    lost_answers: u32,
}

#[derive(Clone, Default)]
struct InMemory(Arc<Mutex<Memory>>);

impl InMemory {
    fn with<T>(&self, work: impl FnOnce(&mut Memory) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }

    /// The counter's values of a key, in the order in which they came.
    fn got(&self, key: &str) -> Vec<i64> {
        let n = |payload: &str| {
            serde_json::from_str::<serde_json::Value>(payload).unwrap()["n"].as_i64().unwrap()
        };
        self.with(|memory| {
            let all = memory.lanes.values().flatten();
            all.filter(|(_, of, _)| of == key).map(|(_, _, payload)| n(payload)).collect()
        })
    }

    fn is_in_order(&self) -> bool {
        self.with(|memory| memory.lanes.values().all(|lane| lane.is_sorted_by(|a, b| a.0 < b.0)))
    }
}

#[async_trait]
impl Sink for InMemory {
    fn name(&self) -> &str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Dedup::Exact, true, true, true)
    }

    async fn last(&self, lane: Lane) -> Result<Option<Place>, Refusal> {
        Ok(self.with(|memory| memory.lanes.get(&lane).and_then(|events| events.last().map(|event| event.0))))
    }

    async fn send(&self, lane: Lane, after: Option<Place>, events: &[Envelope]) -> Accepted {
        self.with(|memory| {
            if memory.down > 0 {
                memory.down -= 1;
                return Accepted::until(0, Refusal::Later("it is down".to_owned()));
            }
            let held = memory.lanes.entry(lane).or_default();
            if held.last().map(|event| event.0) < after {
                return Accepted::until(0, Refusal::Fenced("something is lost".to_owned()));
            }
            for (at, event) in events.iter().enumerate() {
                if memory.refused.contains(&event.key) {
                    return Accepted::until(at, Refusal::Never("too ugly".to_owned()));
                }
                if memory.most.is_some_and(|most| at >= most) {
                    return Accepted::until(at, Refusal::Later("enough for now".to_owned()));
                }
                if held.last().is_none_or(|last| last.0 < event.place) {
                    held.push((event.place, event.key.clone(), event.payload.clone()));
                }
            }
            if memory.lost_answers > 0 {
                memory.lost_answers -= 1;
                return Accepted::until(0, Refusal::Fenced("nobody knows".to_owned()));
            }
            Accepted::all(events.len())
        })
    }
}

async fn start(world: &World, sink: &InMemory) -> Relay {
    // As far back as what is lost has to come again.
    let rewind = Duration::from_secs(60);
    let config = Config { subscription: "memory".to_owned(), rewind, ..quick() };
    Relay::to(world.db.clone(), Arc::new(sink.clone()), config).await.unwrap()
}

#[tokio::test]
async fn every_event_arrives_once_and_in_order_although_relays_end_and_the_sink_stutters() {
    let world = World::new().await;
    let sink = InMemory::default();
    sink.with(|memory| (memory.down, memory.most) = (3, Some(2)));
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

#[tokio::test]
async fn a_sink_that_has_later_events_than_the_log_gets_the_next_behind_them() {
    let world = World::new().await;
    let sink = InMemory::default();
    let relay = start(&world, &sink).await;
    world.raise("a").await;
    world.settled().await;
    relay.stop().await;
    // As after a restore of the database to an earlier time: the sink has a place of a tick that is not there.
    sink.with(|memory| {
        for lane in memory.lanes.values_mut() {
            lane.push((Place::new(1000, 1), "forgotten".to_owned(), "{}".to_owned()));
        }
    });
    let relay = start(&world, &sink).await;
    let asked = async || {
        let newest = "select last_value from shared_events.tick_tick_seq";
        world.superuser().await.query_one(newest, &[]).await.unwrap().get::<_, i64>(0) >= 1000
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
