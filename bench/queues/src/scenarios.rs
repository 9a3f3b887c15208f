//! What is measured.

use crate::drive::Aim;
use crate::protocol::How;
use crate::servers::Server;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scenario {
    Enqueue {
        how: How,
        bytes: usize,
    },
    Drain {
        at_once: usize,
        bytes: usize,
    },
    Latency,
    /// Ours with tenants and limits on and off; a handler computes for so many microseconds.
    Flow {
        work: u64,
    },
}

pub(crate) const SMALL: usize = 100;
const LARGE: usize = 4_096;

/// What is measured on which servers. Of the append-only file both sides are.
pub(crate) fn parts() -> [(&'static str, &'static [Server], &'static [Scenario]); 9] {
    [
        ("redis", &[Server::Redis], &USUAL),
        ("redis", &[Server::Redis], &OTHERS),
        ("aof", &[Server::RedisAof, Server::Redis], &USUAL),
        ("postgres", &[Server::Postgres], &USUAL),
        ("postgres", &[Server::Postgres], &OTHERS),
        ("latency", &[Server::Redis], &[Scenario::Latency]),
        ("latency", &[Server::Postgres], &[Scenario::Latency]),
        ("flow", &[Server::Redis], &FLOW),
        ("flow", &[Server::Postgres], &FLOW),
    ]
}

/// What limits and fairness cost.
const FLOW: [Scenario; 2] = [Scenario::Flow { work: 0 }, Scenario::Flow { work: 100 }];

/// What most begin with, and what a file on the disk may make a difference to.
const USUAL: [Scenario; 3] = [enqueue(How::Concurrent, SMALL), enqueue(How::Bulk, SMALL), drain(50, SMALL)];

/// Everything else that is asked of a queue and its peers.
const OTHERS: [Scenario; 5] = [
    enqueue(How::Single, SMALL),
    drain(1, SMALL),
    drain(200, SMALL),
    enqueue(How::Bulk, LARGE),
    drain(50, LARGE),
];

const fn enqueue(how: How, bytes: usize) -> Scenario {
    Scenario::Enqueue { how, bytes }
}

const fn drain(at_once: usize, bytes: usize) -> Scenario {
    Scenario::Drain { at_once, bytes }
}

impl Scenario {
    pub(crate) fn is_usual(self) -> bool {
        USUAL.contains(&self)
    }

    /// Whether less of it is better.
    pub(crate) fn is_latency(self) -> bool {
        self == Self::Latency
    }

    pub(crate) fn aim(self) -> Aim {
        if self.is_latency() { Aim::Latency } else { Aim::Throughput }
    }
}

impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Enqueue { how: How::Single, bytes } => write!(f, "enqueue one by one, {}", Bytes(*bytes)),
            Self::Enqueue { how: How::Concurrent, bytes } => {
                write!(f, "enqueue, 50 callers, {}", Bytes(*bytes))
            }
            Self::Enqueue { how: How::Bulk, bytes } => write!(f, "enqueue 1,000 a call, {}", Bytes(*bytes)),
            Self::Drain { at_once, bytes } => write!(f, "drain, {at_once} at once, {}", Bytes(*bytes)),
            Self::Flow { work: 0 } => write!(f, "drain, 50 at once, {}", Bytes(SMALL)),
            Self::Flow { work } => write!(f, "drain, 50 at once, {}, handlers of {work} µs", Bytes(SMALL)),
            Self::Latency => write!(f, "from enqueueing to an idle worker's handler"),
        }
    }
}

struct Bytes(usize);

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            LARGE => write!(f, "4 KB"),
            bytes => write!(f, "{bytes} B"),
        }
    }
}
