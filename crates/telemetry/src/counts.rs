//! What telemetry itself has done and lost.

use std::sync::atomic::{AtomicU64, Ordering};

/// One counter of the process.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds one unless that would exceed `limit`.
    pub(crate) fn add_within(&self, limit: u64) -> bool {
        self.0.try_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < limit).then_some(n + 1)).is_ok()
    }
}

/// All counters. `queued` goes up and down, the others only up.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Finished spans whose export has not ended yet.
    pub(crate) spans_queued: Count,
    /// Spans that the collector took.
    pub(crate) spans_exported: Count,
    /// Spans that the collector refused, or that did not reach it.
    pub(crate) spans_failed: Count,
    /// Spans for which the queue had no room.
    pub(crate) spans_dropped: Count,
    /// Log lines that were written.
    pub(crate) log_lines: Count,
    /// Log lines that could not be written.
    pub(crate) log_lines_lost: Count,
}
