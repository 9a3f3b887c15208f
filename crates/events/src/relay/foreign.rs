//! Lanes of a sink to which somebody else has written: each waits by itself, and an operator is told.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared_core::Backoff;

use crate::{Lane, Place};

/// The waits between the times that such a lane is tried: it goes on soon after that was taken out.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

/// When it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum When {
    Asking,
    Sending,
}

#[derive(Default)]
pub(super) struct Foreign(Mutex<Lanes>);

#[derive(Default)]
struct Lanes {
    found: BTreeMap<(Lane, When), Found>,
    /// From which place on a lane is not ours. That stays when the lane is lost: it may come back, and then nothing else would tell
    /// such a place from one of before a restore.
    since: BTreeMap<Lane, Place>,
}

#[derive(Default)]
struct Found {
    times: u32,
    why: String,
}

impl Foreign {
    /// Notes what was found, and waits until the lane may be tried again.
    pub(super) async fn found(&self, lane: Lane, when: When, why: String) {
        let wait = {
            let mut lanes = self.lock();
            let found = lanes.found.entry((lane, when)).or_default();
            (found.times, found.why) = (found.times.saturating_add(1), why);
            BACKOFF.delay(found.times)
        };
        tokio::time::sleep(wait).await;
    }

    /// The sink has this last, which is not ours.
    pub(super) fn begins(&self, lane: Lane, at: Place) {
        let since = &mut self.lock().since;
        let first = since.get(&lane).map_or(at, |known| at.min(*known));
        since.insert(lane, first);
    }

    /// From which place on the lane is not ours, as far as this process has seen.
    pub(super) fn since(&self, lane: Lane) -> Option<Place> {
        self.lock().since.get(&lane).copied()
    }

    /// It was tried, and nothing was found.
    pub(super) fn is_gone(&self, lane: Lane, when: When) {
        let mut lanes = self.lock();
        lanes.found.remove(&(lane, when));
        if when == When::Asking {
            lanes.since.remove(&lane);
        }
    }

    /// The lane is another's.
    pub(super) fn forget(&self, lane: Lane) {
        self.lock().found.retain(|(of, _), _| *of != lane);
    }

    /// The database knows no more what was before: neither does this.
    pub(super) fn forget_all(&self) {
        *self.lock() = Lanes::default();
    }

    /// The lanes of which something was found, and what.
    pub(super) fn said(&self) -> BTreeMap<u8, String> {
        self.lock().found.iter().map(|((lane, _), found)| (lane.number(), found.why.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
