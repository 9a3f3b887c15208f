//! The subscriptions that replays are. What a relay brings of them is tested with relays.

use time::Duration;

use super::*;
use crate::fixture::Fixture;

#[tokio::test]
async fn a_replay_is_a_subscription_of_its_own() {
    let world = Fixture::new().await;
    world.publish("a", "0").await;
    world.subscriptions.replay("again").at_rate(5.0).await.unwrap();
    let status = world.subscriptions.subscription("again").status().await.unwrap().unwrap();
    assert_eq!((status.replay, status.ends, status.waiting, status.is_over()), (true, None, 1, false));
    let taken = world.subscriptions.replay("again").await.unwrap_err();
    assert!(taken.to_string().contains("there is a subscription `again` already"), "{taken}");
    assert!(world.subscriptions.subscription("again").retire().await.unwrap());
    world.subscriptions.replay("again").await.unwrap();
}

#[tokio::test]
async fn one_that_ends_takes_what_was_committed_then() {
    let world = Fixture::new().await;
    world.publish("a", "0").await;
    let writer = world.session().await;
    writer.run("begin").await;
    writer.run(&world.publishing("b", "0")).await;
    world.subscriptions.replay("again").until_now().await.unwrap();
    writer.run("commit").await;
    world.publish("c", "0").await;
    let status = async || world.subscriptions.subscription("again").status().await.unwrap().unwrap();
    assert_eq!((status().await.waiting, status().await.is_over()), (1, false));
    world.run("update shared_events.cursor set tick = (select ends from shared_events.subscription)").await;
    assert_eq!((status().await.waiting, status().await.is_over()), (0, true));
}

#[tokio::test]
async fn a_time_or_a_place_is_where_it_begins() {
    let world = Fixture::new().await;
    world.publish("a", "0").await;
    world.cut().await;
    let then = OffsetDateTime::now_utc() + Duration::milliseconds(1);
    tokio::time::sleep(std::time::Duration::from_millis(10)).await; // time itself is tested: a replay begins at one
    world.publish("b", "0").await;
    world.cut().await;
    world.publish("c", "0").await;
    let subscriptions = &world.subscriptions;
    let tick = async |which: &str| {
        let tick = format!("select {which}(tick) from shared_events.tick where tick > 0");
        world.text(&tick).await.parse().unwrap()
    };
    let (first, second) = (tick("min").await, tick("max").await);
    subscriptions.replay("since").since(then).await.unwrap();
    subscriptions.replay("place").from_place(Place::new(second, 1)).await.unwrap();
    subscriptions.replay("first").from_place(Place::new(first, 0)).await.unwrap();
    let waiting =
        async |name: &str| subscriptions.subscription(name).status().await.unwrap().unwrap().waiting;
    assert_eq!((waiting("since").await, waiting("place").await, waiting("first").await), (2, 2, 3));
    let filter = "select filter from shared_events.subscription where name = 'place'";
    assert_eq!(
        Filter::read(&world.text(filter).await),
        Some(Filter { from: Some((second, 1)), ..Filter::default() })
    );
    let forgotten = subscriptions.replay("none").from_place(Place::new(17, 1)).await.unwrap_err();
    assert!(forgotten.to_string().contains("the tick of 17-1 is forgotten"), "{forgotten}");
    assert_eq!(subscriptions.subscription("none").status().await.unwrap(), None);
}

#[tokio::test]
async fn what_is_out_of_bounds_is_refused() {
    let world = Fixture::new().await;
    let replay = |name: &str| world.subscriptions.replay(name);
    for refused in [
        replay("").await,
        replay("again").at_rate(0.0).await,
        replay("again").at_rate(f32::NAN).await,
        replay("again").at_rate(2e6).await,
        replay("again").key("a\0").await,
        replay("again").events((0..101).map(|n| n.to_string())).await,
    ] {
        assert!(matches!(refused, Err(Error::NotDone { .. })), "{refused:?}");
    }
    assert_eq!(world.subscriptions.status().await.unwrap(), []);
}
