use std::time::Duration;

use super::{LOOK, cursor_at, cut, prune};
use crate::Place;
use crate::fixture::Fixture;

/// Else an idle relay would use up the server's ids, and its own looks would move every snapshot.
#[tokio::test]
async fn an_idle_look_draws_no_transaction_id() {
    let world = Fixture::new().await;
    world.run("begin").await;
    world.run(&format!("prepare look as {}", LOOK.sql())).await;
    world.run("execute look (0, 'main', '{0,1,2,3}', 16)").await;
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
    let back = cursor_at(&world.db, None, rewind).await.unwrap().unwrap();
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
    let at = async |tick| cursor_at(&world.db, Some(Place::new(tick, 1)), Duration::ZERO).await.unwrap();
    assert!(at(i64::MAX - 1).await.is_none());
    assert!(at(before + 1000).await.unwrap().is_raised);
    cut(&world.db).await.unwrap();
    assert!(newest().await > before + 1000);
}
