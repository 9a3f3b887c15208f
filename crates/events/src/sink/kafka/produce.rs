//! Records on their way to the brokers.

use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer, PurgeConfig};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::{client, partition, said};
use crate::cloudevents::{Message, Source};
use crate::sink::Refusal;
use crate::{Envelope, Lane};

/// So long a page may take until all of it is acknowledged: as long as brokers need to agree on another leader, as a rule.
const ACKNOWLEDGED: Duration = Duration::from_secs(10);

/// A producer, and another one after each failure: what the old one still had is thrown away with it, so that nothing is sent behind
/// a hole, or later than somebody waits for it.
pub(super) struct Producing {
    config: ClientConfig,
    topic: String,
    /// Its number, and itself once it is made. Read while a page is handed over, so that none is thrown away in the middle of it.
    current: RwLock<(u64, Option<FutureProducer>)>,
    /// Producers that are thrown away: their threads take some time to end.
    ending: Mutex<JoinSet<()>>,
    runtime: Handle,
}

/// How many of the records are there: the first so many, the number of the last of them, and why no more.
pub(super) struct Produced {
    pub(super) count: usize,
    pub(super) last: Option<i64>,
    pub(super) failed: Option<Refusal>,
}

impl Producing {
    /// It is called in a runtime.
    pub(super) fn new(mut config: ClientConfig, topic: &str) -> Self {
        config.remove("group.id");
        for (name, value) in [
            ("acks", "all"),
            ("enable.idempotence", "true"),
            // A batch that is refused ends the producer, or those behind it would be there without it.
            ("enable.gapless.guarantee", "true"),
            // With one at a time that holds on every broker, also where two requests would overtake each other.
            ("max.in.flight.requests.per.connection", "1"),
            // No record of a page expires while those behind it go on. The page as a whole does.
            ("message.timeout.ms", "0"),
            // As long as it takes to hand a page over.
            ("linger.ms", "1"),
        ] {
            config.set(name, value);
        }
        Self {
            config,
            topic: topic.to_owned(),
            current: RwLock::default(),
            ending: Mutex::default(),
            runtime: Handle::current(),
        }
    }

    /// Sends all of them at once. If the future is dropped, what was not on the line yet is not sent, and other lanes have to send again
    /// what they had under way.
    pub(super) async fn send(&self, source: &Source, lane: Lane, events: &[Envelope]) -> Produced {
        let (mut flight, under_way, stopped) = match self.hand_over(source, lane, events) {
            Ok(handed) => handed,
            Err(error) => return Produced::until(0, None, Refusal::Later(said(&error))),
        };
        let (mut count, mut last) = (0, None);
        let failed = tokio::time::timeout(ACKNOWLEDGED, async {
            for delivery in under_way {
                match delivery.await {
                    Ok(Ok(delivered)) => (count, last) = (count + 1, Some(delivered.offset)),
                    Ok(Err((error, _))) => return Some(refusal(&error)),
                    Err(_) => return Some(Refusal::Later("the producer has ended".to_owned())),
                }
            }
            None
        });
        let late = || Some(Refusal::Later(format!("no broker acknowledged it within {ACKNOWLEDGED:?}")));
        let failed = failed.await.unwrap_or_else(|_| late());
        flight.is_over = failed.is_none();
        Produced { count, last, failed: failed.or(stopped) }
    }

    /// Hands a page over, to one producer and as a whole: of what another lane throws away meanwhile it is no part, or all of it is. Returns why it
    /// stopped before the end, if it did.
    fn hand_over(
        &self,
        source: &Source,
        lane: Lane,
        events: &[Envelope],
    ) -> Result<HandedOver<'_>, KafkaError> {
        // It is dropped behind the lock, which its end takes.
        let mut flight = Flight { producing: self, number: 0, producer: None, is_over: false };
        let current = self.current()?;
        (flight.number, flight.producer) = (current.0, current.1.clone());
        let mut under_way = Vec::with_capacity(events.len());
        for event in events {
            match flight.enqueue(source, lane, event) {
                Ok(delivery) => under_way.push(delivery),
                Err(error) => {
                    drop(current);
                    return Ok((flight, under_way, Some(refusal(&error))));
                }
            }
        }
        drop(current);
        Ok((flight, under_way, None))
    }

    /// The producer that is used now, and stays it for so long.
    fn current(&self) -> Result<RwLockReadGuard<'_, (u64, Option<FutureProducer>)>, KafkaError> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        if current.1.is_some() {
            return Ok(current);
        }
        drop(current);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.1.is_none() {
            current.1 = Some(self.config.create()?);
        }
        Ok(RwLockWriteGuard::downgrade(current))
    }

    /// Throws away what the producer has not sent. Nobody gets it from now on, and nobody sends before that is done.
    fn end(&self, number: u64, producer: FutureProducer) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.0 == number {
            producer.purge(PurgeConfig::default().queue().inflight());
            *current = (number + 1, None);
        }
        drop(current);
        self.ends_by_itself(producer);
    }

    fn ends_by_itself(&self, producer: FutureProducer) {
        let mut ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        while ending.try_join_next().is_some() {}
        ending.spawn_blocking_on(move || drop(producer), &self.runtime);
    }
}

impl Drop for Producing {
    fn drop(&mut self) {
        let current = self.current.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(producer) = current.1.take() {
            client::end(&self.runtime, move || drop(producer));
        }
    }
}

impl Produced {
    fn until(count: usize, last: Option<i64>, failed: Refusal) -> Self {
        Self { count, last, failed: Some(failed) }
    }
}

/// A page under way, what will be said of its records, and why some were not handed over.
type HandedOver<'a> = (Flight<'a>, Vec<DeliveryFuture>, Option<Refusal>);

/// A page under way. Where its end is not seen, so is its producer's.
struct Flight<'a> {
    producing: &'a Producing,
    number: u64,
    /// There from the first record on, until the flight is over.
    producer: Option<FutureProducer>,
    is_over: bool,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if let (false, Some(producer)) = (self.is_over, self.producer.take()) {
            self.producing.end(self.number, producer);
        }
    }
}

impl Flight<'_> {
    fn enqueue(&self, source: &Source, lane: Lane, event: &Envelope) -> Result<DeliveryFuture, KafkaError> {
        let producer = self.producer.as_ref().ok_or(KafkaError::Canceled)?;
        let Message { headers, body } = source.cloud_event(event).to_kafka();
        let named = OwnedHeaders::new_with_capacity(headers.len());
        let named = headers
            .iter()
            .fold(named, |named, (key, value)| named.insert(Header { key, value: Some(value) }));
        let record = FutureRecord::to(&self.producing.topic)
            .partition(partition(lane))
            .key(&event.key)
            .payload(&body)
            .headers(named);
        producer.send_result(record).map_err(|(error, _)| error)
    }
}

/// What no broker will take at another time is refused for good.
fn refusal(error: &KafkaError) -> Refusal {
    use RDKafkaErrorCode::{InvalidMessage, InvalidMessageSize, InvalidRecord, MessageSizeTooLarge};
    match error.rdkafka_error_code() {
        Some(InvalidMessage | InvalidMessageSize | InvalidRecord | MessageSizeTooLarge) => {
            Refusal::Never(said(error))
        }
        _ => Refusal::Later(said(error)),
    }
}
