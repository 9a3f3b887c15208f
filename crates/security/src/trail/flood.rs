//! How much of the audit log those get whom nobody knows.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// 100 entries a second for each layer or store that records: whoever tries passwords or tokens is seen, and the database has next to
/// nothing to do with it.
const A_SECOND: u32 = 100;

/// Counts entries by the second.
#[derive(Debug, Default)]
pub(crate) struct Flood(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    since: Option<Instant>,
    admitted: u32,
    /// Since the last that was admitted.
    summed: u64,
}

impl Flood {
    /// Whether there is an entry for one more, which then speaks for so many before it as well.
    pub(crate) fn admit(&self) -> Option<u64> {
        self.admit_at(Instant::now())
    }

    fn admit_at(&self, now: Instant) -> Option<u64> {
        // Counters are whole, whatever has panicked.
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let in_the_same = |since: Instant| now.saturating_duration_since(since) < Duration::from_secs(1);
        if !counted.since.is_some_and(in_the_same) {
            (counted.since, counted.admitted) = (Some(now), 0);
        }
        if counted.admitted >= A_SECOND {
            counted.summed += 1;
            return None;
        }
        counted.admitted += 1;
        Some(std::mem::take(&mut counted.summed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ASVS 15.2.2: a flood of refusals hides nothing else, and its size is known.
    #[test]
    fn a_flood_is_summed_and_its_size_told() {
        let (flood, start) = (Flood::default(), Instant::now());
        let admitted = (0..1_000).filter(|_| flood.admit_at(start) == Some(0)).count();
        assert_eq!(admitted, 100);
        let later = start + Duration::from_secs(1);
        assert_eq!(flood.admit_at(later), Some(900));
        assert_eq!(flood.admit_at(later), Some(0));
    }
}
