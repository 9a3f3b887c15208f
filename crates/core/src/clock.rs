use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use time::OffsetDateTime;

/// The wall clock, or in tests one that moves by hand.
///
/// For times that leave the process, such as those in a token. Leases and due times are the server's; local
/// time-outs are monotonic and take no clock.
#[derive(Clone, Default)]
pub struct Clock {
    by_hand: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The wall clock of this machine, in UTC.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands still at a whole microsecond of `start` until it is moved; clones move together.
    pub fn manual(start: OffsetDateTime) -> Self {
        Self { by_hand: Some(Arc::new(AtomicI64::new(micros(start)))) }
    }

    /// The time now, in UTC.
    pub fn now(&self) -> OffsetDateTime {
        match &self.by_hand {
            None => OffsetDateTime::now_utc(),
            Some(at) => from_micros(at.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock on; the system's clock takes no notice.
    pub fn advance(&self, by: Duration) {
        if let Some(at) = &self.by_hand {
            at.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }
}

fn micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
}

fn from_micros(micros: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.by_hand.is_some() { "Clock(manual)" } else { "Clock(system)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_by_hand_alone() {
        let clock = Clock::manual(OffsetDateTime::UNIX_EPOCH);
        let same = clock.clone();
        clock.advance(Duration::from_secs(90));
        assert_eq!(same.now(), OffsetDateTime::UNIX_EPOCH + Duration::from_secs(90));
    }
}
