//! Events within the process.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};
use shared_core::{AssumedTenant, Context, Failure, InTenant as _};
use shared_events::bus::{Buffer, Bus};
use shared_events::{Error, Event, FromDelivery, Publish as _, Received};
use validator::Validate;

use crate::support::{Raised, World, a_tenant, see, until};

#[derive(Clone, Serialize, Deserialize, Validate, Event)]
#[event(name = "bus.ticked", version = 1, key = "of")]
struct Ticked {
    of: String,
    #[validate(range(min = 1))]
    n: i64,
}

fn ticked(of: &str, n: i64) -> Ticked {
    Ticked { of: of.to_owned(), n }
}

/// Publishes these numbers one after the other.
async fn tick(bus: &Bus, tenant: &AssumedTenant, of: &str, numbers: std::ops::RangeInclusive<i64>) {
    for n in numbers {
        bus.publish(tenant, ticked(of, n)).await.unwrap();
    }
}

/// What handlers have seen.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<i64>>>);

impl FromDelivery<Seen> for Seen {
    fn from_delivery(_: &Context, state: &Seen) -> Self {
        state.clone()
    }
}

async fn note(ticked: Received<Ticked>, seen: Seen) -> Result<(), Failure> {
    match ticked.n {
        3 => panic!("three is too much"),
        4 => Err(Failure::new("four is no better")),
        n => {
            seen.0.lock().unwrap().push(n);
            Ok(())
        }
    }
}

#[tokio::test]
async fn every_subscriber_gets_every_event_in_the_order_of_its_publisher() {
    let (bus, tenant) = (Bus::new(), a_tenant());
    let mut one = bus.subscribe::<Ticked>("one", Buffer::wait(100)).unwrap();
    let mut two = bus.subscribe::<Ticked>("two", Buffer::wait(1)).unwrap();
    let publishing = tokio::spawn({
        let (bus, tenant) = (bus.clone(), tenant.clone());
        async move {
            let (a, b) = (tick(&bus, &tenant, "a", 1..=50), tick(&bus, &tenant, "b", 1..=50));
            tokio::join!(a, b);
            bus.stop().await;
        }
    });
    let mut slow = Vec::new();
    while let Some(event) = two.next().await {
        slow.push((event.of.clone(), event.n));
    }
    publishing.await.unwrap();
    let mut quick = Vec::new();
    while let Some(event) = one.next().await {
        quick.push((event.of.clone(), event.n));
    }
    for seen in [slow, quick] {
        for of in ["a", "b"] {
            let numbers: Vec<i64> = seen.iter().filter(|event| event.0 == of).map(|event| event.1).collect();
            assert_eq!(numbers, Vec::from_iter(1..=50));
        }
    }
}

#[tokio::test]
async fn a_publisher_waits_for_a_subscriber_that_asks_for_it() {
    let (bus, tenant) = (Bus::new(), a_tenant());
    let mut slow = bus.subscribe::<Ticked>("slow", Buffer::wait(2)).unwrap();
    tick(&bus, &tenant, "a", 1..=2).await;
    let mut third = Box::pin(bus.publish(&tenant, ticked("a", 3)));
    assert!(third.as_mut().now_or_never().is_none(), "there is no room");
    assert_eq!(slow.next().await.unwrap().n, 1);
    third.await.unwrap();
    // One that is dropped while it waits is not published.
    assert!(bus.publish(&tenant, ticked("a", 4)).now_or_never().is_none());
    assert_eq!((slow.next().await.unwrap().n, slow.next().await.unwrap().n), (2, 3));
    assert!(slow.next().now_or_never().is_none());

    tick(&bus, &tenant, "a", 5..=6).await;
    let mut waiting = Box::pin(bus.publish(&tenant, ticked("a", 7)));
    assert!(waiting.as_mut().now_or_never().is_none());
    drop(slow);
    waiting.await.unwrap();
}

#[tokio::test]
async fn the_oldest_are_dropped_and_counted_where_only_the_latest_count() {
    let (bus, tenant) = (Bus::new(), a_tenant());
    let mut latest = bus.subscribe::<Ticked>("latest", Buffer::drop_oldest(2)).unwrap();
    tick(&bus, &tenant, "a", 1..=5).await;
    assert_eq!(latest.dropped(), 3);
    assert_eq!((latest.next().await.unwrap().n, latest.next().await.unwrap().n), (4, 5));
    assert!(!latest.is_too_slow());
}

#[tokio::test]
async fn a_subscriber_that_may_miss_nothing_is_closed_when_it_would() {
    let (bus, tenant) = (Bus::new(), a_tenant());
    let mut strict = bus.subscribe::<Ticked>("strict", Buffer::close(2)).unwrap();
    tick(&bus, &tenant, "a", 1..=5).await;
    assert!(strict.is_too_slow());
    assert_eq!((strict.next().await.unwrap().n, strict.next().await.unwrap().n), (1, 2));
    assert!(strict.next().await.is_none());
}

#[tokio::test]
async fn a_handler_that_panics_or_fails_goes_on_with_the_next() {
    let (bus, tenant, seen) = (Bus::new(), a_tenant(), Seen::default());
    bus.handle("note", Buffer::wait(10), seen.clone(), note).unwrap();
    tick(&bus, &tenant, "a", 1..=6).await;
    bus.stop().await;
    assert_eq!(
        *seen.0.lock().unwrap(),
        [1, 2, 5, 6],
        "what was in the buffer is handled before the bus has stopped"
    );
    assert!(matches!(bus.publish(&tenant, ticked("a", 1)).await, Err(Error::Stopped)));
    assert!(matches!(bus.subscribe::<Ticked>("late", Buffer::wait(1)), Err(Error::Stopped)));
}

#[tokio::test]
async fn an_event_proves_its_tenant_and_is_the_cause_of_what_follows() {
    let (bus, tenant) = (Bus::new(), a_tenant());
    let mut events = bus.subscribe::<Ticked>("events", Buffer::wait(10)).unwrap();
    bus.publish(&tenant, ticked("a", 1)).await.unwrap();
    let first = events.next().await.unwrap();
    assert_eq!((first.context().tenant(), first.causation), (tenant.context().tenant(), None));
    bus.publish(&first, ticked("a", 2)).await.unwrap();
    let second = events.next().await.unwrap();
    assert_eq!(second.causation, Some(first.id.as_uuid()));
    assert_eq!(second.context().correlation(), first.context().correlation());
}

#[tokio::test]
async fn what_breaks_its_rules_is_not_published() {
    let bus = Bus::new();
    let refused = bus.publish(&a_tenant(), ticked("a", 0)).await.unwrap_err().to_string();
    assert_eq!(refused, "event `bus.ticked` can't be published: `n` breaks the rule `range`");
}

#[tokio::test]
async fn a_consumer_of_the_log_runs_unchanged() {
    let world = World::new().await;
    let bus = Bus::new();
    bus.consume("see", Buffer::wait(10), &world.db, (), see).unwrap();
    for n in 1..=3 {
        bus.publish(&world.tenant, Raised { key: "a".to_owned(), n }).await.unwrap();
    }
    until(async || world.seen("see", "a").await.len() == 3).await;
    assert_eq!(world.seen("see", "a").await, [1, 2, 3]);
    bus.stop().await;
}

#[tokio::test]
async fn a_handler_may_publish_in_a_transaction_of_the_event_s_tenant() -> Result<(), Failure> {
    let world = World::new().await;
    let bus = Bus::new();
    let mut raised = bus.subscribe::<Raised>("raised", Buffer::wait(1))?;
    bus.publish(&world.tenant, Raised { key: "a".to_owned(), n: 1 }).await?;
    let Some(received) = raised.next().await else { panic!("it was published") };
    let work = async |tx: &mut shared_db::TenantTx| tx.publish(crate::support::raised("b", 1)).await;
    world.db.tenant(&received).tx(work).await?;
    let relay = world.relay(crate::support::seeing()).await;
    world.settled().await;
    assert_eq!(world.seen("see", "b").await, [1]);
    relay.stop().await;
    Ok(())
}
