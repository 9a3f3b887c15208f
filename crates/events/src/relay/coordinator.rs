//! The relay at work: it asks the [`Machine`] what to do next, does it, and tells it what came of it.

mod done;
mod flow;
mod take;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use shared_core::{Backoff, fault};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lease::{self, View};
use super::machine::{Machine, Next, Owned};
use super::work::{Done, Passed, Passing};
use super::{Core, Target, read, tick};
use crate::metrics::METRICS;
use crate::publish::SIGNAL;
use crate::replay::{Bounds, Pace};
use crate::{Error, LANES, Lane, timeline};
use flow::Flow;

/// The waits of a relay that can't go on, such as while the database restarts.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// Cursors are written so often at most, or ten times in a lease: what a crash makes come again, only to be known, stays small. Each write leaves
/// a dead row of each lane, over which all later ones walk for as long as somebody holds a snapshot: ten minutes of one are ten thousand rows.
const WRITTEN_EVERY: Duration = Duration::from_secs(1);

/// After something was found it is looked so soon for more, and then half as often each time, down to [`Config::poll`](crate::Config::poll).
const LOOK_FIRST: Duration = Duration::from_millis(20);

/// While a relay ends, it looks so often whether what is in hand can end.
const END_EVERY: Duration = Duration::from_millis(50);

/// So long it takes events in hand, before it hears what came meanwhile.
const ACTS_FOR: Duration = Duration::from_millis(20);

/// Ticks that are made while lanes are at work lie so far apart: else a lane that takes long would find hundreds of them.
const CUT_EVERY: Duration = Duration::from_millis(10);

pub(super) struct Coordinator {
    core: Arc<Core>,
    machine: Machine,
    works: JoinSet<Done>,
    /// For consumers: what is on its way, of each lane.
    flows: HashMap<Lane, Flow>,
    /// End the work for a lane; all of them end with `alive`.
    tokens: HashMap<Lane, CancellationToken>,
    alive: CancellationToken,
    /// Lanes that catch up stop behind their page when it is cancelled.
    yields: CancellationToken,
    /// Where they tell how far they are.
    passing: (Passing, mpsc::Receiver<Passed>),
    paused: bool,
    /// What it is held to, if the subscription is a replay, and how fast it may go on.
    replay: Option<Bounds>,
    pace: Pace,
    /// Events that were read for a sink and are not done.
    in_hand: usize,
    written: Instant,
    /// When it made a tick, and the newest that there is; a large number if that is not known.
    cut: Instant,
    newest: i64,
    /// When the next of the parked is due, unless they are being run.
    retry: Option<Instant>,
    is_retrying: bool,
    /// When to look again, after everything was read, and how often that was in vain.
    look: Instant,
    in_vain: u32,
    /// Not before then is a tick made for delayed events alone.
    release: Instant,
    failures: u32,
    rests: Option<Instant>,
    /// Until then nothing is handed on, since that has failed.
    keeps_until: Option<Instant>,
    /// When lanes were last handed on.
    released: Instant,
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
            flows: HashMap::new(),
            tokens: HashMap::new(),
            alive: CancellationToken::new(),
            yields: CancellationToken::new(),
            // One for each lane, so that none waits for another to be heard.
            passing: mpsc::channel(usize::from(LANES)),
            paused: false,
            replay: None,
            pace: Pace::default(),
            in_hand: 0,
            written: now,
            cut: now,
            newest: i64::MAX,
            retry: None,
            is_retrying: false,
            look: now,
            in_vain: 0,
            release: now,
            failures: 0,
            rests: None,
            keeps_until: None,
            released: now,
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
                Some(done) = self.works.join_next() => self.all_done(done.unwrap_or(Done::Ended)),
                Some(passed) = self.passing.1.recv() => self.passed(passed),
                () = notified => self.machine.wake(),
                () = core.told.notified() => self.machine.wake(),
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
        if tick::is_gone_back(error) {
            self.give_up();
        }
    }

    /// The database is not what it was: all lanes are given up, as when their leases run out, and the next beat gives them back as it has
    /// them. What was found before at a sink may have been of what it has forgotten.
    fn give_up(&mut self) {
        self.alive.cancel();
        self.core.forgotten.fetch_max(self.core.seen(), Ordering::Relaxed);
        if let Target::Sink(outlet) = &self.core.target {
            outlet.foreign.forget_all();
        }
    }

    async fn try_to_act(&mut self) -> Result<(), Error> {
        self.give_up_surplus().await;
        if !self.paused {
            self.retry_if_due();
            let begun = Instant::now();
            while !self.core.stop.is_cancelled()
                && begun.elapsed() < ACTS_FOR
                && let Some(next) = self.possible()
            {
                let (most, lanes) = (self.room(), self.machine.held().len());
                let most = self.replay.as_ref().map_or(most, |replay| most.min(replay.most(lanes)));
                if !self.take(next, most).await? {
                    break;
                }
            }
        }
        self.write_if_due().await
    }

    /// What can be taken in hand now.
    fn possible(&self) -> Option<Next> {
        if self.paused || self.pace.waits().is_some() {
            return None;
        }
        let is_possible =
            |next: &Next| self.room() > 0 || !self.is_for_sink() || matches!(next, Next::Ask(_));
        self.machine.next().filter(is_possible)
    }

    /// Hands on the lanes beyond its share. Those that can't be are worked on for another lease.
    async fn give_up_surplus(&mut self) {
        let now = Instant::now();
        if self.keeps_until.is_some_and(|until| until > now) {
            return;
        }
        let surplus = self.machine.surplus();
        self.forget(&surplus);
        if let Err(error) = lease::release(&self.core, &surplus).await {
            self.machine.takes_back(&surplus);
            self.keeps_until = Some(now + self.core.config.lease);
            self.core.says(Some(error.to_string()));
            tracing::warn!(
                subscription = self.core.config.subscription,
                "lanes could not be handed on: {error}"
            );
        }
        if !surplus.is_empty() {
            self.released = Instant::now();
        }
        self.machine.leaving().into_iter().for_each(|lane| self.let_go(lane));
    }

    /// Events that may be read of all lanes together. Of a flood for consumers half of the room is left, for what others publish behind it.
    fn room(&self) -> usize {
        let room = (self.core.config.page as usize).saturating_sub(self.in_hand());
        let bytes: usize = self.flows.values().map(|flow| flow.window.read_bytes()).sum();
        match self.is_for_sink() {
            true => room,
            false if bytes >= read::BYTES => 0,
            false => room / 2,
        }
    }

    /// Events in memory that are not done.
    fn in_hand(&self) -> usize {
        self.in_hand + self.flows.values().map(|flow| flow.window.read_events()).sum::<usize>()
    }

    fn is_for_sink(&self) -> bool {
        matches!(self.core.target, Target::Sink(_))
    }

    /// Runs the parked that are due, in a task beside the lanes.
    fn retry_if_due(&mut self) {
        let is_due = self.retry.is_some_and(|at| at <= Instant::now());
        if !is_due || self.is_retrying || self.is_for_sink() {
            return;
        }
        self.is_retrying = true;
        self.retry = None;
        let (core, lanes, alive) = (Arc::clone(&self.core), self.machine.held(), self.alive.clone());
        self.works.spawn(async move {
            let Target::Consumers(executor) = &core.target else { return Done::Ended };
            let retry = AssertUnwindSafe(executor.retry(&lanes)).catch_unwind();
            tokio::select! {
                // What is still due after a bug is found by the next look.
                retried = retry => Done::Retried(retried.unwrap_or_else(|_| Ok(Default::default()))),
                () = alive.cancelled() => Done::Retried(Ok(Default::default())),
            }
        });
    }

    fn due_in(&mut self, seconds: f64) {
        // What is due for a sink comes with a tick.
        if self.is_for_sink() {
            return;
        }
        let at = Instant::now() + Duration::from_secs_f64(seconds.clamp(0.0, 3600.0));
        self.retry = Some(self.retry.map_or(at, |known| known.min(at)));
    }

    fn hear(&mut self, view: View) {
        if self.core.timeline.is_other(view.timeline) {
            self.taken_over(&view);
            return;
        }
        if self.alive.is_cancelled() {
            self.silent();
        }
        self.core.timeline.set(view.timeline);
        self.alive = view.alive;
        if self.paused && !view.paused {
            self.machine.wake();
        }
        self.paused = view.paused;
        self.replay = view.replay;
        let before = self.machine.held().len();
        if before == 0 {
            // What was seen before may have been taken away meanwhile.
            self.core.seen.store(0, Ordering::Relaxed);
        }
        if view.begun > self.released {
            self.machine.were_given_up();
        }
        for lane in self.machine.beat(&view.owned, view.share) {
            METRICS.fenced.add(1, &[]);
            self.drop_lane(lane);
        }
        // Lanes that catch up share the page among them, and are let go between two pages.
        let held = self.machine.held().len();
        if self.paused || held > view.share || held != before {
            std::mem::take(&mut self.yields).cancel();
        }
        if self.paused {
            self.machine.held().into_iter().for_each(|lane| self.let_go(lane));
        }
        self.core.holds(self.machine.held().len(), self.in_hand());
    }

    /// Another server has the database, maybe without what was done last: what is in hand ends, and the next beat gives the lanes back as that one
    /// has them. What else it has forgotten shows when it is read.
    fn taken_over(&mut self, view: &View) {
        let error = timeline::taken_over();
        self.core.says(Some(error.to_string()));
        tracing::warn!(subscription = self.core.config.subscription, "the relay begins anew: {error}");
        self.alive.cancel();
        view.alive.cancel();
        self.silent();
        self.core.timeline.set(view.timeline);
    }

    /// The leases may have run out: nothing is done for them any more.
    fn silent(&mut self) {
        self.machine.silent();
        self.tokens.clear();
        self.flows.clear();
        Lane::all().for_each(|lane| self.forget_foreign(lane));
    }

    fn drop_lane(&mut self, lane: Lane) {
        if let Some(token) = self.tokens.remove(&lane) {
            token.cancel();
        }
        self.flows.remove(&lane);
        self.forget_foreign(lane);
    }

    fn forget_foreign(&self, lane: Lane) {
        if let Target::Sink(outlet) = &self.core.target {
            outlet.foreign.forget(lane);
        }
    }

    fn forget(&mut self, owned: &[Owned]) {
        owned.iter().for_each(|owned| self.drop_lane(owned.lane));
    }

    async fn write_if_due(&mut self) -> Result<(), Error> {
        if self.written.elapsed() >= self.written_every() { self.write().await } else { Ok(()) }
    }

    fn written_every(&self) -> Duration {
        WRITTEN_EVERY.min(self.core.config.lease / 10)
    }

    async fn write(&mut self) -> Result<(), Error> {
        let unwritten = self.machine.unwritten();
        if unwritten.is_empty() {
            return Ok(());
        }
        let written = lease::advance(&self.core, &unwritten).await?;
        for lane in self.machine.wrote(&unwritten, &written) {
            METRICS.fenced.add(1, &[]);
            self.drop_lane(lane);
        }
        fault::point("events.relay.advanced");
        self.written = Instant::now();
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
            None if self.possible().is_some() => until = now,
            None if self.machine.next().is_none() && self.look > now => until = until.min(self.look),
            None => {}
        }
        if !self.machine.unwritten().is_empty() {
            until = until.min(self.written + self.written_every());
        }
        if let Some(retry) = self.retry.filter(|_| !self.is_retrying && !self.paused) {
            until = until.min(retry);
        }
        until.max(now + Duration::from_millis(1))
    }

    /// What waits for a sink that is away, or for an operator, would wait for as long as that takes.
    fn end_what_waits(&self) {
        let Target::Sink(outlet) = &self.core.target else { return };
        let (is_away, foreign) = (outlet.breaker.is_open(), outlet.foreign.said());
        let waits = |lane: &Lane| is_away || foreign.contains_key(&lane.number());
        self.tokens.iter().filter(|(lane, _)| waits(lane)).for_each(|(_, token)| token.cancel());
    }

    /// What is in hand ends, and the lanes are handed on. Where that fails, they expire.
    async fn end(mut self) {
        self.yields.cancel();
        while !self.works.is_empty() {
            tokio::select! {
                Some(passed) = self.passing.1.recv() => self.passed(passed),
                Some(done) = self.works.join_next() => self.all_done(done.unwrap_or(Done::Ended)),
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
