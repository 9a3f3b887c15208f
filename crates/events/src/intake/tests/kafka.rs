use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;
use crate::intake::{KafkaGroup, unread};
use crate::sink::kafka::PATIENCE;
use crate::sink::tests::kafka::Brokers;

#[tokio::test]
async fn from_kafka_each_event_has_its_effect_once_and_in_its_order() {
    let brokers = Brokers::start();
    each_event_has_its_effect_once_and_in_its_order(&brokers.topic().await).await;
}

#[tokio::test]
async fn from_kafka_intakes_share_the_lanes_and_take_over() {
    let brokers = Brokers::start();
    intakes_share_the_lanes_and_take_over(&brokers.topic().await).await;
}

#[tokio::test]
async fn from_kafka_a_poisoned_event_holds_up_its_key_alone() {
    let brokers = Brokers::start();
    a_poisoned_event_holds_up_its_key_alone(&brokers.topic().await).await;
}

#[tokio::test]
async fn from_kafka_an_event_of_a_newer_version_waits_for_who_knows_it() {
    let brokers = Brokers::start();
    an_event_of_a_newer_version_waits_for_who_knows_it(&brokers.topic().await).await;
}

/// What a relay that has lost its lane brings behind later ones is known.
#[tokio::test]
async fn what_is_there_twice_has_its_effect_once() {
    let brokers = Brokers::start();
    let (topic, published) = (brokers.topic().await, Published::new(20));
    published.send(&topic).await;
    for (lane, events) in &published.lanes {
        // It has looked before there was anything.
        assert_eq!(topic.bring(*lane, &events[7..]).await.count, events.len() - 7);
        assert_eq!(brokers.end(*lane), 2 * events.len() as i64 - 7);
    }
    let there = There::new().await;
    let intake = there.intake(topic.clone()).await;
    there.has_seen(published.count()).await;
    until(async || unread(&there.db, &topic, &quick()).await.unwrap().waiting == 0).await;
    intake.stop().await;
    assert_eq!(there.seen().await, published.expected);
}

#[tokio::test]
async fn brokers_that_go_and_come_back_are_read_on() {
    let brokers = Brokers::start();
    let topic = brokers.topic().await;
    let (there, published) = (There::new().await, Published::new(10));
    let intake = there.intake(topic.clone()).await;
    published.send(&topic).await;
    there.has_seen(1).await;
    brokers.cluster.request_errors(
        RDKafkaApiKey::Fetch,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT, RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN],
    );
    brokers.cluster.broker_down(-1).unwrap();
    brokers.cluster.broker_up(-1).unwrap();
    there.has_seen(published.count()).await;
    intake.stop().await;
    assert_eq!(there.seen().await, published.expected);
}

async fn send(brokers: &Brokers, times: i64) -> Published {
    let published = Published::new(times);
    published.send(&brokers.topic().await).await;
    published
}

/// A reader of a group in which nobody waits for long until all have come or gone.
fn open(brokers: &Brokers) -> KafkaGroup {
    let mut config = brokers.config.clone();
    config.set("heartbeat.interval.ms", "200").set("session.timeout.ms", "6000");
    KafkaGroup::open(config, "events", "seers").unwrap()
}

/// The first that it is given, after it has joined.
async fn first(group: &KafkaGroup, most: usize) -> Vec<String> {
    loop {
        let taken = group.take(most).await.unwrap();
        if !taken.is_empty() {
            return taken.into_iter().map(|taken| taken.token).collect();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_kafka_group_did_not_acknowledge_comes_again_and_what_it_did_does_not() {
    let brokers = Brokers::start();
    let published = send(&brokers, 2).await;
    let group = open(&brokers);
    let open_one = first(&group, 1).await;
    let mut acknowledged = std::collections::BTreeSet::new();
    while acknowledged.len() < published.count() {
        for taken in first(&group, 5).await {
            assert!(acknowledged.insert(taken.clone()), "{taken} was acknowledged before");
            group.acknowledge(&[taken]).await.unwrap();
        }
    }
    assert!(acknowledged.contains(&open_one[0]));
    drop(group);
    publish_more(&brokers).await;
    let next = first(&open(&brokers), 5).await;
    assert!(next.len() == 1 && !acknowledged.contains(&next[0]), "{next:?}");
}

/// One more, in lane 0.
async fn publish_more(brokers: &Brokers) {
    let topic = brokers.topic().await;
    let last = topic.last(Lane::FIRST).await.unwrap();
    let tenant = TenantId::from_uuid(Uuid::from_u128(1));
    let one = raised(Lane::FIRST, tenant, "one more", 1, Place::new(1000, 1));
    assert_eq!(topic.send(Lane::FIRST, last, &[one]).await.count, 1);
}

#[tokio::test]
async fn of_a_kafka_group_each_event_has_its_effect_once_although_readers_come_and_go() {
    let brokers = Brokers::start();
    let published = send(&brokers, 5).await;
    let there = There::new().await;
    let gone = open(&brokers);
    assert!(!first(&gone, 20).await.is_empty());
    let one = there.grouped(open(&brokers)).await;
    drop(gone);
    let other = there.grouped(open(&brokers)).await;
    there.has_seen(published.count()).await;
    one.stop().await;
    publish_more(&brokers).await;
    there.has_seen(published.count() + 1).await;
    other.stop().await;
    let mut seen = there.sorted().await;
    seen.retain(|(_, key), _| key != "one more");
    assert_eq!(seen, published.expected);
}

#[tokio::test]
async fn of_a_kafka_group_a_poisoned_event_holds_up_its_key_alone() {
    let brokers = Brokers::start();
    let published = send(&brokers, 4).await;
    let open = async || open(&brokers);
    a_poisoned_event_of_a_group_holds_up_its_key_alone(&published, open).await;
}

#[tokio::test]
async fn what_a_kafka_group_could_not_do_is_done_soon_all_the_same() {
    let brokers = Brokers::start();
    let published = send(&brokers, 4).await;
    what_a_group_could_not_do_is_done_soon(&published, async || open(&brokers)).await;
}

#[tokio::test]
async fn a_kafka_group_is_paused_and_resumed() {
    let (brokers, published) = (Brokers::start(), Published::new(4));
    let topic = brokers.topic().await;
    let (open, add) = (async || open(&brokers), async || published.send(&topic).await);
    a_group_is_paused_and_resumed(&published, open, add, published.count()).await;
}

/// It is asked for each partition in turn.
#[tokio::test]
async fn what_waits_for_a_kafka_group_is_not_known_where_the_brokers_are_slow() {
    let brokers = Brokers::start();
    send(&brokers, 1).await;
    let group = open(&brokers);
    assert!(group.waiting().await.unwrap() > Some(0));
    for broker in 1..=3 {
        brokers.cluster.broker_round_trip_time(broker, Duration::from_millis(500)).unwrap();
    }
    let before = std::time::Instant::now();
    assert_eq!(group.waiting().await.unwrap(), None);
    let took = before.elapsed();
    assert!(took < PATIENCE * 2, "{took:?}");
}

/// To leave its group it waits for brokers.
#[tokio::test]
async fn a_reader_that_ends_holds_no_other_task_up() {
    let brokers = Brokers::start();
    send(&brokers, 1).await;
    let group = open(&brokers);
    first(&group, 1).await;
    for broker in 1..=3 {
        brokers.cluster.broker_round_trip_time(broker, Duration::from_secs(2)).unwrap();
    }
    let before = std::time::Instant::now();
    drop(group);
    let took = before.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
}
