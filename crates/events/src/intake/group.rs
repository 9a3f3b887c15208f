//! Events that come in no order, from a group of readers that the broker keeps.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::join_all;
use shared_core::Backoff;
use shared_db::Db;
use tokio_util::sync::CancellationToken;

use super::lease::Reader;
use super::pause;
use crate::executor::{self, Executor};
use crate::metrics::METRICS;
use crate::{Config, Envelope, Error, Lane, gauges};

/// A group of readers that a broker keeps, which shares its messages among them: each comes to one of them, and once more to any where
/// that one has not acknowledged it for a time.
#[async_trait]
pub trait Group: Send + Sync + 'static {
    /// What is read and by whom, such as `redis:orders:mailers`: what a consumer has done is kept under this name.
    fn name(&self) -> String;

    /// Messages for this reader, at most so many: new ones, and those that another has not acknowledged. It waits for none. The next ones are
    /// taken when these are acknowledged, or were tried again for some seconds.
    ///
    /// # Errors
    /// [`Error::Broker`] or [`Error::Database`]: why it can't be read now. What a dropped future has taken comes again, later.
    async fn take(&self, most: usize) -> Result<Vec<Delivery>, Error>;

    /// Acknowledges messages, by their tokens. One that is lost brings its message again.
    ///
    /// # Errors
    /// As of [`take`](Self::take).
    async fn acknowledge(&self, tokens: &[String]) -> Result<(), Error>;

    /// Stays a reader of the group, and takes nothing: it is called again and again while an operator has paused the intake, and before what was
    /// taken is tried again. For most brokers that is nothing.
    ///
    /// # Errors
    /// As of [`take`](Self::take).
    async fn stay(&self) -> Result<(), Error> {
        Ok(())
    }

    /// How many messages the group has yet to acknowledge, also those that no reader has taken; `None` where the broker does not know. It is asked
    /// once in a lease.
    ///
    /// # Errors
    /// As of [`take`](Self::take).
    async fn waiting(&self) -> Result<Option<u64>, Error> {
        Ok(None)
    }
}

/// A message of a group.
#[derive(Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// By which it is acknowledged.
    pub token: String,
    /// The event, or why it is none that can be read.
    pub event: Result<Envelope, String>,
}

impl Delivery {
    /// An event with the token by which it is acknowledged.
    pub const fn new(token: String, event: Result<Envelope, String>) -> Self {
        Self { token, event }
    }
}

/// For so long a reader may keep a message before it goes to another: twice as long as an attempt may take, and each waits for few others.
#[cfg(any(feature = "redis", feature = "nats"))]
pub(crate) const REDELIVERED: Duration = Duration::from_secs(60);

/// For so long it is remembered what was done: much longer than a message can stay unacknowledged while a reader of its group runs.
const REMEMBERED: Duration = Duration::from_hours(7 * 24);

/// Between two times that what is older than that is forgotten: the table then holds an hour's worth too many.
const FORGETTING: Duration = Duration::from_hours(1);

/// Messages that a reader takes at once: some for each transaction at the same time, so that none waits for long.
const PORTION: usize = 64;

/// The first wait where nothing is new; it doubles up to the poll.
const GLANCE: Duration = Duration::from_millis(5);

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

/// So often what is in hand is tried, over some seconds, as long as a server takes to start again. Then it is left to the broker, so that what fails
/// for a reason of its own holds nothing else up.
const TRIES: u32 = 10;

/// What the tasks of a group's reader work with.
pub(super) struct Reading {
    pub(super) db: Db,
    pub(super) group: Box<dyn Group>,
    pub(super) executor: Executor,
    pub(super) config: Config,
    pub(super) reader: Reader,
    /// An operator has stopped it.
    pub(super) paused: AtomicBool,
}

impl Reading {
    /// Says that it is alive, and hears whether it is to pause.
    pub(super) async fn greet(&self) -> Result<(), Error> {
        let (paused, ..) = self.reader.greet(&self.db, &self.config).await?;
        self.paused.store(paused, Ordering::Relaxed);
        Ok(())
    }

    fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("subscription", &self.config.subscription).finish_non_exhaustive()
    }
}

/// What a reader has taken: it is brought to an end before anything new is taken, as the broker would hand it to another only much later.
#[derive(Default)]
struct InHand {
    /// Without its effects, at least for one consumer.
    undone: Vec<Delivery>,
    /// Tokens of what is done, and not acknowledged.
    done: Vec<String>,
}

impl InHand {
    fn is_empty(&self) -> bool {
        self.undone.is_empty() && self.done.is_empty()
    }
}

/// Takes messages, runs the consumers, and then acknowledges.
pub(super) async fn run(reader: Arc<Reading>, stop: CancellationToken) {
    let (mut failures, mut glance, mut in_hand) = (0_u32, GLANCE, InHand::default());
    while !stop.is_cancelled() {
        if reader.is_paused() {
            let stayed = reader.group.stay().await;
            reader.reader.says(None, stayed.err().map(|error| error.to_string()));
            pause(reader.config.poll, &stop).await;
            continue;
        }
        let wait = match portion(&reader, &mut in_hand).await {
            Ok(0) => {
                reader.reader.says(None, None);
                glance = (glance * 2).min(reader.config.poll);
                glance
            }
            Ok(_) => {
                (failures, glance) = (0, GLANCE);
                continue;
            }
            Err(error) => {
                failures += 1;
                if failures.is_multiple_of(TRIES) {
                    in_hand = InHand::default();
                }
                reader.reader.says(None, Some(error.to_string()));
                tracing::warn!(subscription = reader.config.subscription, "the intake pauses: {error}");
                BACKOFF.delay(failures)
            }
        };
        pause(wait, &stop).await;
    }
}

/// Brings to an end what is in hand; where that is nothing, what is taken now. Returns how many that were.
async fn portion(reader: &Reading, in_hand: &mut InHand) -> Result<usize, Error> {
    match in_hand.is_empty() {
        true => in_hand.undone = reader.group.take(PORTION).await?,
        // While it is tried again, the broker hears of this reader all the same.
        false => reader.group.stay().await?,
    }
    let count = in_hand.undone.len() + in_hand.done.len();
    let each = join_all(in_hand.undone.iter().map(|delivery| bring(reader, delivery))).await;
    let mut failed = None;
    for (delivery, brought) in mem::take(&mut in_hand.undone).into_iter().zip(each) {
        match brought {
            Ok(true) => in_hand.done.push(delivery.token),
            Ok(false) => in_hand.undone.push(delivery),
            Err(error) => {
                failed = Some(error);
                in_hand.undone.push(delivery);
            }
        }
    }
    if !in_hand.done.is_empty() {
        reader.group.acknowledge(&in_hand.done).await?;
        METRICS.delivered.add(in_hand.done.len() as u64, &[]);
        in_hand.done.clear();
    }
    failed.map_or(Ok(count), Err)
}

/// Brings a message to the consumers, and says whether all is done with it.
async fn bring(reader: &Reading, delivery: &Delivery) -> Result<bool, Error> {
    match &delivery.event {
        Ok(event) => reader.executor.once(event).await.map(|turned| !turned.stopped),
        Err(why) => {
            METRICS.foreign.add(1, &[]);
            let (subscription, token) = (&reader.config.subscription, &delivery.token);
            tracing::error!(subscription, token, "the broker has something that is no event: {why}");
            Ok(true)
        }
    }
}

/// Looks now and then at what the broker has for the group, for operators and gauges.
pub(super) async fn look(reader: Arc<Reading>, stop: CancellationToken) {
    let subscription = &reader.config.subscription;
    while !stop.is_cancelled() {
        let looked = async {
            let waiting = reader.group.waiting().await?;
            reader.reader.waits(waiting);
            match waiting {
                Some(_) => gauges::record(&reader.db, subscription).await,
                None => Ok(()),
            }
        };
        if let Err(error) = looked.await {
            reader.reader.waits(None);
            tracing::debug!(subscription, "what waits for the group is not known: {error}");
        }
        pause(reader.config.lease, &stop).await;
    }
}

/// Beats, runs again what is parked when it is due, and forgets what is long done.
pub(super) async fn keep(reader: Arc<Reading>, stop: CancellationToken) {
    let (mut failures, mut forgotten) = (0, None::<Instant>);
    while !stop.is_cancelled() {
        let wait = match turn(&reader, &mut forgotten).await {
            Ok(next) => {
                failures = 0;
                next.unwrap_or(reader.config.poll).min(reader.config.poll).min(reader.config.lease / 3)
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(
                    subscription = reader.config.subscription,
                    "what is parked can't be run again now: {error}"
                );
                BACKOFF.delay(failures)
            }
        };
        pause(wait, &stop).await;
    }
    // Where it can't be said, it shows by itself.
    let _ = reader.reader.leave(&reader.db, &reader.config.subscription).await;
}

/// Returns when the next of the parked is due.
async fn turn(reader: &Reading, forgotten: &mut Option<Instant>) -> Result<Option<Duration>, Error> {
    reader.greet().await?;
    let (db, subscription) = (&reader.db, &reader.config.subscription);
    if forgotten.is_none_or(|last| last.elapsed() >= FORGETTING)
        && !executor::forget(db, subscription, REMEMBERED.as_secs_f64()).await?
    {
        *forgotten = Some(Instant::now());
    }
    if reader.is_paused() {
        return Ok(None);
    }
    let lanes: Vec<Lane> = Lane::all().collect();
    Ok(reader.executor.retry(&lanes).await?.next)
}
