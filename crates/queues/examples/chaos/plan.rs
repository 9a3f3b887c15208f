//! What is to be done, and what is to go wrong meanwhile. The same seed makes the same jobs and the same order of faults; when the
//! faults meet the jobs is the machine's affair.

use std::ops::Range;
use std::time::Duration;

/// Where the queues are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Postgres,
    Redis(Aof),
}

/// What a Redis keeps of its writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aof {
    Always,
    EverySecond,
    /// As every second, and an outage is that of the machine: of what was written, that of the last [`TORN`] is lost.
    Torn,
    /// Nothing: a kill of the server loses what it held.
    None,
}

/// What the run does wrong on purpose, so that one sees the checks find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Handlers write their effect in a transaction of its own, outside of the fence.
    Unfenced,
    /// Jobs are enqueued without their ordering keys and limits.
    Unlaned,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub place: Place,
    pub jobs: u64,
    pub seed: u64,
    pub wrong: Option<Wrong>,
    /// Whether the clocks of workers are off by an hour, one to either side.
    pub skewed: bool,
    pub tenants: u64,
    /// Ordering keys of each tenant.
    pub keys: u64,
    /// Of a hundred jobs, how many count against each kind of limit. A dead worker blocks their places for a lease.
    pub limited: u64,
    /// Worker processes. The last one is stopped now and then, the others are killed.
    pub workers: usize,
    pub concurrency: u32,
    pub beat: Duration,
    pub lease: Duration,
    pub crash_budget: u32,
    /// Of a hundred jobs of killed workers with nothing else to wait for, 99 run again within this time.
    pub soon: Duration,
    /// The longest that a handler takes.
    pub work: Duration,
    /// Between two faults.
    pub calm: Range<Duration>,
    /// Unfinished jobs beyond which no more are enqueued, so that the time until a job runs again is not that of a queue.
    pub backlog: u64,
    /// How long the last jobs may take once the faults are over.
    pub patience: Duration,
}

impl Plan {
    /// At the defaults of a worker: a beat of 5 s and a lease of 15 s.
    pub(crate) fn long(place: Place, jobs: u64, seed: u64) -> Self {
        let config = shared_queues::Config::default();
        Self {
            place,
            jobs,
            seed,
            wrong: None,
            skewed: true,
            tenants: 5,
            keys: 20,
            limited: 2,
            workers: 4,
            concurrency: config.concurrency,
            beat: config.beat,
            lease: config.lease,
            crash_budget: config.crash_budget,
            soon: config.lease + config.beat,
            work: Duration::from_millis(400),
            calm: Duration::from_secs(2)..Duration::from_secs(5),
            backlog: 2000,
            patience: Duration::from_secs(600),
        }
    }

    /// Some seconds, for every test run.
    pub(crate) fn short(place: Place, seed: u64) -> Self {
        let (beat, lease) = (Duration::from_millis(100), Duration::from_millis(600));
        Self {
            skewed: false,
            tenants: 2,
            keys: 5,
            limited: 8,
            workers: 3,
            concurrency: 8,
            beat,
            lease,
            // Here workers die so often that it says nothing about their jobs.
            crash_budget: 100,
            // Each further worker that takes the job and dies costs as much again. Here they die faster than a lease ends; and ten times
            // leave room for a machine that is busy.
            soon: (lease + beat) * 10,
            work: Duration::from_millis(200),
            calm: Duration::from_millis(200)..Duration::from_millis(600),
            backlog: 100,
            patience: Duration::from_secs(60),
            ..Self::long(place, 500, seed)
        }
    }

    /// The job of this number.
    pub(crate) fn job(&self, n: u64) -> Planned {
        let random = scattered(scattered(self.seed).wrapping_add(n));
        let tenant = n / SLICE % self.tenants;
        let lane = match (random % 100).checked_sub(25) {
            None => Lane::Ordered { tenant, key: (random >> 8) % self.keys },
            Some(rest) => match rest / self.limited {
                0 => Lane::Shared,
                1 => Lane::Host((random >> 8) % HOSTS),
                2 => Lane::Paced,
                _ => Lane::None,
            },
        };
        let fate = match (random >> 16) % 200 {
            0 => Fate::Hopeless,
            1..10 => Fate::FailsFirst(1 + (random >> 24) as u32 % 2),
            _ => Fate::Succeeds,
        };
        let work = self.work.mul_f64((random >> 32) as f64 / f64::from(u32::MAX));
        Planned { n, tenant, lane, fate, work }
    }

    /// Whether each outage makes the server forget what it has acknowledged. With `everysec` a kill can do that for a moment alone, in
    /// which a flush has just begun.
    pub(crate) fn forgets(&self) -> bool {
        matches!(self.place, Place::Redis(Aof::Torn | Aof::None))
    }
}

/// What a machine has not written to its disk when it goes down: `everysec` flushes when a second has passed since the last time, and
/// lets a flush that is under way take another one.
pub(crate) const TORN: Duration = Duration::from_secs(2);

/// Jobs of a tenant that are enqueued together.
pub(crate) const SLICE: u64 = 50;

/// The key of a limit by key.
pub(crate) const HOSTS: u64 = 5;

/// How many jobs run at once: over all workers, and for each host.
pub(crate) const SHARED: u32 = 4;
pub(crate) const PER_HOST: u32 = 2;

/// Jobs that begin in a second, and in a burst.
pub(crate) const PACE: u32 = 40;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Planned {
    pub n: u64,
    pub tenant: u64,
    pub lane: Lane,
    pub fate: Fate,
    pub work: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Lane {
    None,
    Ordered { tenant: u64, key: u64 },
    Shared,
    Host(u64),
    Paced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Succeeds,
    /// After so many failed attempts.
    FailsFirst(u32),
    /// It is to be a dead letter.
    Hopeless,
}

/// Numbers that look random, the same in every run.
pub(crate) fn scattered(seed: u64) -> u64 {
    let mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 31)
}
