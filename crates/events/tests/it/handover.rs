//! The way of a program's events changes, and changes back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use shared_db::statements;
use shared_events::intake::{Read, Source, Taken};
use shared_events::sink::{Accepted, Capabilities, Dedup, Refusal, Sink};
use shared_events::{Config, Envelope, Error, Intake, Lane, Place, Relay, Subscriptions, backlog, handover};

use crate::support::{World, quick, seeing, until};

statements! {
    // As it is left where the sink's name changed, and it refused the same once more.
    const UNDER_ANOTHER_NAME: Statement<(), ()> = "
        insert into shared_events.parked (tenant_id, subscription, consumer, lane, key, pos, xid, event_id, name, state, tick)
        select tenant_id, subscription, 'as it was called', lane, key, pos, xid, event_id, name, state, tick + 1
          from shared_events.parked where state = 'sent'";
    const REDRIVE: Statement<(), ()> = "
        update shared_events.parked set state = 'retrying', next_at = clock_timestamp() where state = 'dead'";
}

/// A broker of this process, which refuses a key for a time.
#[derive(Clone, Default)]
pub(crate) struct Broker(Arc<Mutex<Held>>);

#[derive(Default)]
pub(crate) struct Held {
    lanes: BTreeMap<Lane, Vec<Envelope>>,
    refused: Option<String>,
}

impl Broker {
    fn with<T>(&self, work: impl FnOnce(&mut Held) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }

    fn refuse(&self, key: Option<&str>) {
        self.with(|held| held.refused = key.map(str::to_owned));
    }

    fn has(&self, key: &str) -> usize {
        self.with(|held| held.lanes.values().flatten().filter(|event| event.key == key).count())
    }
}

#[async_trait]
impl Sink for Broker {
    fn name(&self) -> &str {
        "broker"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Dedup::Exact, true, true, true)
    }

    async fn last(&self, lane: Lane) -> Result<Option<Place>, Refusal> {
        Ok(self.with(|held| Some(held.lanes.get(&lane)?.last()?.place)))
    }

    async fn send(&self, lane: Lane, after: Option<Place>, events: &[Envelope]) -> Accepted {
        self.with(|held| {
            let lane = held.lanes.entry(lane).or_default();
            if lane.last().map(|event| event.place) != after {
                return Accepted::until(0, Refusal::Fenced("it is not as it was".to_owned()));
            }
            for (count, event) in events.iter().enumerate() {
                if held.refused.as_ref() == Some(&event.key) {
                    return Accepted::until(count, Refusal::Never("too ugly".to_owned()));
                }
                if lane.last().is_none_or(|last| last.place < event.place) {
                    lane.push(event.clone());
                }
            }
            Accepted::all(events.len())
        })
    }
}

#[async_trait]
impl Source for Broker {
    fn name(&self) -> String {
        "broker".to_owned()
    }

    async fn read(&self, lane: Lane, mark: Option<&str>, most: usize) -> Result<Read, Error> {
        let behind = mark.and_then(|mark| mark.parse::<Place>().ok());
        let events = self.with(|held| held.lanes.get(&lane).cloned().unwrap_or_default());
        let new = events.into_iter().filter(|event| Some(event.place) > behind).take(most);
        Ok(Read::new(new.map(|event| Taken::new(event.place.to_string(), Ok(event))).collect(), false))
    }
}

async fn bring(world: &World, broker: &Broker) -> Relay {
    // As far back as what is lost has to come again.
    let config =
        Config { subscription: "main.broker".to_owned(), rewind: Duration::from_secs(60), ..quick() };
    Relay::to(world.db.clone(), Arc::new(broker.clone()), config).await.unwrap()
}

async fn read(world: &World, broker: &Broker) -> Intake {
    // So long that it does not run out on a busy machine.
    let config = Config { lease: Duration::from_secs(10), ..quick() };
    Intake::of_own_log(world.db.clone(), (), seeing(), broker.clone(), config).await.unwrap()
}

async fn go_back(world: &World, broker: &Broker) -> Result<bool, Error> {
    handover::to_consumers(&world.db, "main.broker", broker, &quick()).await
}

#[tokio::test]
async fn consumers_that_go_back_to_the_log_leave_nothing_of_the_broker_behind() {
    let (world, broker) = (World::new().await, Broker::default());
    let (relay, intake) = (bring(&world, &broker).await, read(&world, &broker).await);
    world.raise("a").await;
    until(async || world.seen("see", "a").await == [1]).await;
    world.settled().await;
    relay.stop().await;
    // A beat that was on its way when the relay ended may still say that it lives.
    let refused = async || go_back(&world, &broker).await.unwrap_err().to_string();
    until(async || refused().await.contains("1 intakes read from there")).await;
    intake.stop().await;
    until(async || go_back(&world, &broker).await.is_ok_and(|is_back| is_back)).await;
    let left = Subscriptions::new(&world.db).status().await.unwrap();
    assert_eq!(left.iter().map(|left| left.name.as_str()).collect::<Vec<_>>(), ["main"]);

    let relay = world.relay(seeing()).await;
    world.raise("a").await;
    world.settled().await;
    relay.stop().await;
    // And through the broker once more, whose lanes are read from their start.
    assert!(handover::to_sink(&world.db, "main", "main.broker").await.unwrap());
    let (relay, intake) = (bring(&world, &broker).await, read(&world, &broker).await);
    world.raise("a").await;
    until(async || world.seen("see", "a").await.len() >= 3).await;
    assert_eq!(world.seen("see", "a").await, [1, 2, 3]);
    relay.stop().await;
    intake.stop().await;
}

/// At the broker it has a later place than in the log, which its consumer has passed there.
#[tokio::test]
async fn what_was_refused_at_first_and_lost_later_has_its_effect_from_the_log() {
    let (world, broker) = (World::new().await, Broker::default());
    let (relay, intake) = (bring(&world, &broker).await, read(&world, &broker).await);
    let good = world.key_beside("bad").await;
    broker.refuse(Some("bad"));
    for _ in 0..2 {
        world.raise("bad").await;
    }
    world.raise(&good).await;
    until(async || world.seen("see", &good).await == [1]).await;
    intake.stop().await;

    broker.refuse(None);
    assert_eq!(world.db.system().execute(&REDRIVE, ()).await.unwrap(), 1);
    world.raise("bad").await;
    until(async || broker.has("bad") == 3).await;
    world.settled().await;
    relay.stop().await;
    // Its end is gone, and nobody has read it.
    broker.with(|held| held.lanes.values_mut().for_each(|lane| lane.retain(|event| event.key != "bad")));
    assert!(world.db.system().execute(&UNDER_ANOTHER_NAME, ()).await.unwrap() > 0);
    assert!(go_back(&world, &broker).await.unwrap());

    let relay = world.relay(seeing()).await;
    until(async || world.seen("see", "bad").await.len() >= 3).await;
    world.settled().await;
    assert_eq!((world.seen("see", "bad").await, world.seen("see", &good).await), (vec![1, 2, 3], vec![1]));
    assert_eq!(backlog(&world.db).await.unwrap().parked, 0);
    relay.stop().await;
}

/// It is known at its later place, and not run again.
#[tokio::test]
async fn what_was_refused_at_first_and_read_later_has_no_second_effect_from_the_log() {
    let (world, broker) = (World::new().await, Broker::default());
    let (relay, intake) = (bring(&world, &broker).await, read(&world, &broker).await);
    broker.refuse(Some("bad"));
    world.raise("bad").await;
    until(async || backlog(&world.db).await.unwrap().parked == 1).await;
    broker.refuse(None);
    assert_eq!(world.db.system().execute(&REDRIVE, ()).await.unwrap(), 1);
    until(async || world.seen("see", "bad").await == [1]).await;
    world.settled().await;
    relay.stop().await;
    intake.stop().await;
    assert!(go_back(&world, &broker).await.unwrap());
    let relay = world.relay(seeing()).await;
    world.raise("bad").await;
    world.settled().await;
    assert_eq!(world.seen("see", "bad").await, [1, 2]);
    relay.stop().await;
}
