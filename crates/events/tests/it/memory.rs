//! A sink that keeps what it gets in memory, and fails as the test wants.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use shared_events::sink::{Accepted, Capabilities, Dedup, Refusal, Sink};
use shared_events::{Config, Envelope, Lane, Place, Relay};

use crate::support::{World, quick};

#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) lanes: BTreeMap<Lane, Vec<(Place, String, String)>>,
    /// Never taken.
    pub(crate) refused: HashSet<String>,
    /// The same of one value of a key,
    pub(crate) refused_at: Option<(String, i64)>,
    /// behind which nothing can be sent.
    pub(crate) down_behind: bool,
    /// So many calls fail.
    pub(crate) down: u32,
    /// What was taken of a page before it failed.
    pub(crate) most: Option<usize>,
    /// So many answers are lost, after all was taken.
    pub(crate) lost_answers: u32,
    /// How often it was asked what it has.
    pub(crate) asked: u32,
}

#[derive(Clone, Default)]
pub(crate) struct InMemory(Arc<Mutex<Memory>>);

impl InMemory {
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Memory) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }

    /// The counter's values of a key, in the order in which they came.
    pub(crate) fn got(&self, key: &str) -> Vec<i64> {
        self.with(|memory| {
            let all = memory.lanes.values().flatten();
            all.filter(|(_, of, _)| of == key).map(|(_, _, payload)| n(payload)).collect()
        })
    }

    /// The last place of a lane.
    pub(crate) fn place(&self, lane: Lane) -> Option<Place> {
        self.with(|memory| memory.lanes.get(&lane).and_then(|events| events.last().map(|event| event.0)))
    }

    /// As if somebody else had written it.
    pub(crate) fn push(&self, lane: Lane, place: Place) {
        self.with(|memory| {
            memory.lanes.entry(lane).or_default().push((place, "a stranger's".to_owned(), "{}".to_owned()))
        });
    }

    /// Takes the last of a lane out.
    pub(crate) fn pop(&self, lane: Lane) {
        self.with(|memory| memory.lanes.entry(lane).or_default().pop());
    }

    pub(crate) fn is_in_order(&self) -> bool {
        self.with(|memory| memory.lanes.values().all(|lane| lane.is_sorted_by(|a, b| a.0 < b.0)))
    }
}

/// The counter's value.
fn n(payload: &str) -> i64 {
    serde_json::from_str::<serde_json::Value>(payload).unwrap()["n"].as_i64().unwrap()
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
        self.with(|memory| memory.asked += 1);
        Ok(self.place(lane))
    }

    async fn send(&self, lane: Lane, after: Option<Place>, events: &[Envelope]) -> Accepted {
        self.with(|memory| {
            if memory.down > 0 {
                memory.down -= 1;
                return Accepted::until(0, Refusal::Later("it is down".to_owned()));
            }
            let held = memory.lanes.entry(lane).or_default();
            if held.last().map(|event| event.0) != after {
                return Accepted::until(0, Refusal::Fenced("it is not as it was".to_owned()));
            }
            for (at, event) in events.iter().enumerate() {
                if memory.refused.contains(&event.key) {
                    return Accepted::until(at, Refusal::Never("too ugly".to_owned()));
                }
                let is_it = |(key, at): &(String, i64)| *key == event.key && *at == n(&event.payload);
                if memory.refused_at.as_ref().is_some_and(is_it) {
                    memory.down = if memory.down_behind { u32::MAX } else { 0 };
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

pub(crate) async fn start(world: &World, sink: &InMemory) -> Relay {
    // As far back as what is lost has to come again.
    let rewind = Duration::from_secs(60);
    let config = Config { subscription: "memory".to_owned(), rewind, ..quick() };
    Relay::to(world.db.clone(), Arc::new(sink.clone()), config).await.unwrap()
}
