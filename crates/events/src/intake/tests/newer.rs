//! What a program can't read yet, from a group of each broker.

use super::*;

/// It is parked, and acknowledged, as what comes of its key from then on; nothing is dropped: a release that knows it has both.
async fn an_event_of_a_newer_version_waits_for_who_knows_it<G: Group>(
    broker: &dyn Sink,
    open: impl AsyncFn() -> G,
) {
    let (there, lane) = (There::new().await, Lane::FIRST);
    let tenant = TenantId::from_uuid(Uuid::from_u128(1));
    let send = async |key: &str, n: i64, version| {
        let event = Envelope { version, ..raised(lane, tenant, key, n, Place::new(n, 1)) };
        let last = broker.last(lane).await.unwrap();
        assert_eq!(broker.send(lane, last, &[event]).await.count, 1);
    };
    let parked = async || there.db.system().all(&PARKED, ()).await.unwrap();
    send("0", 1, 2).await;
    let intake = there.grouped(open().await).await;
    until(async || parked().await.len() == 1).await;
    send("0", 2, 1).await;
    send("1", 3, 1).await;
    until(async || parked().await.len() == 2).await;
    there.has_seen(1).await;
    intake.stop().await;
    assert_eq!(parked().await, [("0".into(), "dead".into(), 1), ("0".into(), "waiting".into(), 0)]);
    let of = |key: &str| (tenant, key.to_owned());
    assert_eq!(there.seen().await, BTreeMap::from([(of("1"), vec![3])]));

    there.db.system().execute(&REDRIVE, ()).await.unwrap();
    let anew = Events::new().handle("see", see_anew);
    let intake = Intake::grouped(there.db.clone(), (), anew, open().await, quick()).await.unwrap();
    there.has_seen(3).await;
    intake.stop().await;
    assert_eq!(there.seen().await, BTreeMap::from([(of("0"), vec![1, 2]), (of("1"), vec![3])]));
    assert_eq!(parked().await, []);
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn of_a_redis_group_an_event_of_a_newer_version_waits_for_who_knows_it() {
    use crate::intake::RedisGroup;
    use crate::sink::RedisStreams;

    let database = shared_devkit::Redis::shared().await.unwrap().database().await.unwrap();
    let config = shared_db::redis::Config::new(database.url());
    let redis = shared_db::redis::Redis::connect(&config).await.unwrap();
    let streams = RedisStreams::new(&redis);
    let open = async || RedisGroup::open(&redis, &streams.key(Lane::FIRST), "seers").await.unwrap();
    an_event_of_a_newer_version_waits_for_who_knows_it(&streams, open).await;
}

#[cfg(feature = "nats")]
#[tokio::test]
async fn of_a_nats_group_an_event_of_a_newer_version_waits_for_who_knows_it() {
    use crate::intake::JetStreamGroup;
    use crate::sink::JetStream;
    use crate::sink::tests::nats::context;

    let namespace = shared_devkit::Nats::shared().await.unwrap().namespace().await.unwrap();
    let stream = JetStream::open(context(namespace.url()).await, namespace.prefix()).await.unwrap();
    let filter = format!("{}.*", namespace.prefix());
    let open = async || {
        JetStreamGroup::open(stream.context.clone(), namespace.prefix(), &filter, "seers").await.unwrap()
    };
    an_event_of_a_newer_version_waits_for_who_knows_it(&stream, open).await;
}

#[cfg(feature = "kafka")]
#[tokio::test]
async fn of_a_kafka_group_an_event_of_a_newer_version_waits_for_who_knows_it() {
    use crate::intake::KafkaGroup;
    use crate::sink::tests::kafka::Brokers;

    let brokers = Brokers::start();
    let topic = brokers.topic().await;
    let open = async || KafkaGroup::open(brokers.config.clone(), "events", "seers").unwrap();
    an_event_of_a_newer_version_waits_for_who_knows_it(&topic, open).await;
}
