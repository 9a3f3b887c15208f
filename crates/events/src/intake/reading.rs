//! A lane of an intake: it is read on while what was read before is on its way, tenant by tenant.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use shared_core::Backoff;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::lease::{self, Owned};
use super::{Core, Read, Taken, pause};
use crate::executor::Turned;
use crate::metrics::METRICS;
use crate::window::{Most, Portion, Receipt, Window};
use crate::{Envelope, Error, Lane};

/// The waits of a lane that can't go on, such as while the broker restarts.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

/// The first wait of a lane in which nothing is new; it doubles up to the poll.
const GLANCE: Duration = Duration::from_millis(5);

/// Reads a lane until it is another's, or the intake ends.
pub(super) async fn read(core: Arc<Core>, lane: Lane, owned: Owned, stop: CancellationToken) {
    let mut reading = Reading::new(core, lane, owned);
    while !stop.is_cancelled() {
        match reading.run(&stop).await {
            Ok(Ended::Stopped) => break,
            Ok(Ended::Fenced) => {
                METRICS.fenced.add(1, &[]);
                break;
            }
            Err(error) => {
                reading.failures += 1;
                let core = &reading.core;
                core.reader.says(Some(lane), Some(error.to_string()));
                tracing::warn!(subscription = core.config.subscription, %lane, "the intake pauses: {error}");
                pause(BACKOFF.delay(reading.failures), &stop).await;
            }
        }
    }
    reading.core.reader.says(Some(lane), None);
}

/// Why a lane is read no more.
enum Ended {
    Stopped,
    /// It is another's.
    Fenced,
}

/// Where a lane is: at the broker's word for an event, so many further than where it began.
#[derive(Clone, Default)]
struct At {
    mark: Option<String>,
    count: usize,
}

struct Reading {
    core: Arc<Core>,
    lane: Lane,
    epoch: i64,
    /// The server's, when it gave the lane.
    timeline: Option<i32>,
    /// Behind what was read the next look begins.
    looked: Option<String>,
    /// The last event that was read,
    read: At,
    /// and what of it is done.
    done: At,
    window: Window<At>,
    turns: JoinSet<Result<(Receipt, Turned), Error>>,
    glance: Duration,
    failures: u32,
}

/// A look at the broker that is under way.
type Look = Pin<Box<dyn Future<Output = Result<Read, Error>> + Send>>;

impl Reading {
    fn new(core: Arc<Core>, lane: Lane, owned: Owned) -> Self {
        let at = At { mark: owned.mark, count: 0 };
        Self {
            timeline: core.executor.timeline.get(),
            core,
            lane,
            epoch: owned.epoch,
            looked: at.mark.clone(),
            read: at.clone(),
            done: at,
            window: Window::default(),
            turns: JoinSet::new(),
            glance: GLANCE,
            failures: 0,
        }
    }

    /// Reads from what is done on, until it is to stop: then what is on its way ends.
    ///
    /// # Errors
    /// Why it can't go on now: nothing is on its way then.
    async fn run(&mut self, stop: &CancellationToken) -> Result<Ended, Error> {
        (self.read, self.looked, self.window) =
            (self.done.clone(), self.done.mark.clone(), Window::default());
        let ended = self.work(stop).await;
        self.turns.shutdown().await;
        ended
    }

    async fn work(&mut self, stop: &CancellationToken) -> Result<Ended, Error> {
        let mut look = Some(self.look(Duration::ZERO));
        loop {
            if stop.is_cancelled() {
                self.window.let_go();
                if self.turns.is_empty() {
                    return Ok(Ended::Stopped);
                }
                look = None;
            }
            tokio::select! {
                Some(read) = looked(&mut look) => {
                    let (wait, moved) = self.take_in(read?);
                    if let Some(at) = moved
                        && !self.passed(at).await?
                    {
                        return Ok(Ended::Fenced);
                    }
                    self.deliver(stop);
                    look = self.has_room().then(|| self.look(wait));
                }
                Some(turned) = self.turns.join_next() => {
                    // After a bug the next beat begins anew.
                    let Ok(turned) = turned else { return Ok(Ended::Stopped) };
                    if !self.delivered(turned?).await? {
                        return Ok(Ended::Fenced);
                    }
                    self.deliver(stop);
                    if look.is_none() && self.has_room() {
                        look = Some(self.look(Duration::ZERO));
                    }
                }
                () = stop.cancelled(), if !stop.is_cancelled() => {}
                // It was told to stop a moment ago, and nothing is on its way.
                else => {}
            }
        }
    }

    /// Half of a lane's part of a page: while it is delivered, the other half is read.
    fn portion(&self) -> usize {
        self.core.portion().div_ceil(2)
    }

    fn has_room(&self) -> bool {
        self.window.events() <= self.portion()
    }

    fn look(&self, wait: Duration) -> Look {
        let (core, lane, mark, most) =
            (Arc::clone(&self.core), self.lane, self.looked.clone(), self.portion());
        Box::pin(async move {
            tokio::time::sleep(wait).await;
            core.source.read(lane, mark.as_deref(), most).await
        })
    }

    /// Takes in what was read. Returns how long to wait before the next look, and where the lane is if nothing is left.
    fn take_in(&mut self, read: Read) -> (Duration, Option<At>) {
        let (core, lane) = (&self.core, self.lane);
        let Some(last) = read.taken.last().map(|taken| taken.mark.clone()) else {
            if self.failures > 0 {
                core.reader.says(Some(lane), None);
                self.failures = 0;
            }
            self.glance = (self.glance * 2).min(core.config.poll);
            return (self.glance, None);
        };
        if read.missed && self.looked != self.read.mark {
            // What is gone was no event. Since it was taken out, events may have come before it.
            self.looked = self.read.mark.clone();
            return (Duration::ZERO, None);
        }
        if read.missed {
            METRICS.missed.add(1, &[]);
            tracing::error!(
                subscription = core.config.subscription,
                %lane,
                "the broker no longer has the last event that was read: some behind it may be missing"
            );
        }
        self.glance = GLANCE;
        self.looked = Some(last);
        // What is no event may be taken out of the broker, and what comes then may come before it: that it was read is not kept.
        let events = read.taken.iter().filter(|taken| taken.event.is_ok());
        if let Some(last) = events.clone().next_back() {
            self.read = At { mark: Some(last.mark.clone()), count: self.read.count + events.count() };
        }
        let events = read.taken.into_iter().filter_map(|taken| event(&core.config.subscription, taken));
        (Duration::ZERO, self.window.push(events.collect(), Vec::new(), self.read.clone()))
    }

    /// Sends on their way the events of tenants that have none there.
    fn deliver(&mut self, stop: &CancellationToken) {
        let most = Most { read: self.portion(), seen: 0 };
        while let Some(Portion { events, of, .. }) = self.window.next(most) {
            let (core, lane, ends) = (Arc::clone(&self.core), self.lane, stop.clone());
            self.turns.spawn(async move { Ok((of, core.executor.turn(lane, &events, &ends).await?)) });
        }
    }

    /// A tenant's events are done: what the lane has passed with them is written down. `false` where the lane is another's.
    async fn delivered(&mut self, (of, turned): (Receipt, Turned)) -> Result<bool, Error> {
        if turned.stopped {
            // The rest comes again.
            return Ok(true);
        }
        METRICS.delivered.add(of.events() as u64, &[]);
        let Some(at) = self.window.done(of) else { return Ok(true) };
        self.passed(at).await
    }

    async fn passed(&mut self, at: At) -> Result<bool, Error> {
        let (core, count) = (&self.core, at.count - self.done.count);
        let Some(mark) = at.mark.as_ref().filter(|_| count > 0) else { return Ok(true) };
        let group = &core.config.subscription;
        if !lease::advance(&core.db, group, self.lane, (self.epoch, self.timeline), (mark, count)).await? {
            return Ok(false);
        }
        core.reader.says(Some(self.lane), None);
        (self.done, self.failures) = (at, 0);
        Ok(true)
    }
}

/// What the look has found; `None` if there is none.
async fn looked(look: &mut Option<Look>) -> Option<Result<Read, Error>> {
    let read = look.as_mut()?.await;
    *look = None;
    Some(read)
}

/// What is no event is passed by: nobody could say whose it is.
fn event(group: &str, taken: Taken) -> Option<Envelope> {
    let Taken { mark, event, .. } = taken;
    event
        .inspect_err(|why| {
            METRICS.foreign.add(1, &[]);
            tracing::error!(subscription = group, mark, "the broker has something that is no event: {why}");
        })
        .ok()
}
