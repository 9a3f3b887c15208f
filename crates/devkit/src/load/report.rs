//! What came out of a load.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::driver::Ended;
use super::latencies::Latencies;
use super::plan::Load;

/// Errors whose text has a number in it would be a kind each.
const MOST_KINDS: usize = 20;
const OTHERS: &str = "others";

/// What came out of a load, without its warm-up. Printed, it is one block of lines.
#[derive(Clone, Debug)]
pub struct Report {
    load: Load,
    begin: Instant,
    end: Instant,
    latencies: Latencies,
    errors: BTreeMap<String, u64>,
    late: u64,
}

impl Report {
    pub(super) fn new(load: &Load, begin: Instant) -> Report {
        let (latencies, errors) = (Latencies::new(), BTreeMap::new());
        Report { load: load.clone(), begin, end: begin, latencies, errors, late: 0 }
    }

    /// When the warm-up ends.
    pub(super) fn begin(&self) -> Instant {
        self.begin
    }

    pub(super) fn add(&mut self, ended: Ended) {
        if !ended.counts {
            return;
        }
        self.end = self.end.max(ended.at);
        self.latencies.add(ended.latency);
        if let Err(kind) = ended.outcome {
            let room = self.errors.len() < MOST_KINDS || self.errors.contains_key(&kind);
            let kind = if room { kind } else { OTHERS.to_owned() };
            *self.errors.entry(kind).or_default() += 1;
        }
    }

    pub(super) fn add_late(&mut self, counts: bool) {
        self.late += u64::from(counts);
    }

    /// How many requests there were, failed ones included.
    pub fn requests(&self) -> u64 {
        self.latencies.count()
    }

    /// How long each request took, failed ones included; in an open loop from the time at which it arrived.
    pub fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// From the end of the warm-up to the end of the last request.
    pub fn elapsed(&self) -> Duration {
        self.end - self.begin
    }

    /// How many requests a second succeeded; 0 where no time has passed.
    pub fn throughput(&self) -> f64 {
        let succeeded = self.requests() - self.errors.values().sum::<u64>();
        let seconds = self.elapsed().as_secs_f64();
        if seconds > 0.0 { succeeded as f64 / seconds } else { 0.0 }
    }

    /// How many failed, by the text of their error; the first 20 texts, and `others` for the rest.
    pub fn errors(&self) -> &BTreeMap<String, u64> {
        &self.errors
    }

    /// How many requests of an open loop did not start in time, because as many were in flight as
    /// [may be](super::Arrivals::in_flight).
    pub fn late(&self) -> u64 {
        self.late
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (requests, elapsed) = (self.requests(), self.elapsed());
        writeln!(f, "{}", self.load)?;
        write!(f, "{requests} requests in {elapsed:.1?}, {:.1} succeeded a second", self.throughput())?;
        if self.late > 0 {
            write!(f, ", {} did not start in time", self.late)?;
        }
        write!(f, "\n{}", self.latencies)?;
        for (kind, count) in &self.errors {
            write!(f, "\n{count} × {kind}")?;
        }
        Ok(())
    }
}
