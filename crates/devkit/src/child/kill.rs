//! When a child is killed.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// When a child is killed with SIGKILL: at a point of its code, or at a moment. Its `Display` names it, with the seed.
///
/// ```
/// use std::time::Duration;
/// use shared_devkit::child::Kill;
///
/// assert_eq!(Kill::at("db.commit.answered", 3).to_string(), "db.commit.answered, arrival 3");
/// assert_eq!(Kill::from("db.commit.answered").to_string(), "db.commit.answered");
/// let range = Duration::ZERO..Duration::from_millis(800);
/// let kill = Kill::between(range.clone(), 42);
/// assert_eq!(kill.to_string(), Kill::between(range, 42).to_string());
/// ```
#[derive(Debug, Clone)]
pub struct Kill {
    when: When,
    /// Shared by the clones, of which one came to a child: so the matrix knows.
    came: Arc<AtomicBool>,
}

#[derive(Debug, Clone)]
enum When {
    Point { name: String, nth: u64 },
    Moment { after: Duration, seed: Option<u64> },
}

impl Kill {
    /// At the nth arrival at a point, counted from 1, by the child itself.
    pub fn at(point: impl Into<String>, nth: u64) -> Kill {
        Kill::new(When::Point { name: point.into(), nth: nth.max(1) })
    }

    /// This long after [`Child::killed`](super::Child::killed) is called.
    pub fn after(moment: Duration) -> Kill {
        Kill::new(When::Moment { after: moment, seed: None })
    }

    /// At a moment of this range, drawn from the seed: the same for the same one.
    pub fn between(range: Range<Duration>, seed: u64) -> Kill {
        let span = range.end.saturating_sub(range.start);
        Kill::new(When::Moment { after: range.start + span.mul_f64(fraction(seed)), seed: Some(seed) })
    }

    fn new(when: When) -> Kill {
        Kill { when, came: Arc::default() }
    }

    /// The point and the arrival, unless it is a moment.
    pub(super) fn point(&self) -> Option<(&str, u64)> {
        match &self.when {
            When::Point { name, nth } => Some((name, *nth)),
            When::Moment { .. } => None,
        }
    }

    pub(super) fn moment(&self) -> Option<Duration> {
        match self.when {
            When::Point { .. } => None,
            When::Moment { after, .. } => Some(after),
        }
    }

    /// Notes that it came.
    pub(super) fn came(&self) {
        self.came.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_come(&self) -> bool {
        self.came.load(Ordering::Relaxed)
    }
}

impl From<&str> for Kill {
    /// At the first arrival at a point.
    fn from(point: &str) -> Kill {
        Kill::at(point, 1)
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.when {
            When::Point { name, nth: 1 } => write!(f, "{name}"),
            When::Point { name, nth } => write!(f, "{name}, arrival {nth}"),
            When::Moment { after, seed: None } => write!(f, "after {} ms", after.as_millis()),
            When::Moment { after, seed: Some(seed) } => {
                write!(f, "after {} ms, seed {seed}", after.as_millis())
            }
        }
    }
}

/// From 0 to 1, by one step of SplitMix64: neighbouring seeds give distant numbers.
fn fraction(seed: u64) -> f64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
