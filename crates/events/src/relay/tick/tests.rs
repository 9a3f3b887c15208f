use std::time::Duration;

use super::{LOOK, Whose, cursor_at, cut, prune, raise};
use crate::fixture::Fixture;
use crate::relay::machine::{Cursor, Taken};
use crate::relay::read::Log;
use crate::{Lane, ParkedFilter, Place};

/// Else an idle relay would use up the server's ids, and its own looks would move every snapshot.
#[tokio::test]
async fn an_idle_look_draws_no_transaction_id() {
    let world = Fixture::new().await;
    world.run("begin").await;
    world.run(&format!("prepare look as {}", LOOK.sql())).await;
    world.run("execute look (0, 'main', '{0,1,2,3}', 16, 0)").await;
    assert_eq!(world.text("pg_current_xact_id_if_assigned() is null").await, "true");
    world.run("rollback").await;
}

/// Else keys behind which a million events wait would hold up everybody's ticks.
#[tokio::test]
async fn a_tick_takes_so_many_of_what_is_due_again_and_of_each_key_the_first() {
    let world = Fixture::new().await;
    world.run("insert into shared_events.subscription (name, kind) values ('out', 'sink')").await;
    for key in ["a", "b"] {
        world.park("out", key, "too ugly", 599).await;
    }
    world
        .run("update shared_events.parked set state = 'retrying', next_at = now() where state = 'dead'")
        .await;
    let stamped = async || {
        let first = "select key, count(*) as count, max(nth) as last
            from (select key, tick, row_number() over (partition by key order by pos) as nth from shared_events.parked) as parked
           where tick is not null group by key";
        world.text(&format!("select string_agg(count || ' to the ' || last || 'th', ', ' order by key) from ({first}) as first")).await
    };
    cut(&world.db).await.unwrap();
    assert_eq!(stamped().await, "600 to the 600th, 400 to the 400th");
}

/// A lane that goes back stands there in memory alone at first, while time goes on.
#[tokio::test]
async fn a_tick_that_was_gone_back_to_is_kept_until_the_cursor_can_be_written_there() {
    let (world, rewind) = (Fixture::new().await, Duration::from_secs(1000));
    world.subscribe("main").await;
    for _ in 0..3 {
        world.cut().await;
    }
    world.pass("main").await;
    let ages = "update shared_events.tick set at = clock_timestamp() - make_interval(secs => aged.age)
                  from (select tick, (array[1010, 970, 10, 0])[row_number() over (order by tick)] as age
                          from shared_events.tick where tick > 0) as aged
                 where tick.tick = aged.tick";
    world.run(ages).await;
    let back = cursor_at(&world.db, None, rewind).await.unwrap();
    let oldest = "select min(tick) from shared_events.tick where tick > 0";
    assert_eq!(world.text(oldest).await, back.cursor.passed.to_string());
    world.run("update shared_events.tick set at = at - interval '50 seconds'").await;
    prune(&world.db, rewind).await.unwrap();
    assert_eq!(world.text(oldest).await, back.cursor.passed.to_string());
    // For ever it is not.
    world.run("update shared_events.tick set at = at - interval '100 seconds'").await;
    prune(&world.db, rewind).await.unwrap();
    assert_ne!(world.text(oldest).await, back.cursor.passed.to_string());
}

/// Else the numbers of the ticks would come to their end.
#[tokio::test]
async fn no_place_is_made_room_for_that_no_clock_can_have_reached() {
    let world = Fixture::new().await;
    world.cut().await;
    let newest =
        async || world.text("select max(tick) from shared_events.tick").await.parse::<i64>().unwrap();
    let before = newest().await;
    assert!(!raise(&world.db, i64::MAX - 1).await.unwrap());
    assert!(raise(&world.db, before + 1000).await.unwrap());
    cut(&world.db).await.unwrap();
    assert!(newest().await > before + 1000);
}

/// What is stamped may be sent before it is thrown away, and before what it waits behind.
const NO_STAMPS: &str = "
    create function public.refuse() returns trigger language plpgsql as 'begin raise exception ''it is being discarded''; end';
    create trigger refuse before update on shared_events.parked for each row
        when (new.tick is not null) execute function public.refuse()";

/// An operator throws a key away while a tick is made that takes what is due: some behind it at once, or more, step by step.
#[tokio::test]
async fn what_is_being_discarded_is_not_stamped() {
    for followers in [2, 2500] {
        let world = Fixture::new().await;
        world.run("insert into shared_events.subscription (name, kind) values ('out', 'sink')").await;
        world.park("out", "a", "too ugly", followers).await;
        world
            .run("update shared_events.parked set state = 'retrying', next_at = now() where state = 'dead'")
            .await;
        world.run(NO_STAMPS).await;
        // Somebody has the last that waits, so the step stands still behind its locks.
        let other = world.session().await;
        other.run("begin; select from shared_events.parked order by pos desc limit 1 for update").await;
        let wait = async |count: u32| {
            let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
            while world.text(waiting).await != count.to_string() {
                tokio::task::yield_now().await;
            }
        };
        let cutting = async {
            wait(1).await;
            let go_on = async {
                wait(2).await;
                other.run("rollback").await;
            };
            tokio::join!(cut(&world.db), go_on).0.unwrap();
        };
        let which = ParkedFilter::new();
        let (discarded, ()) = tokio::join!(world.subscriptions.discard_keys(&which, "no use", 1), cutting);
        assert_eq!(discarded.unwrap(), u64::from(followers) + 1);
        let left = "select count(*) from shared_events.parked where state <> 'sent'";
        assert_eq!(world.text(left).await, "0");
    }
}

/// Nothing else is known of it where its parked row is gone; where the sink was seen before it, somebody else has written it.
#[tokio::test]
async fn an_event_of_an_earlier_batch_is_known_where_a_lane_begins() {
    let world = Fixture::new().await;
    world.cut().await;
    world.publish("a", "0").await;
    world.cut().await;
    world.cut().await;
    let number = async |sql| world.text(sql).await.parse::<i64>().unwrap();
    let place = Place::new(
        number("select max(tick) from shared_events.tick").await,
        number("select pos from shared_events.log").await,
    );
    let lane = Lane::new(number("select lane from shared_events.log").await.try_into().unwrap()).unwrap();
    let back = cursor_at(&world.db, Some(place), Duration::from_secs(60)).await.unwrap();
    let log = Log { db: &world.db, subscription: "main" };
    let whose = async |lane, floor| {
        let taken = Taken { grant: 1, cursor: Cursor::default(), floor };
        back.whose(log, lane, place, (taken, None)).await.unwrap()
    };
    assert_eq!(whose(lane, None).await, Whose::Ours);
    assert_eq!(whose(lane, Some(Place::new(1, 1))).await, Whose::Foreign);
    let other = Lane::all().find(|other| *other != lane).unwrap();
    assert_eq!(whose(other, None).await, Whose::Foreign);
}

/// Whoever is held up behind it would be let go by the clock alone.
#[tokio::test]
async fn a_place_ahead_of_a_lane_is_no_event_of_the_log_when_later_ticks_are_made() {
    let world = Fixture::new().await;
    world.cut().await;
    let newest =
        async || world.text("select max(tick) from shared_events.tick").await.parse::<i64>().unwrap();
    let (passed, log) = (newest().await, Log { db: &world.db, subscription: "main" });
    let (known, place) = (Place::new(passed, 1), Place::new(passed + 1, 1));
    world.run(&format!("select setval('shared_events.tick_seq', {})", place.tick)).await;
    world.cut().await;
    assert!(newest().await > place.tick);
    let back = cursor_at(&world.db, Some(place), Duration::from_secs(60)).await.unwrap();
    let whose = async |floor, since| {
        let taken = Taken { grant: 1, cursor: Cursor { passed, pos: 0 }, floor };
        back.whose(log, Lane::FIRST, place, (taken, since)).await.unwrap()
    };
    assert_eq!(whose(Some(known), None).await, Whose::Foreign);
    assert_eq!(whose(None, Some(place)).await, Whose::Foreign, "so it was when the lane was held before");
    assert_eq!(whose(Some(place), None).await, Whose::Unknown, "the relay has brought it there itself");
    assert_eq!(whose(None, None).await, Whose::Unknown);
}
