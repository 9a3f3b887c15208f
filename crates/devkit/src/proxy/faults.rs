//! Which faults are on, and when a chunk may pass.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::counters::{Counters, Traffic};
use super::timer::sleep_until;

/// Throttled bytes go in pieces that take so long, so that they drip.
const PIECE: Duration = Duration::from_millis(20);
const PIECES_PER_SECOND: u64 = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    ToServer,
    ToClient,
}

/// The faults that last, and how often those of a moment were asked for.
#[derive(Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) refusing: bool,
    pub(super) cuts: u64,
    pub(super) resets: u64,
    lanes: [Lane; 2],
}

#[derive(Clone, Copy, Default)]
pub(super) struct Lane {
    pub(super) delay: Duration,
    /// Bytes per second.
    pub(super) rate: Option<u64>,
    pub(super) limit: Option<Limit>,
    pub(super) half_closes: u64,
}

/// How many bytes may still pass, and what the next one meets.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    pub(super) left: u64,
    pub(super) then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Stall,
    Cut,
}

impl Faults {
    pub(super) fn lane(&mut self, way: Way) -> &mut Lane {
        &mut self.lanes[way as usize]
    }

    pub(super) fn half_closes(&self, way: Way) -> u64 {
        self.at(way).half_closes
    }

    fn at(&self, way: Way) -> &Lane {
        &self.lanes[way as usize]
    }

    pub(super) fn heal(&mut self) {
        self.refusing = false;
        for lane in &mut self.lanes {
            *lane = Lane { half_closes: lane.half_closes, ..Lane::default() };
        }
    }

    #[cfg(feature = "tls")]
    pub(super) fn is_stalled(&self) -> bool {
        let stalled = |lane: &Lane| matches!(lane.limit, Some(Limit { left: 0, then: Then::Stall }));
        self.lanes.iter().any(stalled)
    }
}

impl Lane {
    /// How many of `wanted` bytes may pass at once. A FIN has none and obeys the same limit.
    fn take(&mut self, wanted: usize) -> Result<usize, Then> {
        let wanted = self.rate.map_or(wanted, |rate| wanted.min(to_usize(rate / PIECES_PER_SECOND).max(1)));
        match &mut self.limit {
            None => Ok(wanted),
            Some(Limit { left: 0, then }) => Err(*then),
            Some(Limit { left, .. }) => {
                let taken = wanted.min(to_usize(*left));
                *left -= taken as u64;
                Ok(taken)
            }
        }
    }
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// What a proxy and its connections share.
#[derive(Default)]
pub(super) struct Link {
    faults: watch::Sender<Faults>,
    pub(super) counters: watch::Sender<Counters>,
}

impl Link {
    pub(super) fn faults(&self) -> Faults {
        *self.faults.borrow()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Faults)) {
        self.faults.send_modify(change);
    }

    /// Waits until the faults are as wanted.
    pub(super) async fn until(&self, wanted: impl FnMut(&Faults) -> bool) -> Faults {
        let mut faults = self.faults.subscribe();
        let reached = faults.wait_for(wanted).await.map(|faults| *faults);
        // Fails when the sender is gone, which is ours.
        reached.unwrap_or_else(|_| self.faults())
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Counters)) {
        self.counters.send_modify(count);
    }

    pub(super) fn count_traffic(&self, way: Way, count: impl FnOnce(&mut Traffic)) {
        self.count(|counters| {
            count(match way {
                Way::ToServer => &mut counters.to_server,
                Way::ToClient => &mut counters.to_client,
            });
        });
    }

    /// Limits only ever shrink here, for which nobody waits, so nobody is woken.
    fn take(&self, way: Way, wanted: usize) -> Result<usize, Then> {
        let mut taken = Ok(wanted);
        self.faults.send_if_modified(|faults| {
            taken = faults.lane(way).take(wanted);
            false
        });
        taken
    }
}

/// The end of one direction of one connection, where chunks wait until they may pass.
pub(super) struct Gate {
    link: Arc<Link>,
    faults: watch::Receiver<Faults>,
    way: Way,
    /// When the last throttled piece has passed.
    free: Instant,
}

/// The connection is to be cut.
pub(super) struct Cut;

impl Gate {
    pub(super) fn new(link: &Arc<Link>, way: Way) -> Gate {
        Gate { link: Arc::clone(link), faults: link.faults.subscribe(), way, free: Instant::now() }
    }

    /// Waits until something that came at `since` may pass, and says how many of its bytes.
    pub(super) async fn pass(&mut self, since: Instant, wanted: usize) -> Result<usize, Cut> {
        loop {
            let lane = *self.faults.borrow_and_update().at(self.way);
            let Some(due) = self.due(&lane, since) else {
                self.change().await;
                continue;
            };
            if self.changes_before(due).await {
                continue;
            }
            match self.link.take(self.way, wanted) {
                Ok(taken) => {
                    self.throttle(&lane, due, taken);
                    return Ok(taken);
                }
                Err(Then::Cut) => return Err(Cut),
                Err(Then::Stall) => self.change().await,
            }
        }
    }

    /// `None` for never.
    fn due(&self, lane: &Lane, since: Instant) -> Option<Instant> {
        let arrival = since.checked_add(lane.delay)?;
        Some(if lane.rate.is_some() { arrival.max(self.free) } else { arrival })
    }

    /// Counts from when the piece was due, not from when it went, so that late timers do not add up; but what was not
    /// sent for long is not made up for.
    fn throttle(&mut self, lane: &Lane, due: Instant, taken: usize) {
        if let Some(rate) = lane.rate {
            let now = Instant::now();
            let earliest = now.checked_sub(PIECE).unwrap_or(now);
            self.free = due.max(earliest) + Duration::from_secs_f64(taken as f64 / rate as f64);
        }
    }

    async fn change(&mut self) {
        // Fails when the sender is gone, which is ours.
        let _ = self.faults.changed().await;
    }

    /// Whether the faults change before that moment.
    async fn changes_before(&mut self, due: Instant) -> bool {
        if due <= Instant::now() {
            return false;
        }
        tokio::select! {
            () = sleep_until(due) => false,
            () = self.change() => true,
        }
    }
}
