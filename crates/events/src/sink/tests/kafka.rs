//! On librdkafka's own mock cluster, which has no disk, and checks no numbers of idempotent producers.

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;
use crate::fixture::Fixture;
use crate::intake::Source;
use crate::sink::KafkaTopic;
use crate::sink::kafka::{PATIENCE, partition};
use crate::{Config, Error, LANES, Relay};

/// Three brokers, and the topic `events` on each of them.
pub(crate) struct Brokers {
    pub(crate) cluster: MockCluster<'static, DefaultProducerContext>,
    pub(crate) config: ClientConfig,
}

impl Brokers {
    pub(crate) fn start() -> Self {
        let cluster = MockCluster::new(3).unwrap();
        cluster.create_topic("events", i32::from(LANES), 3).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        Self { cluster, config }
    }

    pub(crate) async fn topic(&self) -> KafkaTopic {
        KafkaTopic::open(self.config.clone(), "events").await.unwrap()
    }

    /// The number that a partition's next record gets.
    pub(crate) fn end(&self, lane: Lane) -> i64 {
        let client: BaseConsumer = self.config.create().unwrap();
        client.fetch_watermarks("events", partition(lane), PATIENCE).unwrap().1
    }

    /// What the next requests to take records are answered.
    fn refuse(&self, errors: &[RDKafkaRespErr]) {
        self.cluster.request_errors(RDKafkaApiKey::Produce, errors);
    }
}

/// All that the topic has. Records come by themselves: those that have not come yet are waited for.
async fn read(topic: &KafkaTopic) -> Vec<Envelope> {
    let (_, end) = topic.reader().client().fetch_watermarks("events", partition(LANE), PATIENCE).unwrap();
    let (mut all, mut mark): (Vec<_>, Option<String>) = Default::default();
    while (all.len() as i64) < end {
        // After a broker was away, the first answer says so.
        let Ok(read) = topic.read(LANE, mark.as_deref(), 10_000).await else { continue };
        mark = read.taken.last().map(|taken| taken.mark.clone()).or(mark);
        all.extend(read.taken.into_iter().map(|taken| taken.event.unwrap()));
        tokio::task::yield_now().await;
    }
    all
}

#[tokio::test]
async fn kafka_keeps_what_sinks_promise() {
    let open = async || {
        let brokers = Brokers::start();
        (brokers.topic().await, brokers)
    };
    keeps_what_sinks_promise(open, async |sink: &KafkaTopic, _| read(sink).await).await;
}

#[tokio::test]
async fn brokers_that_refuse_for_a_time_get_a_page_once_and_in_its_order() {
    use RDKafkaRespErr::{
        RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    };
    let brokers = Brokers::start();
    let topic = brokers.topic().await;
    let page = events(1, 1..=300);
    for (number, portion) in page.chunks(100).enumerate() {
        brokers.refuse(&[
            RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            RD_KAFKA_RESP_ERR__TRANSPORT,
            RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
            RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        ]);
        let after = number.checked_sub(1).map(|_| Place::new(1, 100 * number as i64));
        all(&topic.send(LANE, after, portion).await, 100);
    }
    assert_eq!(read(&topic).await, page);
}

/// Those that are refused together are sent one by one: the one that is meant is told, and nothing is there behind it.
#[tokio::test]
async fn of_a_batch_that_is_refused_the_one_that_is_meant_is_never_taken() {
    use RDKafkaRespErr::{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_NO_ERROR};
    let brokers = Brokers::start();
    let topic = brokers.topic().await;
    let page = events(1, 1..=40);
    let (too_large, fine) = (RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_NO_ERROR);
    brokers.refuse(&[too_large, fine, fine, too_large]);
    let accepted = topic.send(LANE, None, &page).await;
    assert!(matches!(accepted.refusal, Some(Refusal::Never(_))), "{accepted:?}");
    assert_eq!(accepted.count, 2);
    assert_eq!(read(&topic).await, page[..2]);
    all(&topic.send(LANE, Some(Place::new(1, 2)), &page[3..]).await, 37);
    assert_eq!(read(&topic).await.len(), 39);
}

/// Some records, more than are looked at first, and so many that it is not worth while.
#[tokio::test]
async fn what_comes_last_is_found_behind_records_of_somebody_else() {
    let brokers = Brokers::start();
    let topic = brokers.topic().await;
    let producer: FutureProducer = brokers.config.create().unwrap();
    let add = async |times: usize| {
        let sent = (0..times).map(|_| {
            producer
                .send_result(
                    FutureRecord::<str, str>::to("events").partition(partition(LANE)).payload("hello"),
                )
                .unwrap()
        });
        for sent in sent.collect::<Vec<_>>() {
            sent.await.unwrap().unwrap();
        }
    };
    add(3).await;
    assert_eq!(topic.last(LANE).await.unwrap(), None);
    let page = events(1, 1..=10);
    all(&topic.send(LANE, None, &page[..5]).await, 5);
    for times in [1, 100] {
        add(times).await;
        assert_eq!(topic.last(LANE).await.unwrap(), Some(Place::new(1, 5)));
    }
    all(&topic.send(LANE, Some(Place::new(1, 5)), &page).await, 10);
    add(1100).await;
    let refused = topic.last(LANE).await;
    assert!(
        matches!(&refused, Err(Refusal::Foreign(said)) if said.contains("kafka-delete-records")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_is_too_large_for_the_client_is_never_taken_and_the_one_before_it_is() {
    let brokers = Brokers::start();
    let topic = brokers.topic().await;
    let mut page = events(1, 1..=3);
    page[1].payload = format!("\"{}\"", "x".repeat(1_100_000));
    let accepted = topic.send(LANE, None, &page).await;
    assert!(matches!(accepted.refusal, Some(Refusal::Never(_))), "{accepted:?}");
    assert_eq!(accepted.count, 1);
    all(&topic.send(LANE, Some(Place::new(1, 1)), &page[2..]).await, 1);
}

#[tokio::test]
async fn leaders_that_change_and_brokers_that_go_lose_nothing_and_keep_the_order() {
    let brokers = Brokers::start();
    let topic = brokers.topic().await;
    let page = events(1, 1..=300);
    let delivering = deliver(&topic, &page, 10);
    let breaking = async {
        for round in 0..6 {
            brokers.cluster.partition_leader("events", 3, Some(1 + round % 3)).unwrap();
            brokers.cluster.broker_down(1 + round % 3).unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await; // time itself is tested: so long a broker is away
            brokers.cluster.broker_up(1 + round % 3).unwrap();
        }
    };
    futures_util::future::join(delivering, breaking).await;
    assert_eq!(firsts(&read(&topic).await), places(&page));
}

/// More than may wait in this process: the partition pauses, and goes on, also from another place.
#[tokio::test]
async fn a_lane_with_many_records_is_read_whole_and_from_anywhere() {
    let brokers = Brokers::start();
    let topic = brokers.topic().await;
    let mut page = events(1, 1..=2500);
    page[7].payload = format!("\"{}\"", "x".repeat(900_000));
    page[9].payload = page[7].payload.clone();
    all(&topic.send(LANE, None, &page).await, 2500);
    let first = topic.read(LANE, None, 5).await.unwrap();
    assert_eq!(first.taken.len(), 5);
    assert_eq!(read(&topic).await, page);
    let fifth = first.taken.last().map(|taken| taken.mark.clone());
    let next = topic.read(LANE, fifth.as_deref(), 1).await.unwrap();
    assert_eq!(next.taken[0].event.as_ref().unwrap(), &page[5]);
}

/// The mock cluster keeps 5 MB of a partition.
#[tokio::test]
async fn a_reader_that_is_passed_by_what_is_dropped_says_that_it_missed_some() {
    let brokers = Brokers::start();
    let topic = brokers.topic().await;
    let mut page = events(1, 1..=25);
    page.iter_mut().for_each(|event| event.payload = format!("\"{}\"", "x".repeat(900_000)));
    assert_eq!(topic.bring(LANE, &page[..5]).await.count, 5);
    let mut read = topic.read(LANE, None, 1).await.unwrap();
    let (mut missed, mut last) = (read.missed, None);
    assert!(!missed);
    assert_eq!(topic.bring(LANE, &page[5..]).await.count, 20);
    while let Some(taken) = read.taken.pop() {
        last = Some(taken.event.unwrap().place);
        read = topic.read(LANE, Some(&taken.mark), 1).await.unwrap();
        missed |= read.missed;
    }
    assert!(missed && last == Some(Place::new(1, 25)), "{missed} {last:?}");
}

/// It is not known what became of it; what is sent next finds out.
#[tokio::test]
async fn a_page_that_nobody_waits_for_any_more_leaves_no_hole() {
    let brokers = Brokers::start();
    let topic = brokers.topic().await;
    let page = events(1, 1..=60);
    all(&topic.send(LANE, None, &page[..5]).await, 5);
    for wait in [0, 5, 20, 60] {
        brokers.cluster.broker_round_trip_time(-1, std::time::Duration::from_millis(20)).unwrap();
        let sending = topic.send(LANE, Some(Place::new(1, 5)), &page);
        let _ = tokio::time::timeout(std::time::Duration::from_millis(wait), sending).await;
    }
    brokers.cluster.broker_round_trip_time(-1, std::time::Duration::ZERO).unwrap();
    deliver(&topic, &page, 25).await;
    assert_eq!(firsts(&read(&topic).await), places(&page));
}

/// The producer is thrown away with it, wherever the others are with theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_one_lane_throws_away_leaves_no_hole_in_another() {
    use std::time::Duration;
    let brokers = Brokers::start();
    let topic = brokers.topic().await;
    let (page, other) = (events(1, 1..=5000), topic.clone());
    let throwing = tokio::spawn(async move {
        let few = events(1, 1..=3);
        for _ in 0..60 {
            let _ = tokio::time::timeout(Duration::ZERO, other.bring(Lane::FIRST, &few)).await;
            tokio::time::sleep(Duration::from_millis(15)).await; // time itself is tested: for so long the next producer is left alone
        }
    });
    deliver(&topic, &page, 250).await;
    throwing.await.unwrap();
    assert_eq!(firsts(&read(&topic).await), places(&page));
}

#[tokio::test]
async fn a_topic_without_a_partition_for_each_lane_is_refused() {
    let brokers = Brokers::start();
    brokers.cluster.create_topic("narrow", 15, 1).unwrap();
    for (topic, said) in [("narrow", "15 partitions"), ("a topic", "no part of a name")] {
        let refused = KafkaTopic::open(brokers.config.clone(), topic).await.unwrap_err();
        assert!(matches!(refused, Error::Config(_)) && refused.to_string().contains(said), "{refused}");
    }
    let mut config = brokers.config.clone();
    config.set("transactional.id", "mine");
    let refused = KafkaTopic::open(config, "events").await.unwrap_err();
    assert!(matches!(&refused, Error::Config(why) if why.contains("transactional.id")), "{refused}");
    let mut config = brokers.config.clone();
    config.set("sasl.mechanism", "my secret");
    let refused = KafkaTopic::open(config, "events").await.unwrap_err().to_string();
    assert!(refused.contains("sasl.mechanism") && !refused.contains("my secret"), "{refused}");
}

#[tokio::test]
async fn a_relay_that_must_bring_each_event_once_does_not_start() {
    let (fixture, brokers) = (Fixture::new().await, Brokers::start());
    let start = async |guarantee| {
        let topic = std::sync::Arc::new(brokers.topic().await);
        Relay::to(fixture.db.clone(), topic, Config { guarantee, ..Config::default() }).await
    };
    let refused = start(Guarantee::Exact).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Config(why) if why.contains("does not always know what is sent again")),
        "{refused}"
    );
    start(Guarantee::Restored).await.unwrap().stop().await;
}
