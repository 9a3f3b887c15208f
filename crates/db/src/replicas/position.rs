//! Where the primary was when.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::lsn::Lsn;

/// Positions that are remembered: two minutes of the usual looks. Who lags further behind than that lags too far.
const REMEMBERED: usize = 1200;

/// The primary's positions over time, by this machine's clock.
#[derive(Default)]
pub(super) struct Positions {
    /// Oldest first; both members never decrease.
    seen: VecDeque<(Lsn, Instant)>,
}

impl Positions {
    /// The primary was at this position, or not yet, at that moment.
    pub(super) fn primary_was_at(&mut self, position: Lsn, when: Instant) {
        // A position that goes back is that of another server, after a failover: what was known is of no use.
        if self.seen.back().is_some_and(|(last, _)| *last > position) {
            self.seen.clear();
        }
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back((position, when));
    }

    /// How long ago whoever has replayed this far was as far as the primary, at most. `None` where that is longer ago than
    /// anything known.
    pub(super) fn lag(&self, replayed: Lsn, now: Instant) -> Option<Duration> {
        let reached = self.seen.iter().rev().find(|(position, _)| *position <= replayed);
        reached.map(|(_, when)| now.saturating_duration_since(*when))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_the_age_of_the_last_position_that_was_reached() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut positions = Positions::default();
        for (position, after) in [(10, 0), (20, 1), (20, 2), (30, 3)] {
            positions.primary_was_at(Lsn::from_u64(position), start + after * second);
        }
        let lag = |replayed| positions.lag(Lsn::from_u64(replayed), start + 4 * second);
        assert_eq!(lag(9), None);
        assert_eq!(lag(10), Some(4 * second));
        assert_eq!(lag(29), Some(2 * second));
        assert_eq!(lag(30), Some(second), "without news of the primary nobody is known to be up to date");
    }

    #[test]
    fn another_server_with_an_earlier_position_begins_anew() {
        let now = Instant::now();
        let mut positions = Positions::default();
        positions.primary_was_at(Lsn::from_u64(100), now);
        positions.primary_was_at(Lsn::from_u64(50), now);
        assert_eq!(positions.lag(Lsn::from_u64(40), now), None);
        assert_eq!(positions.lag(Lsn::from_u64(60), now), Some(Duration::ZERO));
    }

    #[test]
    fn the_past_that_is_remembered_has_an_end() {
        let now = Instant::now();
        let mut positions = Positions::default();
        for position in 0..5000 {
            positions.primary_was_at(Lsn::from_u64(position), now);
        }
        assert_eq!(positions.seen.len(), REMEMBERED);
    }
}
