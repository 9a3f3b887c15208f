//! What is to be done, and what is to go wrong meanwhile. The same seed makes the same order of faults; when they meet the events is
//! the machine's affair.

use std::ops::Range;
use std::time::Duration;

/// What lies between the log and the consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Nothing: the relays run the consumers.
    Log,
    /// Streams of a Redis that keeps nothing when it is killed.
    Redis,
    Nats,
}

/// What the run does wrong on purpose, so that one sees the checks find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Consumers write their effect in a transaction of its own.
    Outside,
    /// Events are published in a transaction of their own, before what they tell of.
    Early,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub way: Way,
    /// No more are published once so many are.
    pub events: u64,
    pub seed: u64,
    pub wrong: Option<Wrong>,
    /// Whether the clocks of processes are off by an hour, to either side.
    pub skewed: bool,
    pub tenants: usize,
    /// Keys of each tenant.
    pub keys: u64,
    /// Processes that publish: three, so that of each role one has the right clock, one is ahead and one behind.
    pub publishers: usize,
    /// Processes with a relay. The last one is stopped now and then, the others are killed.
    pub relays: usize,
    /// Processes that consume from a broker; the same holds.
    pub consumers: usize,
    /// Transactions at once of each publisher.
    pub concurrency: u64,
    /// The longest that a publisher's task waits between two transactions.
    pub pace: Duration,
    pub lease: Duration,
    pub poll: Duration,
    /// Between two faults.
    pub calm: Range<Duration>,
    /// How long the last events may take once the faults are over.
    pub patience: Duration,
}

impl Plan {
    /// At the defaults of a relay.
    pub(crate) fn long(way: Way, events: u64, seed: u64) -> Self {
        let config = shared_events::Config::default();
        Self {
            way,
            events,
            seed,
            wrong: None,
            skewed: true,
            tenants: 5,
            keys: 20,
            publishers: 3,
            relays: 3,
            consumers: if way == Way::Log { 0 } else { 3 },
            concurrency: 4,
            pace: Duration::from_millis(60),
            lease: config.lease,
            poll: config.poll,
            calm: Duration::from_secs(2)..Duration::from_secs(5),
            patience: Duration::from_secs(600),
        }
    }

    /// Some seconds, for every test run.
    pub(crate) fn short(way: Way, seed: u64) -> Self {
        Self {
            skewed: false,
            tenants: 3,
            keys: 6,
            lease: Duration::from_millis(900),
            poll: Duration::from_millis(50),
            calm: Duration::from_millis(200)..Duration::from_millis(600),
            patience: Duration::from_secs(60),
            ..Self::long(way, 1_500, seed)
        }
    }

    /// All who consume, each every event.
    pub(crate) const CONSUMERS: [&str; 2] = ["first", "second"];
}

/// Whether the second consumer refuses the event until its tenant is healed: it is parked, and its key's later events behind it.
pub(crate) fn is_hopeless(key: &str, n: i64) -> bool {
    key == "k0" && n % 40 == 7
}

/// Numbers that look random, the same in every run.
pub(crate) fn scattered(seed: u64) -> u64 {
    let mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 31)
}

/// From 0 to 1, out of the upper half of such a number.
pub(crate) fn part(random: u64) -> f64 {
    (random >> 32) as f64 / f64::from(u32::MAX)
}
