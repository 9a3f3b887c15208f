//! Events change and have causes: older versions are read, rules are kept, and each event knows which one led to it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared_core::{Context, Failure};
use shared_db::TenantTx;
use shared_events::{Config, Error, Event, Events, FromDelivery, Publish as _, Received, Relay, backlog};
use uuid::Uuid;
use validator::Validate;

use crate::support::{Raised, World, quick, raise, raised, see_as, seeing};

/// What [`Raised`] became: its number is a text, and it says by how much.
#[derive(Serialize, Deserialize, Validate, Event)]
#[event(name = "counter.raised", version = 3, key = "key", upcast("as_text", "by_one"))]
struct RaisedBy {
    key: String,
    n: String,
    #[validate(range(min = 1))]
    by: i64,
}

fn as_text(mut payload: Value) -> Result<Value, Failure> {
    payload["n"] = payload["n"].to_string().into();
    Ok(payload)
}

fn by_one(mut payload: Value) -> Result<Value, Failure> {
    payload["by"] = 1.into();
    Ok(payload)
}

async fn see_newest(tx: &mut TenantTx, newest: Received<RaisedBy>) -> Result<(), Failure> {
    see_as("newest", tx, &raised(&newest.key, newest.n.parse::<i64>()? * newest.by)).await
}

#[tokio::test]
async fn a_consumer_of_the_newest_version_reads_all_that_were_before() {
    let world = World::new().await;
    world.raise("a").await;
    let work = async |tx: &mut TenantTx| {
        tx.publish(RaisedBy { key: "a".to_owned(), n: "2".to_owned(), by: 10 }).await
    };
    world.db.tenant(&world.tenant).tx(work).await.unwrap();
    let relay = world.relay(Events::new().handle("newest", see_newest)).await;
    world.settled().await;
    assert_eq!(world.seen("newest", "a").await, [1, 20]);
    relay.stop().await;
}

#[tokio::test]
async fn what_breaks_its_rules_is_refused_and_the_transaction_goes_on() {
    let world = World::new().await;
    let mut tx = world.db.tenant(&world.tenant).begin().await.unwrap();
    let wrong = RaisedBy { key: "a".to_owned(), n: "2".to_owned(), by: 0 };
    let refused = tx.publish(wrong).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    assert_eq!(
        refused.to_string(),
        "event `counter.raised` can't be published: `by` breaks the rule `range`"
    );
    raise(&mut tx, "a").await.unwrap();
    tx.commit().await.unwrap();
    world.relay(seeing()).await.stop().await;
    assert_eq!(backlog(&world.db).await.unwrap().waiting, 1);
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "counter.praised", version = 1, key = "key")]
struct Praised {
    key: String,
}

/// Which event it is, and which led to it.
type Link = (Uuid, Option<Uuid>);

/// Those of all events, in their order.
#[derive(Clone, Default)]
struct Chain(Arc<Mutex<Vec<Link>>>);

impl Chain {
    fn add<E>(&self, received: &Received<E>) {
        assert_eq!(received.context().causation(), Some(received.id.as_uuid()), "the cause of what follows");
        self.0.lock().unwrap().push((received.id.as_uuid(), received.causation));
    }
}

impl FromDelivery<Chain> for Chain {
    fn from_delivery(_: &Context, state: &Chain) -> Self {
        state.clone()
    }
}

#[tokio::test]
async fn an_event_knows_which_one_led_to_it() {
    let world = World::new().await;
    async fn praise(tx: &mut TenantTx, raised: Received<Raised>, chain: Chain) -> Result<(), Failure> {
        chain.add(&raised);
        Ok(tx.publish(Praised { key: raised.key.clone() }).await?)
    }
    async fn blush(_: &mut TenantTx, praised: Received<Praised>, chain: Chain) -> Result<(), Failure> {
        chain.add(&praised);
        Ok(())
    }
    let events = Events::new().handle("praise", praise).handle("blush", blush);
    let chain = Chain::default();
    // In one turn, so that two causes share a transaction where turns are batches.
    world.raise("a").await;
    world.raise("a").await;
    let config = Config { lease: Duration::from_secs(10), ..quick() };
    let relay = Relay::start(world.db.clone(), chain.clone(), events, config).await.unwrap();
    world.settled().await;
    relay.stop().await;
    let chain = chain.0.lock().unwrap();
    let (first, led): (Vec<_>, Vec<_>) = chain.iter().copied().partition(|(_, cause)| cause.is_none());
    let ids = |of: &[Link]| of.iter().map(|(id, _)| Some(*id)).collect::<Vec<_>>();
    assert_eq!(led.iter().map(|(_, cause)| *cause).collect::<Vec<_>>(), ids(&first));
}
