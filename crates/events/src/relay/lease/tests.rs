use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;

use super::super::machine::Cursor;
use super::{TAKE, advance, once, release};
use crate::fixture::Fixture;
use crate::sink::{Accepted, Capabilities, Dedup, Refusal, Sink};
use crate::{Config, Envelope, Error, Lane, Place, Relay};

struct Nowhere;

#[async_trait]
impl Sink for Nowhere {
    fn name(&self) -> &str {
        "nowhere"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Dedup::Exact, true, true, true)
    }

    async fn last(&self, _: Lane) -> Result<Option<Place>, Refusal> {
        Ok(None)
    }

    async fn send(&self, _: Lane, _: Option<Place>, events: &[Envelope]) -> Accepted {
        Accepted::all(events.len())
    }
}

/// Else others would leave it its part of the lanes for a lease.
#[tokio::test]
async fn a_beat_that_comes_after_the_relay_has_left_changes_nothing() {
    let world = Fixture::new().await;
    let config = Config { subscription: "nowhere".to_owned(), ..Config::default() };
    let relay = Relay::to(world.db.clone(), Arc::new(Nowhere), config).await.unwrap();
    let core = Arc::clone(&relay.core);
    // Whether it has had the time for a beat of its own makes no difference.
    relay.stop().await;
    once(&core).await.unwrap();
    let taken = core.db.system().all(&TAKE, (&core.config.subscription, core.owner, 10.0, 16)).await.unwrap();
    let living = "select count(*) from shared_events.relay where expires > clock_timestamp()";
    assert_eq!((taken, world.text(living).await.as_str()), (vec![], "0"));
}

/// A part of a batch had been passed: of the batch that takes its place it says nothing.
#[tokio::test]
async fn how_far_it_came_in_what_the_database_forgot_is_not_written() {
    let world = Fixture::new().await;
    // Without a beat of its own.
    let (subscription, lease) = ("nowhere".to_owned(), Duration::from_secs(600));
    let config = Config { subscription, lease, ..Config::default() };
    let relay = Relay::to(world.db.clone(), Arc::new(Nowhere), config).await.unwrap();
    let owned = "select count(*) from shared_events.cursor where owner is not null";
    while world.text(owned).await != "16" {
        tokio::task::yield_now().await;
    }
    let mut lanes = once(&relay.core).await.unwrap().owned;
    world.cut().await;
    let newest = world.text("select max(tick) from shared_events.tick").await.parse().unwrap();
    relay.core.seen.store(newest, Ordering::Relaxed);
    lanes.iter_mut().for_each(|owned| owned.cursor = Cursor { passed: 0, pos: 7 });
    assert_eq!(advance(&relay.core, &lanes[..1]).await.unwrap().len(), 1);
    world.run("delete from shared_events.tick where tick > 0").await;
    assert!(matches!(advance(&relay.core, &lanes[1..]).await, Err(Error::Unsafe(_))));
    release(&relay.core, &lanes[1..]).await.unwrap();
    let there = "select string_agg(pos::text, ',' order by lane) from shared_events.cursor where owner is null or pos > 0";
    assert_eq!(world.text(there).await, "7,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0");
    assert_eq!(world.text(owned).await, "1");
}
