use std::sync::Arc;

use async_trait::async_trait;

use super::{TAKE, once};
use crate::fixture::Fixture;
use crate::sink::{Accepted, Capabilities, Dedup, Refusal, Sink};
use crate::{Config, Envelope, Lane, Place, Relay};

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
