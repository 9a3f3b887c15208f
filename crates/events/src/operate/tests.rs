//! Operating, on rows as relays and consumers leave them.

use std::time::Duration;

use shared_core::TenantId;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::*;
use crate::fixture::Fixture;

#[tokio::test]
async fn a_subscription_says_how_far_behind_it_is_and_who_works_on_it() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    world.publish("a", "1 hour").await;
    world.publish("b", "0").await;
    world.park("main", "c", "no", 2).await;
    world.relay("main", "{}").await;
    let main = world.subscriptions.subscription("main");
    let status = main.status().await.unwrap().unwrap();
    assert_eq!((status.waiting, status.parked, status.dead), (2, 3, 1));
    assert_eq!((status.relays, status.held, status.kind, status.paused), (1, 16, Kind::Consumers, false));
    assert!((3600..3660).contains(&status.oldest.unwrap().as_secs()));
    let lanes = main.lanes().await.unwrap();
    assert_eq!((lanes.len(), lanes.iter().map(|lane| lane.waiting).sum::<u64>()), (16, 2));
    assert_eq!(lanes[0].holder.as_ref().unwrap().to_string(), "in process 4711 on box");

    world.pass("main").await;
    let status = main.status().await.unwrap().unwrap();
    assert_eq!((status.waiting, status.oldest), (0, None));
    assert_eq!(world.subscriptions.status().await.unwrap(), [status]);
    assert_eq!(world.subscriptions.subscription("other").status().await.unwrap(), None);
}

#[tokio::test]
async fn what_an_open_transaction_has_published_waits_once_it_commits() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    let writer = world.session().await;
    writer.run("begin").await;
    writer.run(&world.publishing("a", "0")).await;
    world.publish("b", "0").await;
    world.pass("main").await;
    let waiting = async || world.subscriptions.subscription("main").status().await.unwrap().unwrap().waiting;
    assert_eq!(waiting().await, 0);
    writer.run("commit").await;
    assert_eq!(waiting().await, 1, "it was open at the tick that the cursor is at");
    world.publish("c", "0").await;
    assert_eq!(waiting().await, 2);
}

#[tokio::test]
async fn of_a_batch_that_is_under_way_the_rest_waits() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    for _ in 0..5 {
        world.publish("a", "0").await;
    }
    world.cut().await;
    world.run("update shared_events.cursor set pos = (select min(pos) + 1 from shared_events.log)").await;
    assert_eq!(world.subscriptions.status().await.unwrap()[0].waiting, 3);
}

#[tokio::test]
async fn a_subscription_is_paused_resumed_and_retired() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    let main = world.subscriptions.subscription("main");
    let is_paused = async || main.status().await.unwrap().unwrap().paused;
    assert!(main.pause().await.unwrap() && is_paused().await);
    assert!(main.resume().await.unwrap() && !is_paused().await);
    world.park("main", "a", "no", 1).await;
    world.relay("main", "{}").await;
    let refused = main.retire().await.unwrap_err();
    assert!(refused.to_string().contains("1 relays work on `main`"), "{refused}");
    world.run("update shared_events.relay set expires = clock_timestamp()").await;
    assert!(main.retire().await.unwrap());
    let left = "select (select count(*) from shared_events.cursor) + (select count(*) from shared_events.parked)
                     + (select count(*) from shared_events.position) + (select count(*) from shared_events.relay)";
    assert_eq!(world.text(left).await, "0");
    for gone in [main.retire().await, main.pause().await, main.resume().await] {
        assert!(!gone.unwrap());
    }
    for name in ["", "two\nlines", &"x".repeat(64)] {
        let refused = world.subscriptions.subscription(name).pause().await;
        assert!(matches!(refused, Err(Error::NotDone { .. })), "{name}");
    }
}

#[tokio::test]
async fn parked_events_are_told_apart_and_come_in_pages() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    world.subscribe("other").await;
    world.park("main", "a", "timed out", 2).await;
    world.park("other", "b", "no such note", 0).await;
    let all = world.subscriptions.parked(&ParkedFilter::new(), 10).await.unwrap();
    assert_eq!((all.len(), all[0].state, all[1].state), (4, ParkedState::Dead, ParkedState::Waiting));
    assert_eq!(
        (all[0].attempts, all[0].reason.as_deref(), all[1].reason.as_deref()),
        (5, Some("timed out"), None)
    );
    let f = ParkedFilter::new;
    for (filter, expected) in [
        (f().subscription("main"), 3),
        (f().consumer("digest").tenant(world.tenant), 4),
        (f().tenant(TenantId::new()), 0),
        (f().key("a"), 3),
        (f().event("note.created").reason("such"), 1),
        (f().reason("%"), 0),
        (f().state(ParkedState::Waiting), 2),
        (f().key("a\0"), 0),
    ] {
        assert_eq!(world.subscriptions.parked(&filter, 10).await.unwrap().len(), expected, "{filter:?}");
    }
    let first = world.subscriptions.parked(&f(), 3).await.unwrap();
    let rest = world.subscriptions.parked(&f().after(&first[2]), 3).await.unwrap();
    assert_eq!([first, rest].concat(), all);
}

#[tokio::test]
async fn a_redrive_makes_the_first_of_each_key_due() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    for (key, reason) in [("a", "timed out"), ("b", "timed out"), ("c", "no such note")] {
        world.park("main", key, reason, 2).await;
    }
    let before = OffsetDateTime::now_utc();
    let some = world.subscriptions.redrive(ParkedFilter::new().reason("timed out")).await.unwrap();
    assert_eq!(some, 2);
    assert_eq!(
        (world.states("a").await, world.states("c").await),
        ("retrying waiting waiting".into(), "dead waiting waiting".into())
    );
    let due =
        world.subscriptions.parked(&ParkedFilter::new().state(ParkedState::Retrying), 10).await.unwrap();
    assert!(
        due.iter().all(|one| one.attempts == 0 && one.next_at.unwrap() >= before - Duration::from_secs(60))
    );
    // A key that somebody has in hand is being tried at this moment, and one with a stamp is on its way.
    let relay = world.session().await;
    relay.run("begin; select from shared_events.parked where key = 'c' for update").await;
    world.run("update shared_events.parked set tick = 0 where key = 'b'").await;
    assert_eq!(world.subscriptions.redrive(ParkedFilter::new()).await.unwrap(), 1);
    relay.run("rollback").await;
    assert_eq!(world.subscriptions.redrive(ParkedFilter::new()).await.unwrap(), 2);
}

#[tokio::test]
async fn a_redrive_keeps_its_rate_and_its_bound() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    for n in 0..25 {
        world.park("main", &n.to_string(), "no", 0).await;
    }
    let redrive = |filter| world.subscriptions.redrive(filter);
    assert_eq!(redrive(ParkedFilter::new()).most(5).await.unwrap(), 5);
    let start = Instant::now();
    assert_eq!(redrive(ParkedFilter::new()).at_rate(20).await.unwrap(), 25);
    assert!(start.elapsed() >= Duration::from_secs(1), "twenty at once, and five after a second");
    for rate in [0, 1_000_001] {
        assert!(matches!(redrive(ParkedFilter::new()).at_rate(rate).await, Err(Error::NotDone { .. })));
    }
}

#[tokio::test]
async fn what_is_discarded_is_recorded_and_what_waited_behind_it_goes_on() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    world.park("main", "a", "no", 2).await;
    world.park("main", "b", "no", 2).await;
    let a = ParkedFilter::new().key("a");
    assert_eq!(world.subscriptions.discard(&a, "a test note", u64::MAX).await.unwrap(), 1);
    assert_eq!(world.states("a").await, "retrying waiting", "the next one has its attempts before it");
    assert_eq!(world.subscriptions.discard(&a, "again", u64::MAX).await.unwrap(), 0, "it has not failed");
    assert_eq!(
        world.subscriptions.discard_keys(&ParkedFilter::new(), "all of it", u64::MAX).await.unwrap(),
        3
    );
    assert_eq!(world.states("b").await, "");
    let noted = "select string_agg(key || ':' || coalesce(reason, '-') || ':' || why, ' ' order by pos) from shared_events.discarded";
    assert_eq!(world.text(noted).await, "a:no:a test note b:no:all of it b:-:all of it b:-:all of it");
    for why in ["", &"x".repeat(1001)] {
        let refused = world.subscriptions.discard(&a, why, 1).await;
        assert!(matches!(refused, Err(Error::NotDone { .. })));
    }
}

/// As a part of a reason it is in every one: whoever lets a script's variable be empty would throw everything away.
#[tokio::test]
async fn an_empty_word_redrives_and_discards_nothing() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    world.park("main", "a", "no", 1).await;
    let f = ParkedFilter::new;
    for empty in [f().reason(""), f().subscription(""), f().consumer(""), f().key(""), f().event("").key("a")]
    {
        for refused in [
            world.subscriptions.redrive(empty.clone()).await,
            world.subscriptions.discard(&empty, "cleanup", 10).await,
            world.subscriptions.discard_keys(&empty, "cleanup", 10).await,
        ] {
            assert!(matches!(refused, Err(Error::NotDone { .. })), "{empty:?}: {refused:?}");
        }
    }
    assert_eq!(world.states("a").await, "dead waiting");
}

/// A step is a transaction: few enough events for its locks to last milliseconds, and no time-out to end it.
#[tokio::test]
async fn however_many_wait_behind_a_key_it_is_discarded_step_by_step() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    world.subscribe("sink").await;
    world.run("update shared_events.subscription set kind = 'sink' where name = 'sink'").await;
    for subscription in ["main", "sink"] {
        world.park(subscription, "many", "no", 2500).await;
        world.park(subscription, "few", "no", 2).await;
    }
    world
        .run("update shared_events.parked set state = 'retrying', next_at = 'infinity' where state = 'dead'")
        .await;
    // Somebody has the first that waits.
    let other = world.session().await;
    other.run("begin; select from shared_events.parked where subscription = 'main' and key = 'many' and state = 'waiting' order by pos limit 1 for update").await;
    let main = ParkedFilter::new().subscription("main");
    let blocked = "select exists (select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
    let look = async {
        while world.text(blocked).await != "true" {
            tokio::task::yield_now().await;
        }
        let state = "select state from shared_events.parked where subscription = 'main' and key = 'many' order by pos limit 1";
        assert_eq!(world.text(state).await, "dead", "it is not tried while those behind it go");
        other.run("rollback").await;
    };
    let (discarded, ()) = tokio::join!(world.subscriptions.discard_keys(&main, "no use", 10), look);
    assert_eq!(discarded.unwrap(), 2504);
    let sink = ParkedFilter::new().subscription("sink");
    assert_eq!(world.subscriptions.discard_keys(&sink, "no use", 10).await.unwrap(), 2504);
    let most =
        "select max(n) from (select count(*) as n from shared_events.discarded group by xmin::text) as step";
    assert!(world.text(most).await.parse::<u64>().unwrap() <= 1002);
    let later = "select count(*) from shared_events.discarded as head join shared_events.discarded as behind using (subscription, key)
                  where head.reason is not null and behind.xmin::text::bigint > head.xmin::text::bigint";
    assert_eq!(world.text(later).await, "0", "the first goes with the last step");
    assert_eq!(world.text("select count(*) from shared_events.parked where state <> 'sent'").await, "0");
}

/// A turn of the consumer parks one more event behind a key while it is thrown away.
#[tokio::test]
async fn an_event_that_is_parked_behind_a_discarded_one_is_not_left_behind() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    world.park("main", "a", "no", 0).await;
    let turn = world.session().await;
    turn.run("begin; select from shared_events.position for update").await;
    turn.run(
        "insert into shared_events.parked (tenant_id, subscription, consumer, lane, key, pos, event_id, name, state)
         select tenant_id, subscription, consumer, lane, key, pos + 1, gen_random_uuid(), name, 'waiting' from shared_events.parked",
    )
    .await;
    let filter = ParkedFilter::new();
    let commit = async {
        let blocked = "select exists (select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
        while world.text(blocked).await != "true" {
            tokio::task::yield_now().await;
        }
        turn.run("commit").await;
    };
    let (discarded, ()) = tokio::join!(world.subscriptions.discard(&filter, "no use", 10), commit);
    assert_eq!(discarded.unwrap(), 1);
    assert_eq!(world.states("a").await, "retrying");
}

#[tokio::test]
async fn a_lane_that_has_work_and_does_not_move_is_unhealthy() {
    let world = Fixture::new().await;
    let still = Duration::from_secs(60);
    for name in ["main", "paused", "moving"] {
        world.subscribe(name).await;
    }
    world.subscriptions.subscription("paused").pause().await.unwrap();
    let long_ago = "update shared_events.cursor set moved = clock_timestamp() - interval '1 hour' where subscription <> 'moving'";
    world.run(long_ago).await;
    assert!(world.subscriptions.health(still).await.unwrap().is_moving(), "there is nothing to do");
    world.publish("a", "0").await;
    assert!(world.subscriptions.health(still).await.unwrap().is_moving(), "it has only come");
    world.publish("a", "2 minutes").await;
    let health = world.subscriptions.health(still).await.unwrap();
    assert_eq!(
        health.stalled.iter().map(|one| (one.subscription.as_str(), one.waiting)).collect::<Vec<_>>(),
        [("main", 2)]
    );
    world.pass("main").await;
    assert!(world.subscriptions.health(still).await.unwrap().is_moving());
}
