//! The relay at work: it asks the [`Machine`] what to do next, does it, and tells it what came of it.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use shared_core::{Backoff, fault};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lease::{self, View};
use super::machine::{Cursor, Machine, Next, Owned};
use super::read::Large;
use super::work::{Done, Work};
use super::{Core, Target, read, tick};
use crate::log::{Stored, lane};
use crate::metrics::METRICS;
use crate::publish::SIGNAL;
use crate::replay::{Bounds, Pace};
use crate::{Envelope, Error, Lane};

/// The waits of a relay that can't go on, such as while the database restarts.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// Cursors are written so often, or after so many events: what a crash makes come again stays small, and so does what they cost.
const WRITTEN_EVERY: Duration = Duration::from_millis(200);
const WRITTEN_AFTER: usize = 1000;

/// While a relay ends, it looks so often whether what is in hand can end.
const END_EVERY: Duration = Duration::from_millis(50);

/// Ticks that are made while lanes are at work lie so far apart: else a lane that takes long would find hundreds of them.
const CUT_EVERY: Duration = Duration::from_millis(10);

pub(super) struct Coordinator {
    core: Arc<Core>,
    machine: Machine,
    works: JoinSet<Done>,
    /// End the work for a lane; all of them end with `alive`.
    tokens: HashMap<Lane, CancellationToken>,
    large: HashMap<Lane, Large>,
    alive: CancellationToken,
    paused: bool,
    /// What it is held to, if the subscription is a replay, and how fast it may go on.
    replay: Option<Bounds>,
    pace: Pace,
    /// Events that were read and are not done.
    in_hand: usize,
    passed: usize,
    written: Instant,
    cut: Instant,
    /// When the next of the parked is due, unless they are being run.
    retry: Option<Instant>,
    is_retrying: bool,
    /// When to look again, after everything was read.
    look: Instant,
    /// Not before then is a tick made for delayed events alone.
    release: Instant,
    failures: u32,
    rests: Option<Instant>,
    /// Whether the sink can say what it has, and when it last did.
    asks: bool,
    asked: Instant,
}

impl Coordinator {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let asks = matches!(&core.target, Target::Sink(outlet) if outlet.sink.capabilities().readable);
        let now = Instant::now();
        Self {
            machine: Machine::new(asks),
            core,
            works: JoinSet::new(),
            tokens: HashMap::new(),
            large: HashMap::new(),
            alive: CancellationToken::new(),
            paused: false,
            replay: None,
            pace: Pace::default(),
            in_hand: 0,
            passed: 0,
            written: now,
            cut: now,
            retry: None,
            is_retrying: false,
            look: now,
            release: now,
            failures: 0,
            rests: None,
            asks,
            asked: now,
        }
    }

    /// Works until the relay is to stop; then what is in hand ends, and the lanes are handed on.
    pub(super) async fn run(mut self, mut views: watch::Receiver<Option<View>>) {
        let (core, signal) = (Arc::clone(&self.core), self.core.db.signal(SIGNAL));
        while !core.stop.is_cancelled() {
            let mut notified = std::pin::pin!(signal.notified());
            // What is committed from here on wakes it.
            notified.as_mut().enable();
            if Instant::now() >= self.look {
                self.machine.wake();
            }
            self.act().await;
            let until = self.until();
            tokio::select! {
                () = core.stop.cancelled() => {}
                Ok(()) = views.changed() => {
                    let view = views.borrow_and_update().clone();
                    view.into_iter().for_each(|view| self.hear(view));
                }
                () = self.alive.cancelled(), if !self.machine.held().is_empty() => self.silent(),
                Some(done) = self.works.join_next() => self.done(done.unwrap_or(Done::Ended)),
                () = notified => self.machine.wake(),
                () = core.woken.notified() => {
                    self.machine.wake();
                    self.due_in(0.0);
                }
                () = tokio::time::sleep_until(until) => {}
            }
        }
        self.end().await;
    }

    /// Does what can be done now. An error is a pause.
    async fn act(&mut self) {
        if self.rests.is_some_and(|until| until > Instant::now()) || self.alive.is_cancelled() {
            return;
        }
        self.rests = None;
        if let Err(error) = self.try_to_act().await {
            self.failed(&error);
        } else if self.machine.is_busy() || self.machine.next().is_none() {
            self.failures = 0;
        }
    }

    fn failed(&mut self, error: &Error) {
        self.failures += 1;
        let wait = BACKOFF.delay(self.failures);
        self.core.says(Some(error.to_string()));
        tracing::warn!(subscription = self.core.config.subscription, "the relay pauses: {error}");
        self.rests = Some(Instant::now() + wait);
        self.machine.wake();
    }

    async fn try_to_act(&mut self) -> Result<(), Error> {
        let surplus = self.machine.surplus();
        self.forget(&surplus);
        if let Err(error) = lease::release(&self.core, &surplus).await {
            self.machine.takes_back(&surplus);
            return Err(error);
        }
        if !self.paused {
            self.retry_if_due();
            let half = (self.core.config.page as usize).div_ceil(2);
            while self.in_hand <= half && !self.core.stop.is_cancelled() && self.pace.waits().is_none() {
                let Some(next) = self.machine.next() else { break };
                let lanes = self.machine.held().len();
                let most = self.replay.as_ref().map_or(half, |replay| half.min(replay.most(lanes)));
                if !self.take(next, most).await? {
                    break;
                }
            }
        }
        self.write_if_due().await
    }

    /// Does one thing; `false` if it has to wait.
    async fn take(&mut self, next: Next, most: usize) -> Result<bool, Error> {
        match next {
            Next::Ask(lane) => {
                self.spawn(lane, Work::Ask);
                Ok(true)
            }
            Next::Read { passed, lanes } => self.read(passed, lanes, most).await,
            Next::Page { lane, cursor, to } => {
                let large = self.large.entry(lane).or_default();
                let most = (most / self.machine.held().len().max(1)).max(1);
                let between = (cursor.passed, to, cursor.pos);
                let subscription = &self.core.config.subscription;
                let (page, is_last) = large.page(&self.core.db, subscription, lane, between, most).await?;
                let last = page.last().map_or(cursor.pos, |event| event.pos);
                let reached = match is_last {
                    true => Cursor { passed: to, pos: 0 },
                    false => Cursor { passed: cursor.passed, pos: last },
                };
                if is_last {
                    self.large.remove(&lane);
                }
                self.deliver(lane, page, to, reached);
                Ok(true)
            }
        }
    }

    /// Reads what these lanes have up to the next tick, or makes one.
    async fn read(&mut self, passed: i64, lanes: Vec<Lane>, most: usize) -> Result<bool, Error> {
        if self.replay.as_ref().is_some_and(|replay| replay.is_over(passed)) {
            self.machine.at_end(passed);
            self.look = Instant::now() + self.core.config.poll;
            return Ok(true);
        }
        let core = Arc::clone(&self.core);
        let (db, subscription) = (&core.db, &core.config.subscription);
        let looked = tick::look(db, subscription, passed, &lanes).await?;
        if let Some(due) = looked.due {
            self.due_in(due);
        }
        let Some(to) = looked.next else {
            return self.make_tick(passed, &looked).await;
        };
        let within = self.machine.stands_within(&lanes);
        let batch = match within {
            true => None,
            false => read::batch(db, subscription, &lanes, (passed, to), most).await?,
        };
        let Some(batch) = batch else {
            self.machine.is_large(&lanes, to);
            return Ok(true);
        };
        let mut of: HashMap<Lane, Vec<Stored>> = HashMap::new();
        for event in batch {
            of.entry(lane(event.lane)).or_default().push(event);
        }
        if !of.is_empty() {
            fault::point("events.relay.read");
        }
        for lane in lanes {
            let events = of.remove(&lane).unwrap_or_default();
            self.deliver(lane, events, to, Cursor { passed: to, pos: 0 });
        }
        Ok(true)
    }

    async fn make_tick(&mut self, passed: i64, looked: &tick::Looked) -> Result<bool, Error> {
        let now = Instant::now();
        let is_due = looked.delayed.is_some_and(|wait| wait <= 0.0) && now >= self.release;
        if !looked.is_behind && !is_due {
            self.machine.at_end(passed);
            self.look = now + self.core.config.poll;
            if let Some(wait) = looked.delayed.filter(|wait| *wait > 0.0) {
                self.look = self.look.min(now + Duration::from_secs_f64(wait.min(3600.0)));
            }
            self.ask_if_due(now);
            return Ok(true);
        }
        if self.machine.is_busy() && now < self.cut + CUT_EVERY {
            self.machine.at_end(passed);
            self.look = self.cut + CUT_EVERY;
            return Ok(false);
        }
        let released = tick::cut(&self.core.db).await?;
        self.cut = now;
        if is_due && released == 0 {
            // Somebody is taking back all that is due, and has not committed yet: it is not cut for again and again.
            self.release = now + self.core.config.poll;
        }
        fault::point("events.relay.cut");
        Ok(true)
    }

    /// A sink that has nothing to take would not notice that it has lost something.
    fn ask_if_due(&mut self, now: Instant) {
        if self.asks && now >= self.asked + self.core.config.lease {
            self.asked = now;
            self.machine.ask_again();
        }
    }

    /// Takes events of a lane in hand, which then has come to `reached`.
    fn deliver(&mut self, lane: Lane, events: Vec<Stored>, to: i64, reached: Cursor) {
        if events.is_empty() {
            return self.machine.passes(lane, reached);
        }
        let mut envelopes: Vec<Envelope> = Vec::with_capacity(events.len());
        for event in events {
            METRICS.lag.record(event.age.max(0.0), &[]);
            envelopes.push(event.at(to));
        }
        if let Some(replay) = &self.replay {
            self.pace.took(replay.lasts(envelopes.len(), self.machine.held().len()));
            replay.pass(&mut envelopes);
        }
        if envelopes.is_empty() {
            return self.machine.passes(lane, reached);
        }
        self.in_hand += envelopes.len();
        self.spawn(lane, Work::Deliver { count: envelopes.len(), events: envelopes, reached });
    }

    fn spawn(&mut self, lane: Lane, work: Work) {
        let Some(taken) = self.machine.takes(lane) else { return };
        let token = self.alive.child_token();
        self.tokens.insert(lane, token.clone());
        let core = Arc::clone(&self.core);
        let (count, grant) = (work.count(), taken.grant);
        self.works.spawn(async move {
            let work = AssertUnwindSafe(work.run(&core, lane, taken)).catch_unwind();
            let outcome = tokio::select! {
                outcome = work => outcome.ok(),
                () = token.cancelled() => None,
            };
            Done::Of { lane, grant, count, outcome }
        });
    }

    /// Runs the parked that are due, in a task beside the lanes.
    fn retry_if_due(&mut self) {
        let is_due = self.retry.is_some_and(|at| at <= Instant::now());
        if !is_due || self.is_retrying || !matches!(self.core.target, Target::Consumers(_)) {
            return;
        }
        self.is_retrying = true;
        self.retry = None;
        let (core, lanes, alive) = (Arc::clone(&self.core), self.machine.held(), self.alive.clone());
        self.works.spawn(async move {
            let Target::Consumers(executor) = &core.target else { return Done::Ended };
            tokio::select! {
                retried = executor.retry(&lanes) => Done::Retried(retried),
                () = alive.cancelled() => Done::Retried(Ok(Default::default())),
            }
        });
    }

    fn due_in(&mut self, seconds: f64) {
        // What is due for a sink comes with a tick.
        if !matches!(self.core.target, Target::Consumers(_)) {
            return;
        }
        let at = Instant::now() + Duration::from_secs_f64(seconds.clamp(0.0, 3600.0));
        self.retry = Some(self.retry.map_or(at, |known| known.min(at)));
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Ended => {}
            Done::Retried(Ok(retried)) => {
                self.is_retrying = false;
                if let Some(next) = retried.next {
                    self.due_in(next.as_secs_f64());
                }
            }
            Done::Retried(Err(error)) => {
                self.is_retrying = false;
                self.retry = Some(Instant::now() + BACKOFF.delay(1));
                self.failed(&error);
            }
            Done::Of { lane, grant, count, outcome } => {
                self.in_hand -= count;
                self.passed += count;
                self.came_of(lane, grant, outcome);
            }
        }
    }

    fn came_of(&mut self, lane: Lane, grant: u64, outcome: Option<super::work::Outcome>) {
        use super::work::Outcome;
        match outcome {
            Some(Outcome::Reached { at, parked, floor }) => {
                self.machine.done(lane, grant, at, floor);
                if parked > 0 {
                    self.due_in(0.0);
                }
            }
            Some(Outcome::Asked { floor, back }) => {
                self.large.remove(&lane);
                self.machine.asked(lane, grant, floor, back);
            }
            Some(Outcome::Fenced) => {
                self.large.remove(&lane);
                self.machine.fenced(lane, grant);
            }
            Some(Outcome::Unfinished) | None => {
                self.large.remove(&lane);
                self.machine.undone(lane, grant);
            }
            Some(Outcome::Failed(error)) => {
                self.large.remove(&lane);
                self.machine.fenced(lane, grant);
                self.failed(&error);
            }
        }
    }

    fn hear(&mut self, view: View) {
        if self.alive.is_cancelled() {
            self.silent();
        }
        self.alive = view.alive;
        if self.paused && !view.paused {
            self.machine.wake();
        }
        self.paused = view.paused;
        self.replay = view.replay;
        for lane in self.machine.beat(&view.owned, view.share) {
            METRICS.fenced.add(1, &[]);
            self.drop_lane(lane);
        }
        self.core.holds(self.machine.held().len(), self.in_hand);
    }

    /// The leases may have run out: nothing is done for them any more.
    fn silent(&mut self) {
        self.machine.silent();
        self.tokens.clear();
        self.large.clear();
    }

    fn drop_lane(&mut self, lane: Lane) {
        self.large.remove(&lane);
        if let Some(token) = self.tokens.remove(&lane) {
            token.cancel();
        }
    }

    fn forget(&mut self, owned: &[Owned]) {
        owned.iter().for_each(|owned| self.drop_lane(owned.lane));
    }

    async fn write_if_due(&mut self) -> Result<(), Error> {
        let is_idle = !self.machine.is_busy();
        let is_due = self.written.elapsed() >= WRITTEN_EVERY || self.passed >= WRITTEN_AFTER;
        if is_idle || is_due { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<(), Error> {
        let unwritten = self.machine.unwritten();
        if !unwritten.is_empty() {
            let written = lease::advance(&self.core, &unwritten).await?;
            for lane in self.machine.wrote(&unwritten, &written) {
                METRICS.fenced.add(1, &[]);
                self.drop_lane(lane);
            }
            fault::point("events.relay.advanced");
        }
        (self.written, self.passed) = (Instant::now(), 0);
        Ok(())
    }

    /// When there is something to do that nothing announces.
    fn until(&self) -> Instant {
        let now = Instant::now();
        let mut until = now + self.core.config.poll;
        if let Some(rests) = self.rests.filter(|rests| *rests > now) {
            return rests;
        }
        match self.pace.waits() {
            Some(free) => until = until.min(free),
            None if self.machine.next().is_none() && self.look > now => until = until.min(self.look),
            None => {}
        }
        if !self.machine.unwritten().is_empty() {
            until = until.min(self.written + WRITTEN_EVERY);
        }
        if let Some(retry) = self.retry.filter(|_| !self.is_retrying && !self.paused) {
            until = until.min(retry);
        }
        until.max(now + Duration::from_millis(1))
    }

    /// What waits for a sink that is away would wait for as long as that takes.
    fn end_what_waits(&self) {
        if matches!(&self.core.target, Target::Sink(outlet) if outlet.breaker.is_open()) {
            self.tokens.values().for_each(CancellationToken::cancel);
        }
    }

    /// What is in hand ends, and the lanes are handed on. Where that fails, they expire.
    async fn end(mut self) {
        while !self.works.is_empty() {
            tokio::select! {
                Some(done) = self.works.join_next() => self.done(done.unwrap_or(Done::Ended)),
                () = tokio::time::sleep(END_EVERY) => self.end_what_waits(),
            }
        }
        let lanes = self.machine.all();
        let released = lease::release(&self.core, &lanes).await;
        if let Err(error) = released.and(lease::leave(&self.core).await) {
            tracing::warn!(
                subscription = self.core.config.subscription,
                "the lanes could not be handed on: {error}"
            );
        }
    }
}
