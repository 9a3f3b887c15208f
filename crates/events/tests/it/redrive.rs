//! What comes back to a sink, of which it refuses some once more.

use shared_db::statements;
use shared_events::{ParkedFilter, Subscriptions, backlog};

use crate::memory::{InMemory, start};
use crate::support::{World, until};

statements! {
    const REFUSED_AGAIN: Statement<(), bool> = "
        select exists (select from shared_events.parked where state = 'dead' and attempts > 0 and pos > (select min(pos) from shared_events.parked))";
    const SENT: Statement<(), i64> = "select count(*) from shared_events.parked where state = 'sent'";
}

/// So many events of the key `bad` wait at the sink, which has refused the first of them and takes any now but the third.
async fn waiting(world: &World, sink: &InMemory, events: usize) -> Subscriptions {
    sink.with(|memory| memory.refused.insert("bad".to_owned()));
    let relay = start(world, sink).await;
    for _ in 0..events {
        world.raise("bad").await;
    }
    world.settled().await;
    assert_eq!(backlog(&world.db).await.unwrap().parked, events as u64);
    relay.stop().await;
    sink.with(|memory| {
        memory.refused.clear();
        memory.refused_at = Some(("bad".to_owned(), 3));
    });
    Subscriptions::new(&world.db)
}

#[tokio::test]
async fn what_the_sink_took_before_it_refused_the_next_of_the_key_is_not_sent_again() {
    let (world, sink) = (World::new().await, InMemory::default());
    let subscriptions = waiting(&world, &sink, 4).await;
    let relay = start(&world, &sink).await;
    assert_eq!(subscriptions.redrive(ParkedFilter::new()).await.unwrap(), 1);
    until(async || world.db.system().one(&SENT, ()).await.unwrap() >= 2).await;
    assert_eq!(sink.got("bad"), [1, 2]);

    // What comes now waits behind the third, as the fourth does.
    world.raise("bad").await;
    world.settled().await;
    assert_eq!((sink.got("bad"), backlog(&world.db).await.unwrap().parked), (vec![1, 2], 3));
    sink.with(|memory| memory.refused_at = None);
    assert_eq!(subscriptions.redrive(ParkedFilter::new()).await.unwrap(), 1);
    until(async || sink.got("bad").len() >= 5).await;
    world.settled().await;
    assert_eq!(sink.got("bad"), [1, 2, 3, 4, 5]);
    assert!(sink.is_in_order());
    relay.stop().await;
}

/// Before it has noted what the sink took: that is the last of the lane there, and the next relay has to know it.
#[tokio::test]
async fn what_the_sink_took_is_known_although_the_relay_ends_behind_what_it_refused() {
    let (world, sink) = (World::new().await, InMemory::default());
    let beside = world.key_beside("bad").await;
    let subscriptions = waiting(&world, &sink, 4).await;
    assert_eq!(subscriptions.redrive(ParkedFilter::new()).await.unwrap(), 1);
    // It comes behind them in one batch, and keeps the relay from the end of that.
    world.raise(&beside).await;
    sink.with(|memory| memory.down_behind = true);
    let relay = start(&world, &sink).await;
    until(async || world.db.system().one(&REFUSED_AGAIN, ()).await.unwrap()).await;
    drop(relay);
    sink.with(|memory| (memory.down, memory.down_behind) = (0, false));
    let relay = start(&world, &sink).await;
    until(async || sink.got(&beside) == [1]).await;
    world.settled().await;
    assert_eq!((sink.got("bad"), backlog(&world.db).await.unwrap().parked), (vec![1, 2], 2));
    assert!(sink.is_in_order());
    relay.stop().await;
}

/// The sink has it at the place to which it came back, which its parked row alone said.
#[tokio::test]
async fn what_came_back_is_known_to_a_subscription_that_begins_anew() {
    let (world, sink) = (World::new().await, InMemory::default());
    let subscriptions = waiting(&world, &sink, 2).await;
    let relay = start(&world, &sink).await;
    subscriptions.redrive(ParkedFilter::new()).await.unwrap();
    until(async || sink.got("bad") == [1, 2]).await;
    world.settled().await;
    relay.stop().await;
    assert!(subscriptions.subscription("memory").retire().await.unwrap());
    sink.with(|memory| memory.refused_at = None);
    let relay = start(&world, &sink).await;
    world.raise("bad").await;
    until(async || sink.got("bad").len() > 2).await;
    assert_eq!(sink.got("bad"), [1, 2, 3]);
    assert!(sink.is_in_order());
    relay.stop().await;
}
