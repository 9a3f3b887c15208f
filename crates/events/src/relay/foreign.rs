//! Lanes of a sink to which somebody else has written: each waits by itself, and an operator is told.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared_core::Backoff;

use crate::Lane;

/// The waits between the times that such a lane is tried: it goes on soon after that was taken out.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

/// When it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum When {
    Asking,
    Sending,
}

#[derive(Default)]
pub(super) struct Foreign(Mutex<BTreeMap<(Lane, When), Found>>);

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
            let found = lanes.entry((lane, when)).or_default();
            (found.times, found.why) = (found.times.saturating_add(1), why);
            BACKOFF.delay(found.times)
        };
        tokio::time::sleep(wait).await;
    }

    /// It was tried, and nothing was found.
    pub(super) fn is_gone(&self, lane: Lane, when: When) {
        self.lock().remove(&(lane, when));
    }

    /// The lane is another's.
    pub(super) fn forget(&self, lane: Lane) {
        self.lock().retain(|(of, _), _| *of != lane);
    }

    /// The lanes of which something was found, and what.
    pub(super) fn said(&self) -> BTreeMap<u8, String> {
        self.lock().iter().map(|((lane, _), found)| (lane.number(), found.why.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Lane, When), Found>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
