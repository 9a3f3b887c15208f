//! Taking events in hand: what the lanes have behind a tick is read, or a tick is made.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use shared_core::fault;
use tokio::time::Instant;

use super::super::machine::{Cursor, Next};
use super::super::reader::{Bounds, Page, Reader};
use super::super::ticks::Cut;
use super::super::work::{Behind, Done, Work};
use super::super::{read, tick};
use super::{CUT_EVERY, Coordinator, LOOK_FIRST};
use crate::window::Seen;
use crate::{Envelope, Error, LANES, Lane, replay};

/// What lanes have between two ticks: the events, or those that are read later.
enum Batch {
    Read(Vec<Envelope>),
    Seen(Vec<Seen>),
}

impl Batch {
    /// Lane by lane.
    fn pages(self) -> HashMap<Lane, (Vec<Envelope>, Vec<Seen>)> {
        let mut pages: HashMap<Lane, (Vec<Envelope>, Vec<Seen>)> = HashMap::new();
        match self {
            Self::Read(events) => {
                events.into_iter().for_each(|event| pages.entry(event.lane).or_default().0.push(event));
            }
            Self::Seen(seen) => {
                seen.into_iter().for_each(|event| pages.entry(event.lane).or_default().1.push(event));
            }
        }
        pages
    }
}

impl Coordinator {
    /// Does one thing; `false` if it has to wait.
    pub(super) async fn take(&mut self, next: Next, most: usize) -> Result<bool, Error> {
        match next {
            Next::Ask(lane) => {
                self.spawn(lane, Work::Ask, 0);
                Ok(true)
            }
            Next::Read { passed, lanes } => self.read(passed, lanes, most).await,
        }
    }

    /// Reads what these lanes have up to the next ticks, or makes one.
    async fn read(&mut self, passed: i64, lanes: Vec<Lane>, most: usize) -> Result<bool, Error> {
        if self.replay.as_ref().is_some_and(|replay| replay.is_over(passed)) {
            self.machine.at_end(passed);
            self.look_later(Instant::now());
            return Ok(true);
        }
        if passed >= self.newest && self.is_too_soon(Instant::now()) {
            return Ok(self.waits_for_a_tick(passed));
        }
        let core = Arc::clone(&self.core);
        let mut looked = tick::look(core.log(), passed, core.seen(), &lanes).await?;
        self.newest = looked.newest;
        core.seen.fetch_max(looked.newest, Ordering::Relaxed);
        if let Some(due) = looked.due {
            self.due_in(due);
        }
        if let Some(ends) = self.replay.as_ref().and_then(replay::Bounds::ends) {
            looked.cuts.retain(|cut| cut.tick <= ends);
            looked.newest = looked.newest.min(ends);
        }
        let Some(to) = looked.cuts.last().map(|cut| cut.tick) else {
            return self.make_tick(passed, &looked).await;
        };
        match self.batch(passed, &lanes, &looked.cuts, most).await? {
            None => self.catch_up(&lanes, looked.newest),
            Some((batch, is_clear)) => {
                let mut pages = batch.pages();
                for lane in lanes {
                    let (events, seen) = pages.remove(&lane).unwrap_or_default();
                    let page = Page { events, seen, reached: Cursor { passed: to, pos: 0 } };
                    for page in self.parts(page, passed, &looked.cuts) {
                        self.deliver(lane, page, is_clear);
                    }
                }
            }
        }
        Ok(true)
    }

    /// What consumers get of a batch, in parts, so that the cursor moves on while the rest of it waits. A replay's pace goes by the whole.
    fn parts(&self, mut page: Page, passed: i64, cuts: &[Cut]) -> Vec<Page> {
        let is_whole = self.is_for_sink() || self.replay.is_some();
        let (most, mut parts) = (if is_whole { usize::MAX } else { self.portion() }, Vec::new());
        while page.len() > most {
            let rest = page.split_off(most);
            let mut part = std::mem::replace(&mut page, rest);
            if let Some(last) = part.last() {
                let before = cuts.iter().rev().find(|cut| cut.tick < last.tick);
                part.reached = Cursor { passed: before.map_or(passed, |cut| cut.tick), pos: last.pos };
            }
            parts.push(part);
        }
        parts.push(page);
        parts
    }

    /// What the lanes have up to the last of these ticks, and whether nothing of them is parked; `None` if there is no room for it, or for a sink more
    /// than their part of a page, or a lane stands within a batch.
    async fn batch(
        &self,
        passed: i64,
        lanes: &[Lane],
        cuts: &[Cut],
        most: usize,
    ) -> Result<Option<(Batch, bool)>, Error> {
        let (log, to) = (self.core.log(), cuts.last().map_or(passed, |cut| cut.tick));
        if self.machine.stands_within(lanes) {
            return Ok(None);
        }
        let page = self.core.config.page as usize;
        let (most, known) = match self.is_for_sink() || self.replay.is_some() {
            // More than their part of a page they read better by themselves: meanwhile the other lanes would stand still.
            true => {
                let most = most.min(page * lanes.len() / usize::from(LANES)).max(1);
                (most, most)
            }
            // Of what there is no room for, consumers' events are known at least.
            false => (most, page),
        };
        match log.count(lanes, (passed, to, 0), known.saturating_add(1)).await? {
            0 => Ok(Some((Batch::Read(Vec::new()), true))),
            count if count > known => Ok(None),
            count if count > most => {
                let seen = log.keys(lanes, passed, cuts).await?;
                fault::point("events.relay.read");
                Ok(Some((Batch::Seen(seen), true)))
            }
            _ => {
                let batch = log.batch(lanes, passed, cuts, read::BYTES);
                let (batch, is_clear) = tokio::try_join!(batch, log.is_clear(lanes))?;
                fault::point("events.relay.read");
                Ok(batch.map(|batch| (Batch::Read(batch), is_clear)))
            }
        }
    }

    /// Lets each of these lanes read by itself until it has come to that tick: all of them together a page, half of which is read while the
    /// other half is brought to where it goes.
    fn catch_up(&mut self, lanes: &[Lane], to: i64) {
        let most = self.replay.as_ref().map_or(usize::MAX, |replay| replay.most(1));
        let events = self.portion().min(most).max(1);
        for lane in lanes {
            let Some(taken) = self.machine.taken(*lane) else { continue };
            let bounds = Bounds { events, bytes: read::BYTES / usize::from(LANES) };
            let reader = Reader::new(*lane, taken.cursor, to, bounds);
            let behind = Behind::new(reader, self.replay.clone(), self.yields.clone());
            match self.is_for_sink() {
                true => self.spawn(*lane, Work::CatchUp(behind), 2 * events),
                false => self.read_on(*lane, behind),
            }
        }
    }

    async fn make_tick(&mut self, passed: i64, looked: &tick::Looked) -> Result<bool, Error> {
        let now = Instant::now();
        let is_due = looked.delayed.is_some_and(|wait| wait <= 0.0) && now >= self.release;
        if !looked.is_behind && !is_due {
            self.machine.at_end(passed);
            self.look_later(now);
            if let Some(wait) = looked.delayed.filter(|wait| *wait > 0.0) {
                self.look = self.look.min(now + Duration::from_secs_f64(wait.min(3600.0)));
            }
            self.ask_if_due(now);
            return Ok(true);
        }
        if self.is_too_soon(now) {
            return Ok(self.waits_for_a_tick(passed));
        }
        let released = tick::cut(&self.core.db).await?;
        (self.cut, self.newest) = (now, i64::MAX);
        if is_due && released == 0 {
            // Somebody is taking back all that is due, and has not committed yet: it is not cut for again and again.
            self.release = now + self.core.config.poll;
        }
        fault::point("events.relay.cut");
        Ok(true)
    }

    /// There is no more: the next look is so much later than the last one that was in vain.
    fn look_later(&mut self, now: Instant) {
        self.look = now + LOOK_FIRST.saturating_mul(1 << self.in_vain.min(12)).min(self.core.config.poll);
        self.in_vain += 1;
    }

    /// Whether lanes are at work, and the last tick was made a moment ago.
    fn is_too_soon(&self, now: Instant) -> bool {
        self.machine.is_busy() && now < self.cut + CUT_EVERY
    }

    fn waits_for_a_tick(&mut self, passed: i64) -> bool {
        self.machine.at_end(passed);
        self.look = self.cut + CUT_EVERY;
        false
    }

    /// A sink that has nothing to take would not notice that it has lost something.
    fn ask_if_due(&mut self, now: Instant) {
        if self.asks && now >= self.asked + self.core.config.lease {
            self.asked = now;
            self.machine.ask_again();
        }
    }

    /// Takes events of a lane in hand.
    fn deliver(&mut self, lane: Lane, mut page: Page, is_clear: bool) {
        if let Some(replay) = self.replay.as_ref().filter(|_| !page.events.is_empty()) {
            self.pace.took(replay.lasts(page.events.len(), self.machine.held().len()));
            replay.pass(&mut page.events);
        }
        if !self.is_for_sink() {
            return self.take_in(lane, page);
        }
        match page.events.len() {
            0 => self.machine.passes(lane, page.reached),
            count => self.spawn(lane, Work::Send(page, is_clear), count),
        }
    }

    /// Begins work for a lane, with so many events for a sink in hand. What is delivered to consumers goes on beside other work.
    pub(super) fn spawn(&mut self, lane: Lane, work: Work, count: usize) {
        let taken = match work {
            Work::Deliver(..) => self.machine.taken(lane),
            _ => self.machine.takes(lane),
        };
        let Some(taken) = taken else { return };
        let token = self.tokens.entry(lane).or_insert_with(|| self.alive.child_token()).clone();
        let core = Arc::clone(&self.core);
        let (grant, passing) = (taken.grant, self.passing.0.clone());
        self.in_hand += count;
        if count > 0 {
            self.in_vain = 0;
        }
        self.works.spawn(async move {
            let work = AssertUnwindSafe(work.run(&core, lane, taken, &passing)).catch_unwind();
            let outcome = tokio::select! {
                outcome = work => outcome.ok(),
                () = token.cancelled() => None,
            };
            Done::Of { lane, grant, count, outcome }
        });
    }
}
