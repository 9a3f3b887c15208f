//! Runs consumers: each effect once and in the order of its key, whoever else delivers the same at the same time.
//!
//! A consumer has one position in each lane of a tenant. A turn locks it, leaves out what lies at or below it, and moves it in the
//! transaction of the effects. What fails is parked, with the position moved past it, so that nothing waits for it but the later
//! events of its key. The lock makes owners of a lane that overlap harmless: the second finds the position moved.

mod keep;
mod once;
mod parked;
mod retry;
mod run;
mod slots;
#[cfg(test)]
mod tests;
mod turn;

use std::time::Duration;

use futures_util::future::try_join_all;
use shared_core::{Backoff, Failure, NextStep};
use shared_db::{Check, Db};
use tokio_util::sync::CancellationToken;

use crate::events::Bound;
use crate::metrics::{METRICS, consumer};
use crate::timeline::Timeline;
use crate::{Config, Envelope, Error, Lane};
pub(crate) use once::forget;
pub(crate) use retry::Retried;
pub(crate) use slots::Slots;

/// Its SQL, for the test that compares it with the schema.
#[cfg_attr(not(test), allow(dead_code, reason = "it is for a test"))]
pub(crate) const STATEMENTS: [&[(&str, &dyn Check)]; 4] =
    [turn::STATEMENTS, parked::STATEMENTS, retry::STATEMENTS, once::STATEMENTS];

/// The consumers of a program, bound to a subscription.
pub(crate) struct Executor {
    db: Db,
    subscription: String,
    consumers: Vec<Named>,
    limits: Limits,
    origin: Origin,
    /// Connections of the app role that it takes at once, which tenants share.
    slots: Slots,
    /// Ends the work between two turns.
    stop: CancellationToken,
    /// On which the events were read.
    pub(crate) timeline: Timeline,
}

/// What a turn is taken under.
#[derive(Clone, Copy)]
struct Under<'a> {
    /// When it is cancelled, what waits ends at once.
    ends: &'a CancellationToken,
    /// That of the server when the turn began.
    timeline: Option<i32>,
}

/// Where the events come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// From this database's log: no two have the same position, and their ticks are kept until they are done.
    Log,
    /// The same by way of a broker, where they may stay for longer than their ticks are kept.
    Broker,
    /// From other logs, in which two may have the same position.
    Others,
}

/// The functions that share a name, and with it a position.
struct Named {
    name: &'static str,
    functions: Vec<Bound>,
}

#[derive(Clone, Copy)]
struct Limits {
    batch: usize,
    attempts: u32,
    timeout: Duration,
    backoff: Backoff,
    longest: Duration,
}

/// What became of the events of a turn, counted once for each consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turned {
    /// Effects that were committed.
    pub(crate) effects: u64,
    /// Those that were there already.
    pub(crate) known: u64,
    /// Those put aside, followers included.
    pub(crate) parked: u64,
    /// It was told to stop before the end: the rest is to come again.
    pub(crate) stopped: bool,
}

impl Turned {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            effects: self.effects + other.effects,
            known: self.known + other.known,
            parked: self.parked + other.parked,
            stopped: self.stopped || other.stopped,
        }
    }
}

impl Executor {
    /// Runs these consumers for the config's subscription until `stop`.
    pub(crate) fn new(db: Db, bound: Vec<Bound>, config: &Config, stop: CancellationToken) -> Self {
        let mut consumers: Vec<Named> = Vec::new();
        for function in bound {
            match consumers.iter_mut().find(|named| named.name == function.name) {
                Some(named) => named.functions.push(function),
                None => consumers.push(Named { name: function.name, functions: vec![function] }),
            }
        }
        let limits = Limits {
            batch: config.batch as usize,
            attempts: config.attempts,
            timeout: config.attempt_timeout,
            backoff: config.backoff(),
            longest: config.retry_longest,
        };
        let slots = Slots::new(config.concurrency as usize);
        let subscription = config.subscription.clone();
        let timeline = Timeline::default();
        Self { db, subscription, consumers, limits, origin: Origin::Log, slots, stop, timeline }
    }

    /// The same for events that others have published.
    pub(crate) fn of_others(self) -> Self {
        Self { origin: Origin::Others, ..self }
    }

    /// The same for events of this database's log that a broker has.
    pub(crate) fn by_broker(self) -> Self {
        Self { origin: Origin::Broker, ..self }
    }

    /// Brings events of one tenant and lane, in their order, to every consumer. `Ok`: each had its effect, was known, or is
    /// parked, unless it was stopped: when `ends` is cancelled, what waits ends at once, and what runs behind the event that it is at.
    ///
    /// # Errors
    /// Where the database fails, or is not what it was when they were read: the same is to come again. So it is where the future is dropped.
    pub(crate) async fn turn(
        &self,
        lane: Lane,
        events: &[Envelope],
        ends: &CancellationToken,
    ) -> Result<Turned, Error> {
        // Before `ends` is looked at: what was read on another timeline was told to end before this one was known.
        let under = Under { timeline: self.timeline.get(), ends };
        let turns = self.consumers.iter().map(|to| self.turn_of(to, lane, events, under));
        Ok(try_join_all(turns).await?.into_iter().fold(Turned::default(), Turned::and))
    }

    /// Whether this program has a consumer of that name.
    pub(crate) fn has(&self, consumer: &str) -> bool {
        self.consumers.iter().any(|named| named.name == consumer)
    }

    /// How long to wait before another attempt, if there is to be one.
    fn wait(&self, failure: &Failure, attempts: u32) -> Option<Duration> {
        if attempts >= self.limits.attempts {
            return None;
        }
        match failure.next_step() {
            NextStep::Dead => None,
            NextStep::RetryIn(wait) => Some(wait.min(self.limits.longest)),
            _ => Some(self.limits.backoff.delay(attempts)),
        }
    }
}

impl Named {
    fn function(&self, event: &str) -> Option<&Bound> {
        self.functions.iter().find(|function| function.event == event)
    }

    /// Counts what was committed.
    fn counted(&self, turned: Turned) -> Turned {
        let consumer = consumer(self.name);
        METRICS.effects.add(turned.effects, &consumer);
        METRICS.deduplicated.add(turned.known, &consumer);
        METRICS.parked.add(turned.parked, &consumer);
        turned
    }
}
