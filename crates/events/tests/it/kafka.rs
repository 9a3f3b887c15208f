//! From one database's log through Kafka to consumers over another one.

use std::sync::Arc;

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use shared_core::{AssumedTenant, InTenant as _};
use shared_events::sink::{Guarantee, KafkaTopic};
use shared_events::{Config, Intake, LANES, Relay};

use crate::support::{World, quick, seeing, until};

const KEYS: [&str; 4] = ["a", "b", "c", "d"];

#[tokio::test]
async fn what_is_published_here_has_its_effect_there_once_and_in_order_although_brokers_go() {
    let cluster = MockCluster::new(2).unwrap();
    cluster.create_topic("events", i32::from(LANES), 2).unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers());
    let topic = KafkaTopic::open(config, "events").await.unwrap();
    let (here, mut there) = (World::new().await, World::new().await);
    there.tenant = AssumedTenant::new(here.tenant.context().tenant(), "the same tenant");

    let subscription = "to kafka".to_owned();
    let to = Config { subscription, guarantee: Guarantee::Restored, ..quick() };
    let relay = Relay::to(here.db.clone(), Arc::new(topic.clone()), to).await.unwrap();
    let intake = Intake::start(there.db.clone(), (), seeing(), topic, quick()).await.unwrap();
    for round in 0..6 {
        match round % 3 {
            0 => cluster.request_errors(
                RDKafkaApiKey::Produce,
                &[RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT, RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN],
            ),
            1 => cluster.broker_down(1 + round % 2).unwrap(),
            _ => cluster.broker_up(-1).unwrap(),
        }
        for key in KEYS {
            here.raise(key).await;
        }
    }
    for key in KEYS {
        until(async || there.seen("see", key).await.len() >= 6).await;
        assert_eq!(there.seen("see", key).await, Vec::from_iter(1..=6), "{key}");
    }
    relay.stop().await;
    intake.stop().await;
}
