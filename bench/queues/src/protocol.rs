//! What is asked of a queue's process, and what it answers: a line of JSON each. The driver in JavaScript speaks it too.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub(crate) enum Command {
    /// Throws everything away.
    Clear,
    Enqueue {
        how: How,
        jobs: u64,
        bytes: usize,
    },
    /// How many jobs are not completed, as the server has it.
    Left,
    /// Runs a worker until the server has no job left that is not completed. A handler computes for so many microseconds, which
    /// is asked of ours alone.
    Drain {
        at_once: usize,
        jobs: u64,
        work: u64,
    },
    /// Enqueues one job after the other for an idle worker.
    Latency {
        jobs: u64,
    },
    /// Starts a worker, which has nothing to do.
    Rest,
    /// Stops it.
    Leave,
    /// Enqueues at a rate whatever the worker does.
    Steady {
        rate: u64,
        seconds: u64,
    },
}

/// How jobs are enqueued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum How {
    /// One after the other.
    Single,
    /// One by one by so many callers as [`CALLERS`].
    Concurrent,
    /// [`CHUNK`] with each call.
    Bulk,
}

/// Callers of [`How::Concurrent`].
pub(crate) const CALLERS: usize = 50;
/// Jobs in a call of [`How::Bulk`].
pub(crate) const CHUNK: u64 = 1_000;

/// Of a job that was not begun with in time.
pub(crate) const LATE: u64 = u64::MAX;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    /// How long the measured part took.
    pub(crate) seconds: f64,
    /// Jobs that were counted.
    pub(crate) jobs: u64,
    /// From enqueueing to the handler, in the order of enqueueing; microseconds, or [`LATE`].
    pub(crate) micros: Vec<u64>,
    pub(crate) error: Option<String>,
}
