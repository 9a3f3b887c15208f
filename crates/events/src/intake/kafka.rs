//! Kafka as a source, and a consumer group of any topic.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::{Delivery, Group, Read, Source, Taken};
use crate::sink::KafkaTopic;
use crate::sink::kafka::{Client, Mark, PATIENCE, blocking, event, partition, said};
use crate::{Error, Lane};

#[async_trait]
impl Source for KafkaTopic {
    fn name(&self) -> String {
        format!("kafka:{}", self.topic())
    }

    /// Records come by themselves once a lane is read: where nothing is new, that is no question to a broker.
    async fn read(&self, lane: Lane, mark: Option<&str>, most: usize) -> Result<Read, Error> {
        let (records, is_missed) = self.reader().read(lane, mark.and_then(Mark::parse), most).await?;
        let taken = records.into_iter().map(|record| {
            let mark = record.mark().to_string();
            let is_its = |event: &crate::Envelope| partition(event.lane) == partition(lane);
            let event = record.event.and_then(|event| match is_its(&event) {
                true => Ok(event),
                false => Err("its lane is another than its partition says".to_owned()),
            });
            Taken::new(mark, event)
        });
        Ok(Read::new(taken.collect(), is_missed))
    }
}

/// A consumer group of a topic, whoever writes there: for events that come in no order. Its readers share the partitions, also when one comes or
/// goes. How far each partition was read is committed at the broker, behind the effects; a reader that takes over begins there.
pub struct KafkaGroup {
    consumer: Client<BaseConsumer<Shares>>,
    topic: String,
    name: String,
    /// Its partitions are paused.
    stays: AtomicBool,
}

/// What this reader has taken of its partitions.
#[derive(Clone, Default)]
struct Shares(Arc<Mutex<BTreeMap<i32, Share>>>);

/// Of a partition.
#[derive(Default)]
struct Share {
    /// The number behind the last that was taken.
    next: i64,
    /// Taken, and not acknowledged yet.
    open: BTreeSet<i64>,
}

impl Share {
    /// Up to where all is done.
    fn done(&self) -> i64 {
        self.open.first().copied().unwrap_or(self.next)
    }
}

impl Shares {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Share>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Shares {}

impl ConsumerContext for Shares {
    /// What is another's from now on is not acknowledged any more: it comes there again.
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(revoked) = rebalance {
            let mut shares = self.lock();
            for of in revoked.elements() {
                shares.remove(&of.partition());
            }
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::warn!("what was done of a group's records will come again: {}", said(&error));
        }
    }
}

impl KafkaGroup {
    /// A reader of the group of this name, which begins with the first record of each partition that the group has not read yet.
    /// `config` says where the brokers are (`bootstrap.servers`), and how to sign in.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that the client refuses. That no broker answers is said by [`take`](Group::take).
    pub fn open(mut config: ClientConfig, topic: &str, group: &str) -> Result<Self, Error> {
        config.set("group.id", group).set("enable.auto.commit", "false").set("enable.partition.eof", "false");
        if config.get("auto.offset.reset").is_none() {
            config.set("auto.offset.reset", "earliest");
        }
        let refused = |error: KafkaError| Error::Config(said(&error));
        let consumer: BaseConsumer<Shares> =
            config.create_with_context(Shares::default()).map_err(refused)?;
        consumer.subscribe(&[topic]).map_err(refused)?;
        Ok(Self {
            consumer: Client::new(consumer),
            topic: topic.to_owned(),
            name: format!("kafka:{topic}:{group}"),
            stays: AtomicBool::new(false),
        })
    }

    fn shares(&self) -> MutexGuard<'_, BTreeMap<i32, Share>> {
        self.consumer.context().lock()
    }

    /// The next message, which is this reader's until it is acknowledged.
    fn next(&self) -> Option<KafkaResult<Delivery>> {
        Some(self.consumer.poll(Duration::ZERO)?.map(|message| {
            let (of, offset) = (message.partition(), message.offset());
            let mut shares = self.shares();
            let share = shares.entry(of).or_default();
            share.next = offset + 1;
            share.open.insert(offset);
            Delivery::new(format!("{of}:{offset}"), event(&message))
        }))
    }

    /// Goes back to what was taken and not acknowledged. Where it can't, the next call tries again.
    async fn go_back(&self) -> Result<(), Error> {
        let mut failed = Ok(());
        let open: Vec<(i32, i64)> = {
            let shares = self.shares();
            shares.iter().filter_map(|(of, share)| Some((*of, *share.open.first()?))).collect()
        };
        for (of, first) in open {
            let (consumer, topic) = (self.consumer.share(), self.topic.clone());
            let sought = blocking(move || consumer.seek(&topic, of, Offset::Offset(first), PATIENCE)).await;
            if let Err(error) = sought {
                failed = Err(Error::Broker(error));
                continue;
            }
            if let Some(share) = self.shares().get_mut(&of) {
                *share = Share { next: first, open: BTreeSet::new() };
            }
        }
        failed
    }
}

#[async_trait]
impl Group for KafkaGroup {
    fn name(&self) -> String {
        self.name.clone()
    }

    /// What was taken before, and not acknowledged, comes first.
    async fn take(&self, most: usize) -> Result<Vec<Delivery>, Error> {
        let broker = |error: &KafkaError| Error::Broker(said(error));
        if self.stays.load(Ordering::Relaxed) {
            let all = self.consumer.assignment();
            all.and_then(|all| self.consumer.resume(&all)).map_err(|error| broker(&error))?;
            self.stays.store(false, Ordering::Relaxed);
        }
        // It polls all the same: that a partition is another's now is heard by that.
        let went_back = self.go_back().await;
        let mut taken = Vec::new();
        while taken.len() < most {
            match self.next() {
                Some(Ok(delivery)) => taken.push(delivery),
                Some(Err(error)) if taken.is_empty() => return Err(broker(&error)),
                // It is said again if it lasts.
                Some(Err(_)) | None => break,
            }
        }
        match taken.is_empty() {
            true => went_back.map(|()| taken),
            false => Ok(taken),
        }
    }

    async fn acknowledge(&self, tokens: &[String]) -> Result<(), Error> {
        let mut list = TopicPartitionList::new();
        {
            let mut shares = self.shares();
            let mut moved = BTreeSet::new();
            for (of, offset) in tokens.iter().filter_map(|token| parse(token)) {
                if shares.get_mut(&of).is_some_and(|share| share.open.remove(&offset)) {
                    moved.insert(of);
                }
            }
            for of in moved {
                let Some(share) = shares.get(&of) else { continue };
                let added = list.add_partition_offset(&self.topic, of, Offset::Offset(share.done()));
                added.map_err(|error| Error::Broker(said(&error)))?;
            }
        }
        if list.count() == 0 {
            return Ok(());
        }
        self.consumer.commit(&list, CommitMode::Async).map_err(|error| Error::Broker(said(&error)))
    }

    /// Over all partitions, how far what was committed lies before their ends; `None` if the brokers are too slow to say so in 5 s.
    async fn waiting(&self) -> Result<Option<u64>, Error> {
        let (consumer, topic) = (self.consumer.share(), self.topic.clone());
        let asked = blocking(move || behind(&consumer, &topic)).await;
        asked.map_err(Error::Broker)
    }

    /// Who does not poll for `max.poll.interval.ms` is put out of the group.
    async fn stay(&self) -> Result<(), Error> {
        let broker = |error: KafkaError| Error::Broker(said(&error));
        self.stays.store(true, Ordering::Relaxed);
        let all = self.consumer.assignment().map_err(broker)?;
        self.consumer.pause(&all).map_err(broker)?;
        // What comes nevertheless, of a partition that was just assigned, is gone back to.
        self.next().transpose().map(|_| ()).map_err(broker)
    }
}

/// How many records of a topic lie behind what the group has committed; `None` if it takes too long to ask for each partition. What was dropped
/// for its age is not among them.
fn behind(consumer: &BaseConsumer<Shares>, topic: &str) -> KafkaResult<Option<u64>> {
    let until = Instant::now() + PATIENCE;
    let left = || until.saturating_duration_since(Instant::now());
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let mut all = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|found| found.partitions()) {
        all.add_partition(topic, partition.id());
    }
    let mut behind = 0;
    for of in consumer.committed_offsets(all, left())?.elements() {
        let (begin, end) = match consumer.fetch_watermarks(topic, of.partition(), left()) {
            Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut) => {
                return Ok(None);
            }
            asked => asked?,
        };
        let done = of.offset().to_raw().map_or(begin, |done| done.max(begin));
        behind += u64::try_from(end - done).unwrap_or_default();
    }
    Ok(Some(behind))
}

fn parse(token: &str) -> Option<(i32, i64)> {
    let (of, offset) = token.split_once(':')?;
    Some((of.parse().ok()?, offset.parse().ok()?))
}

impl fmt::Debug for KafkaGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaGroup").field("name", &self.name).finish_non_exhaustive()
    }
}
