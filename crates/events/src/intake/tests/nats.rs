use shared_devkit::{Nats, TestNats};

use async_nats::jetstream::consumer::{AckPolicy, pull};

use super::*;
use crate::intake::JetStreamGroup;
use crate::sink::{JetStream, tests::nats::context};

async fn connected(url: &str, name: &str) -> JetStream {
    JetStream::open(context(url).await, name).await.unwrap()
}

async fn of(namespace: &TestNats) -> JetStream {
    // Its name is part of the group's, which has at most 63 letters.
    connected(namespace.url(), namespace.prefix()).await
}

#[tokio::test]
async fn from_nats_each_event_has_its_effect_once_and_in_its_order() {
    let namespace = Nats::shared().await.unwrap().namespace().await.unwrap();
    each_event_has_its_effect_once_and_in_its_order(&of(&namespace).await).await;
}

#[tokio::test]
async fn from_nats_intakes_share_the_lanes_and_take_over() {
    let namespace = Nats::shared().await.unwrap().namespace().await.unwrap();
    intakes_share_the_lanes_and_take_over(&of(&namespace).await).await;
}

#[tokio::test]
async fn from_nats_a_poisoned_event_holds_up_its_key_alone() {
    let namespace = Nats::shared().await.unwrap().namespace().await.unwrap();
    a_poisoned_event_holds_up_its_key_alone(&of(&namespace).await).await;
}

#[tokio::test]
async fn from_nats_an_event_of_a_newer_version_waits_for_who_knows_it() {
    let namespace = Nats::shared().await.unwrap().namespace().await.unwrap();
    an_event_of_a_newer_version_waits_for_who_knows_it(&of(&namespace).await).await;
}

#[tokio::test]
async fn a_broker_that_is_killed_is_read_on_when_it_is_back() {
    let mut server = Nats::exclusive().await.unwrap();
    let broker = connected(server.url(), "events").await;
    let (there, published) = (There::new().await, Published::new(10));
    let intake = there.intake(broker.clone()).await;
    published.send(&broker).await;
    there.has_seen(1).await;
    server.kill().await.unwrap();
    server.start().await.unwrap();
    there.has_seen(published.count()).await;
    intake.stop().await;
    assert_eq!(there.seen().await, published.expected);
}

/// Without the id by which the broker would know it, as from a publisher that tries again after its window.
#[tokio::test]
async fn what_the_broker_has_twice_has_its_effect_once() {
    let namespace = Nats::shared().await.unwrap().namespace().await.unwrap();
    let (broker, there, published) = (of(&namespace).await, There::new().await, Published::new(5));
    published.send(&broker).await;
    for sequence in 1..=published.count() as u64 {
        let message = broker.stream.get_raw_message(sequence).await.unwrap();
        let mut headers = async_nats::HeaderMap::new();
        for (name, values) in
            message.headers.iter().filter(|(name, _)| !name.to_string().starts_with("Nats-"))
        {
            values.iter().for_each(|value| headers.append(name.clone(), value.clone()));
        }
        let again =
            broker.context.publish_with_headers(message.subject, headers, message.payload).await.unwrap();
        assert!(!again.await.unwrap().duplicate);
    }
    let intake = there.intake(broker.clone()).await;
    // What comes behind the copies: they were all read.
    let tenant = TenantId::from_uuid(Uuid::from_u128(9));
    for lane in published.lanes.keys() {
        let last = broker.last(*lane).await.unwrap();
        let next = raised(*lane, tenant, &format!("of {lane}"), 1, Place::new(11, 10_000));
        assert_eq!(broker.send(*lane, last, &[next]).await.count, 1);
    }
    there.has_seen(published.count() + published.lanes.len()).await;
    intake.stop().await;
    let mut seen = there.seen().await;
    seen.retain(|(of, _), _| *of != tenant);
    assert_eq!(seen, published.expected);
}

/// Its messages have numbers that others had before.
#[tokio::test]
async fn a_stream_that_was_made_anew_is_read_from_its_start() {
    let server = Nats::exclusive().await.unwrap();
    let broker = connected(server.url(), "events").await;
    let (there, published) = (There::new().await, Published::new(3));
    published.send(&broker).await;
    let intake = there.intake(broker.clone()).await;
    there.has_seen(published.count()).await;
    intake.stop().await;

    broker.context.delete_stream("events").await.unwrap();
    let broker = connected(server.url(), "events").await;
    let more = Published::new(6);
    more.send(&broker).await;
    let intake = there.intake(broker).await;
    there.has_seen(more.count()).await;
    intake.stop().await;
    assert_eq!(there.seen().await, more.expected);
}

#[tokio::test]
async fn of_a_nats_group_each_event_has_its_effect_once() {
    let namespace = Nats::shared().await.unwrap().namespace().await.unwrap();
    let (broker, published) = (of(&namespace).await, Published::new(5));
    published.send(&broker).await;
    let short = pull::Config {
        durable_name: Some("seers".to_owned()),
        filter_subject: format!("{}.*", namespace.prefix()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::from_millis(500),
        ..pull::Config::default()
    };
    broker.stream.create_consumer(short).await.unwrap();
    let filter = format!("{}.*", namespace.prefix());
    let open = async || {
        JetStreamGroup::open(broker.context.clone(), namespace.prefix(), &filter, "seers").await.unwrap()
    };
    let unacknowledged = async || broker.stream.consumer_info("seers").await.unwrap().num_ack_pending;
    each_event_of_a_group_has_its_effect_once(&published, open, unacknowledged).await;
}

#[tokio::test]
async fn of_a_nats_group_a_poisoned_event_holds_up_its_key_alone() {
    let namespace = Nats::shared().await.unwrap().namespace().await.unwrap();
    let (broker, published) = (of(&namespace).await, Published::new(4));
    published.send(&broker).await;
    let filter = format!("{}.*", namespace.prefix());
    let open = async || {
        JetStreamGroup::open(broker.context.clone(), namespace.prefix(), &filter, "seers").await.unwrap()
    };
    a_poisoned_event_of_a_group_holds_up_its_key_alone(&published, open).await;
}

#[tokio::test]
async fn what_a_nats_group_could_not_do_is_done_soon_all_the_same() {
    let namespace = Nats::shared().await.unwrap().namespace().await.unwrap();
    let (broker, published) = (of(&namespace).await, Published::new(4));
    published.send(&broker).await;
    let filter = format!("{}.*", namespace.prefix());
    let open = async || {
        JetStreamGroup::open(broker.context.clone(), namespace.prefix(), &filter, "seers").await.unwrap()
    };
    what_a_group_could_not_do_is_done_soon(&published, open).await;
}

#[tokio::test]
async fn a_nats_group_is_paused_and_resumed() {
    let namespace = Nats::shared().await.unwrap().namespace().await.unwrap();
    let (broker, published) = (of(&namespace).await, Published::new(4));
    let filter = format!("{}.*", namespace.prefix());
    let open = async || {
        JetStreamGroup::open(broker.context.clone(), namespace.prefix(), &filter, "seers").await.unwrap()
    };
    let add = async || published.send(&broker).await;
    a_group_is_paused_and_resumed(&published, open, add, published.count()).await;
}

/// While it is there nothing is sent behind it; what comes then has a later number.
#[tokio::test]
async fn what_is_no_event_is_passed_by_and_what_comes_when_it_is_taken_out_is_read() {
    let namespace = Nats::shared().await.unwrap().namespace().await.unwrap();
    let (broker, there, lane) = (of(&namespace).await, There::new().await, Lane::new(0).unwrap());
    let tenant = TenantId::from_uuid(Uuid::from_u128(1));
    let one = |n: i64| [raised(lane, tenant, "0", n, Place::new(n, 1))];
    assert_eq!(broker.send(lane, None, &one(1)).await.count, 1);
    let first = Some(Place::new(1, 1));
    let said = broker.context.publish(broker.subject(lane), "hello".into()).await.unwrap().await.unwrap();
    let intake = there.intake(broker.clone()).await;
    there.has_seen(1).await;
    assert_eq!(broker.send(lane, first, &one(2)).await.count, 0);
    broker.stream.delete_message(said.sequence).await.unwrap();
    assert_eq!(broker.send(lane, first, &one(2)).await.count, 1);
    there.has_seen(2).await;
    intake.stop().await;
}
