//! What is measured.

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

/// What limits and fairness cost.
pub(crate) const FLOW: [Scenario; 2] = [Scenario::Flow { work: 0 }, Scenario::Flow { work: 100 }];

/// All on this server. With the append-only file, what it may make a difference to.
pub(crate) fn on(server: Server) -> Vec<Scenario> {
    use Scenario::{Drain, Enqueue};
    let enqueue = |how| Enqueue { how, bytes: SMALL };
    let drain = |at_once| Drain { at_once, bytes: SMALL };
    let some = vec![enqueue(How::Concurrent), enqueue(How::Bulk), drain(50)];
    if server == Server::RedisAof {
        return some;
    }
    let large = [How::Concurrent, How::Bulk].map(|how| Enqueue { how, bytes: LARGE });
    let others =
        [enqueue(How::Single), drain(1), drain(200), Drain { at_once: 50, bytes: LARGE }, Scenario::Latency];
    some.into_iter().chain(large).chain(others).collect()
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
