//! Failures: retries, parking, redrive.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared_core::{Context, Failure, InTenant as _};
use shared_db::{TenantTx, statements};
use shared_events::{Config, Error, Events, FromDelivery, Received, Relay, backlog, parked};
use tokio::sync::Notify;

use crate::support::{Raised, World, quick, see, until};

/// What goes wrong, by the counter's value, and how often.
#[derive(Clone, Default)]
struct Faults {
    at: Arc<Mutex<HashMap<i64, (Fault, u32)>>>,
    /// A consumer waits between the two.
    waiting: Arc<Notify>,
    go_on: Arc<Notify>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Fail,
    Dead,
    Panic,
    Hang,
    Wait,
}

impl Faults {
    fn at(n: i64, fault: Fault, times: u32) -> Self {
        let faults = Self::default();
        faults.set(n, fault, times);
        faults
    }

    fn set(&self, n: i64, fault: Fault, times: u32) {
        self.at.lock().unwrap().insert(n, (fault, times));
    }

    fn next(&self, n: i64) -> Option<Fault> {
        let mut faults = self.at.lock().unwrap();
        let (fault, times) = faults.get_mut(&n).filter(|(_, times)| *times > 0)?;
        *times -= 1;
        Some(*fault)
    }

    fn heal(&self) {
        self.at.lock().unwrap().clear();
    }
}

impl FromDelivery<Faults> for Faults {
    fn from_delivery(_: &Context, state: &Faults) -> Self {
        state.clone()
    }
}

/// Fails for the key `bad`, after it has written.
async fn faulty(tx: &mut TenantTx, raised: Received<Raised>, faults: Faults) -> Result<(), Failure> {
    let fault = if raised.key == "bad" { faults.next(raised.n) } else { None };
    see(tx, raised).await?;
    match fault {
        None => Ok(()),
        Some(Fault::Fail) => Err(Failure::new("the disk said no")),
        Some(Fault::Dead) => Err(Failure::dead("it will never work")),
        Some(Fault::Panic) => panic!("a consumer's bug, as ordered by the test"),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Wait) => {
            faults.waiting.notify_one();
            faults.go_on.notified().await;
            Ok(())
        }
    }
}

async fn start(world: &World, faults: &Faults, config: Config) -> Relay {
    let events = Events::new().handle("faulty", faulty);
    Relay::start(world.db.clone(), faults.clone(), events, config).await.unwrap()
}

#[tokio::test]
async fn a_consumer_that_fails_is_tried_again() {
    for fault in [Fault::Fail, Fault::Panic, Fault::Hang] {
        let world = World::new().await;
        let limit = Duration::from_millis(if fault == Fault::Hang { 250 } else { 10_000 });
        let config = Config { attempt_timeout: limit, attempts: 100, ..quick() };
        let relay = start(&world, &Faults::at(2, fault, 3), config).await;
        for _ in 0..4 {
            world.raise("bad").await;
        }
        world.settled().await;
        assert_eq!(world.seen("see", "bad").await, [1, 2, 3, 4]);
        assert_eq!(backlog(&world.db).await.unwrap().parked, 0);
        assert!(relay.is_running());
        relay.stop().await;
    }
}

#[tokio::test]
async fn what_keeps_failing_is_parked_with_its_key_alone_and_redriven_in_order() {
    let world = World::new().await;
    let faults = Faults::at(2, Fault::Fail, u32::MAX);
    let relay = start(&world, &faults, quick()).await;
    for _ in 0..5 {
        world.raise("bad").await;
        world.raise("good").await;
    }
    world.settled().await;
    assert_eq!(world.seen("see", "bad").await, [1]);
    assert_eq!(world.seen("see", "good").await, [1, 2, 3, 4, 5]);

    let aside = parked(&world.db, 10).await.unwrap();
    let reasons: Vec<_> = aside.iter().map(|one| (one.reason.as_deref(), one.attempts)).collect();
    assert_eq!(reasons, [(Some("the disk said no"), 5), (None, 0), (None, 0), (None, 0)]);
    assert!(aside.iter().all(|one| one.tenant == world.tenant.context().tenant()));
    assert!(
        aside
            .iter()
            .all(|one| (&*one.consumer, &*one.event, &*one.key) == ("faulty", "counter.raised", "bad"))
    );

    // As long as it fails, nothing behind it runs.
    assert_eq!(relay.redrive("faulty").await.unwrap(), 1);
    world.settled().await;
    world.raise("bad").await;
    world.settled().await;
    assert_eq!(backlog(&world.db).await.unwrap().parked, 5);
    assert_eq!(world.seen("see", "bad").await, [1]);

    // A key that gets on and then fails is parked again, by the next one.
    faults.heal();
    faults.set(4, Fault::Fail, u32::MAX);
    assert_eq!(relay.redrive("faulty").await.unwrap(), 1);
    world.settled().await;
    assert_eq!(world.seen("see", "bad").await, [1, 2, 3]);
    assert_eq!(backlog(&world.db).await.unwrap().parked, 3);

    faults.heal();
    assert_eq!(relay.redrive("faulty").await.unwrap(), 1);
    world.settled().await;
    world.raise("bad").await;
    world.settled().await;
    assert_eq!(world.seen("see", "bad").await, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(backlog(&world.db).await.unwrap().parked, 0);
    relay.stop().await;
}

/// Writers of a key that share no lock: one draws its position, and commits when the next event of the key is parked.
#[tokio::test]
async fn an_earlier_position_that_comes_late_holds_up_no_redrive() {
    let world = World::new().await;
    let faults = Faults::at(1, Fault::Dead, 1);
    let relay = start(&world, &faults, quick()).await;
    let mut superuser = world.superuser().await;
    let slow = superuser.transaction().await.unwrap();
    let tenant = world.tenant.context().tenant();
    let context = serde_json::to_string(world.tenant.context()).unwrap();
    let publish = format!(
        "insert into shared_events.log (lane, id, tenant_id, name, version, key, payload, context)
         values (shared_events.lane_of('{tenant}', 'bad'), gen_random_uuid(), '{tenant}', 'counter.raised', 1, 'bad', '{{\"key\":\"bad\",\"n\":100}}', '{context}')"
    );
    slow.batch_execute(&publish).await.unwrap();
    world.raise("bad").await;
    world.settled().await;
    slow.commit().await.unwrap();
    until(async || backlog(&world.db).await.unwrap().parked == 2).await;
    assert_eq!(relay.redrive("faulty").await.unwrap(), 1);
    until(async || world.seen("see", "bad").await == [1, 100]).await;
    assert_eq!(backlog(&world.db).await.unwrap().parked, 0);
    relay.stop().await;
}

#[tokio::test]
async fn a_redrive_beside_arriving_events_and_another_redrive_keeps_the_order() {
    let world = World::new().await;
    let faults = Faults::at(1, Fault::Dead, 1);
    let relay = start(&world, &faults, quick()).await;
    world.raise("bad").await;
    world.settled().await;
    for _ in 1..10 {
        world.raise("bad").await;
    }
    world.settled().await;
    assert_eq!(backlog(&world.db).await.unwrap().parked, 10);
    let arriving = async {
        for _ in 0..40 {
            world.raise("bad").await;
        }
    };
    let (one, other, ()) = tokio::join!(relay.redrive("faulty"), relay.redrive("faulty"), arriving);
    assert!(one.unwrap() + other.unwrap() >= 1);
    world.settled().await;
    // Nothing was parked behind a key that the redrive had emptied.
    assert_eq!(world.seen("see", "bad").await, Vec::from_iter(1..=50));
    assert_eq!(backlog(&world.db).await.unwrap().parked, 0);
    relay.stop().await;
}

#[tokio::test]
async fn an_event_that_arrives_during_a_retry_waits_for_its_end() {
    let world = World::new().await;
    let faults = Faults::at(1, Fault::Dead, 1);
    let relay = start(&world, &faults, Config { lease: Duration::from_secs(10), ..quick() }).await;
    world.raise("bad").await;
    world.settled().await;
    faults.set(1, Fault::Wait, 1);
    relay.redrive("faulty").await.unwrap();
    faults.waiting.notified().await;
    world.raise("bad").await;
    let superuser = world.superuser().await;
    let blocked = "select exists (select 1 from pg_stat_activity
                                   where datname = current_database() and wait_event_type = 'Lock')";
    until(async || superuser.query_one(blocked, &[]).await.unwrap().get(0)).await;
    faults.go_on.notify_one();
    world.settled().await;
    // The second was not parked behind a key that was free by then.
    assert_eq!(world.seen("see", "bad").await, [1, 2]);
    assert_eq!(backlog(&world.db).await.unwrap().parked, 0);
    relay.stop().await;
}

#[tokio::test]
async fn a_failure_holds_up_no_other_key_of_its_lane() {
    let world = World::new().await;
    let faults = Faults::at(1, Fault::Fail, u32::MAX);
    let config =
        Config { retry_first: Duration::from_mins(1), retry_longest: Duration::from_mins(1), ..quick() };
    let relay = start(&world, &faults, config).await;
    let beside = world.key_beside("bad").await;
    for _ in 0..3 {
        world.raise("bad").await;
        world.raise(&beside).await;
    }
    // The next attempt at the bad one is a minute away.
    until(async || world.seen("see", &beside).await == [1, 2, 3]).await;
    assert_eq!(world.seen("see", "bad").await, Vec::<i64>::new());
    // Cursors are written some moments later.
    until(async || backlog(&world.db).await.unwrap().waiting == 3).await;
    relay.stop().await;
}

#[tokio::test]
async fn what_no_attempt_can_mend_is_parked_at_once() {
    let world = World::new().await;
    let relay = start(&world, &Faults::at(1, Fault::Dead, 1), quick()).await;
    world.raise("bad").await;
    world.settled().await;
    let aside = parked(&world.db, 10).await.unwrap();
    assert_eq!((aside[0].reason.as_deref(), aside[0].attempts), (Some("it will never work"), 1));
    relay.stop().await;
}

statements! {
    const APPEND: Statement<(i32, String, String), ()> = "
        insert into shared_events.log (lane, id, tenant_id, name, version, key, payload, context)
        values (shared_events.lane_of($tenant, 'key ' || $1::int4), gen_random_uuid(), $tenant, 'counter.raised', $1::int4, 'key ' || $1::int4, $2::text::json, $3::text::json)";
}

#[tokio::test]
async fn what_can_t_be_read_is_parked_and_shows_nothing_of_its_payload() {
    let world = World::new().await;
    let relay = start(&world, &Faults::default(), quick()).await;
    let context = r#"{"actor": "test", "correlation": "test"}"#;
    let fits = r#"{"key": "secret", "n": 1}"#;
    for (version, payload, context) in [
        (2, fits, context),
        (1, r#"{"key": "secret", "n": "secret"}"#, context),
        (1, fits, r#"{"actor": "secret"}"#),
    ] {
        world.db.tenant(&world.tenant).execute(&APPEND, (version, payload, context)).await.unwrap();
        // Not in one batch, or the third would only wait behind the second.
        until(async || backlog(&world.db).await.unwrap().waiting == 0).await;
        world
            .superuser()
            .await
            .batch_execute("update shared_events.parked set key = pos::text")
            .await
            .unwrap();
    }
    let reasons: Vec<String> =
        parked(&world.db, 10).await.unwrap().into_iter().filter_map(|one| one.reason).collect();
    assert_eq!(reasons.len(), 3);
    assert_eq!(
        reasons[0],
        "its version 2 is newer than 1, which this program reads; redrive it once a newer one runs"
    );
    assert!(reasons[1].starts_with("its payload does not fit the event's fields"));
    assert_eq!(reasons[2], "its context can't be read");
    assert!(!reasons.concat().contains("secret"));
    relay.stop().await;
}

#[tokio::test]
async fn only_this_program_s_consumers_can_be_redriven() {
    let world = World::new().await;
    let relay = start(&world, &Faults::default(), quick()).await;
    let refused = relay.redrive("somebody").await.unwrap_err();
    assert!(matches!(refused, Error::UnknownConsumer { .. }));
    relay.stop().await;
}
