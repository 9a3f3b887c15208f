use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A clock that never goes back and does not care what time it is: what limits in process, and the memory of denials, go
/// by. When the wall clock is set, nothing happens here.
#[derive(Clone)]
pub struct Monotonic(Source);

#[derive(Clone)]
enum Source {
    /// The processor's counter, which is read in a fraction of the time that the system's clock takes.
    Counter {
        clock: quanta::Clock,
        start: u64,
    },
    ByHand(Arc<AtomicU64>),
}

/// Where time begins: behind the windows of a key of which nothing is known.
const START: u64 = 100 * 86_400 * 1_000_000_000;

impl Monotonic {
    /// That of this machine.
    pub fn system() -> Self {
        let clock = quanta::Clock::new();
        let start = clock.raw();
        Self(Source::Counter { clock, start })
    }

    /// One that stands still until a test [moves](Self::advance) it; clones move together.
    pub fn manual() -> Self {
        Self(Source::ByHand(Arc::new(AtomicU64::new(START))))
    }

    /// Moves a manual clock on; that of the machine takes no notice.
    pub fn advance(&self, by: Duration) {
        if let Source::ByHand(nanos) = &self.0 {
            nanos.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
        }
    }

    /// Nanoseconds since some time in the past.
    pub(super) fn now(&self) -> u64 {
        match &self.0 {
            Source::Counter { clock, start } => START + clock.delta_as_nanos(*start, clock.raw()),
            Source::ByHand(nanos) => nanos.load(Ordering::SeqCst),
        }
    }
}

impl fmt::Debug for Monotonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::Counter { .. } => "Monotonic(system)",
            Source::ByHand(_) => "Monotonic(manual)",
        })
    }
}
