//! A partition's records, from any of them on.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::Mutex as Turn;

use super::record::{Mark, Record};
use super::{Client, PATIENCE, partition, said};
use crate::{Error, Lane, Place};

/// Records of a lane that wait to be taken: a few portions. Beyond that its partition pauses.
const WAITING: usize = 1000;

/// Their bytes, so that large payloads of all lanes are 16 MiB, and the last one of each.
const WAITING_BYTES: usize = 1024 * 1024;

/// For the last event of a lane so many numbers are looked at: that is one answer of a broker, as a rule, and more than a stranger leaves by mistake.
pub(super) const LOOKED_AT: i64 = 1024;

/// Each time so many times as many as before: in three steps it is all of them.
const LOOKED_AT_NEXT: i64 = 32;

/// What was found of a lane's last event.
pub(super) enum Last {
    Place(Place),
    /// There is none.
    None,
    /// It is not among those that are looked at.
    TooFar,
}

/// How often it is looked whether something has come.
const GLANCE: Duration = Duration::from_millis(2);

/// One connection for all lanes, which brings each lane's records until as many wait as may.
pub(crate) struct Reader {
    topic: String,
    client: Client<BaseConsumer>,
    lanes: Mutex<Vec<Waiting>>,
    /// Whose turn it is with a lane: a question takes more than one step.
    turns: Vec<Turn<()>>,
}

/// What is known of a lane.
#[derive(Debug, Default)]
struct Waiting {
    /// The mark behind which its records come; `None` where that is not known.
    behind: Option<Option<Mark>>,
    records: VecDeque<Record>,
    /// The number that the next record has, once one was there.
    next: Option<i64>,
    bytes: usize,
    is_assigned: bool,
    is_paused: bool,
    /// There were no more when it was last asked.
    is_at_end: bool,
    /// The record of the mark is gone, or some behind it are, which was not told yet.
    is_missed: bool,
}

impl Reader {
    pub(super) fn new(config: &ClientConfig, topic: &str) -> Result<Self, Error> {
        let mut config = config.clone();
        if config.get("group.id").is_none() {
            // The client wants one, and keeps nothing under it.
            config.set("group.id", format!("{topic}-lanes"));
        }
        for (name, value) in [
            ("enable.auto.commit", "false"),
            ("enable.partition.eof", "true"),
            ("auto.offset.reset", "earliest"),
            // A lane that is asked for anew waits for the question that is under way.
            ("fetch.wait.max.ms", "100"),
            // A lane's share of the memory.
            ("queued.max.messages.kbytes", "1024"),
        ] {
            config.set(name, value);
        }
        let client = Client::new(config.create().map_err(|error| Error::Config(said(&error)))?);
        let lanes = Lane::all().map(|_| Waiting::default()).collect();
        let turns = Lane::all().map(|_| Turn::default()).collect();
        Ok(Self { topic: topic.to_owned(), client, lanes: Mutex::new(lanes), turns })
    }

    pub(crate) fn client(&self) -> Arc<BaseConsumer> {
        self.client.share()
    }

    /// The last event of a partition whose records have these numbers: looked for from its end, ever further back, since a number at the end may
    /// be that of a record of somebody else, or, as of the mark of a transaction, of none.
    pub(super) async fn last(&self, lane: Lane, begin: i64, end: i64) -> Result<Last, Error> {
        let _turn = self.turns[index(lane)].lock().await;
        let mut back = 1;
        let last = loop {
            let from = (end - back).max(begin);
            let last = self.last_behind(lane, from).await?;
            match last {
                Some(place) => break Last::Place(place),
                None if from == begin => break Last::None,
                None if back >= LOOKED_AT => break Last::TooFar,
                None => back *= LOOKED_AT_NEXT,
            }
        };
        self.leave(lane)?;
        Ok(last)
    }

    /// The last event from this number on.
    async fn last_behind(&self, lane: Lane, from: i64) -> Result<Option<Place>, Error> {
        self.go(lane, Offset::Offset(from))?;
        let mut last = None;
        loop {
            self.come(lane).await?;
            let records = self.take(lane, usize::MAX);
            if records.is_empty() {
                return Ok(last);
            }
            last = records.into_iter().rev().find_map(|record| Some(record.event.ok()?.place)).or(last);
        }
    }

    /// The records behind the mark, at most so many, and whether some may have been missed. There are none only where the lane ends: what is on its
    /// way is waited for.
    pub(crate) async fn read(
        &self,
        lane: Lane,
        mark: Option<Mark>,
        most: usize,
    ) -> Result<(Vec<Record>, bool), Error> {
        let _turn = self.turns[index(lane)].lock().await;
        if self.lanes()[index(lane)].behind != Some(mark) {
            let is_missed = self.go_behind(lane, mark).await?;
            let waiting = &mut self.lanes()[index(lane)];
            waiting.behind = Some(mark);
            waiting.is_missed |= is_missed;
        }
        self.come(lane).await?;
        let records = self.take(lane, most);
        let waiting = &mut self.lanes()[index(lane)];
        let is_missed = !records.is_empty() && mem::take(&mut waiting.is_missed);
        if let Some(last) = records.last() {
            // Where it could not go on, it begins anew.
            waiting.behind = waiting.behind.map(|_| Some(last.mark()));
        }
        Ok((records, is_missed))
    }

    /// Begins behind the mark, or where that is gone with the first record. Returns whether some may have been missed: a topic that was
    /// made anew has another record there, and one that has dropped it has none.
    async fn go_behind(&self, lane: Lane, mark: Option<Mark>) -> Result<bool, Error> {
        let Some(mark) = mark else {
            self.go(lane, Offset::Beginning)?;
            return self.come(lane).await.map(|()| false);
        };
        self.go(lane, Offset::Offset(mark.offset))?;
        self.come(lane).await?;
        let first = self.lanes()[index(lane)].records.front().map(Record::mark);
        if first == Some(mark) {
            self.take(lane, 1);
            return Ok(false);
        }
        self.go(lane, Offset::Beginning)?;
        self.come(lane).await?;
        Ok(first.is_none_or(|first| first.offset != mark.offset))
    }

    /// Has the lane read from there on.
    fn go(&self, lane: Lane, from: Offset) -> Result<(), Error> {
        self.leave(lane)?;
        let mut lanes = self.lanes();
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(&self.topic, partition(lane), from);
        added.and_then(|()| self.client.incremental_assign(&list)).map_err(|error| broker(&error))?;
        lanes[index(lane)].is_assigned = true;
        Ok(())
    }

    /// Has the lane read no more, and forgets what waits.
    fn leave(&self, lane: Lane) -> Result<(), Error> {
        let mut lanes = self.lanes();
        let waiting = &mut lanes[index(lane)];
        if waiting.is_paused {
            self.client.resume(&self.list(lane)).map_err(|error| broker(&error))?;
        }
        if waiting.is_assigned {
            self.client.incremental_unassign(&self.list(lane)).map_err(|error| broker(&error))?;
        }
        *waiting = Waiting::default();
        Ok(())
    }

    /// Waits until something is there, or it is known that there is nothing.
    async fn come(&self, lane: Lane) -> Result<(), Error> {
        let come = async {
            loop {
                {
                    let mut lanes = self.lanes();
                    self.look(&mut lanes)?;
                    let waiting = &lanes[index(lane)];
                    if waiting.is_at_end || !waiting.records.is_empty() {
                        return Ok(());
                    }
                }
                tokio::time::sleep(GLANCE).await;
            }
        };
        let none = |_| Error::Broker(format!("the brokers said nothing for {PATIENCE:?}"));
        tokio::time::timeout(PATIENCE, come).await.map_err(none)?
    }

    /// Sorts what has come into its lanes.
    fn look(&self, lanes: &mut [Waiting]) -> Result<(), Error> {
        while let Some(polled) = self.client.poll(Duration::ZERO) {
            match polled {
                Ok(message) => self.sort(lanes, &message)?,
                Err(KafkaError::PartitionEOF(partition)) => {
                    if let Some(waiting) = lane(partition).and_then(|lane| lanes.get_mut(index(lane))) {
                        waiting.is_at_end = true;
                    }
                }
                Err(error) => return Err(broker(&error)),
            }
        }
        Ok(())
    }

    fn sort(&self, lanes: &mut [Waiting], message: &BorrowedMessage<'_>) -> Result<(), Error> {
        let Some(lane) = lane(message.partition()) else { return Ok(()) };
        let waiting = &mut lanes[index(lane)];
        if !waiting.is_assigned {
            return Ok(());
        }
        waiting.is_at_end = false;
        let record = Record::new(message);
        // Dropped for their age before they came here: the client goes on with the first that is left. The log's records have no gaps.
        waiting.is_missed |= waiting.next.is_some_and(|next| record.offset > next);
        waiting.next = Some(record.offset + 1);
        waiting.bytes += record.bytes;
        waiting.records.push_back(record);
        let is_full = waiting.records.len() >= WAITING || waiting.bytes >= WAITING_BYTES;
        if is_full && !waiting.is_paused {
            waiting.is_paused = true;
            self.client.pause(&self.list(lane)).map_err(|error| broker(&error))?;
        }
        Ok(())
    }

    /// The first of those that wait.
    fn take(&self, lane: Lane, most: usize) -> Vec<Record> {
        let waiting = &mut self.lanes()[index(lane)];
        let taken: Vec<Record> = waiting.records.drain(..most.min(waiting.records.len())).collect();
        waiting.bytes -= taken.iter().map(|record| record.bytes).sum::<usize>();
        if waiting.is_paused && waiting.records.is_empty() {
            // Where it can't, it is not assigned any more, and is assigned again with the next question.
            match self.client.resume(&self.list(lane)) {
                Ok(()) => waiting.is_paused = false,
                Err(_) => waiting.behind = None,
            }
        }
        taken
    }

    fn list(&self, lane: Lane) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition(lane));
        list
    }

    fn lanes(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn index(lane: Lane) -> usize {
    usize::from(lane.number())
}

fn lane(partition: i32) -> Option<Lane> {
    u8::try_from(partition).ok().and_then(Lane::new)
}

fn broker(error: &KafkaError) -> Error {
    Error::Broker(said(error))
}
