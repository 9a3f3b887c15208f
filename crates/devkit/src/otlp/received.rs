use std::collections::BTreeMap;
use std::fmt;

use super::{Log, Metric, Span};

/// How many of each kind are kept: some tens of megabytes, and more than a test can mean to look at.
const KEPT: usize = 20_000;
/// How many of each kind a complaint lists.
const LISTED: usize = 20;

/// What a [`Collector`](crate::Collector) has received. As text it is a list of the last of each kind, for complaints.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Received {
    /// Spans, in the order of their arrival.
    pub spans: Vec<Span>,
    /// Points of metrics, in the order of their arrival.
    pub metrics: Vec<Metric>,
    /// Log records, in the order of their arrival.
    pub logs: Vec<Log>,
    /// Requests, in the order of their arrival.
    pub requests: Vec<Request>,
    /// How much it was.
    pub counts: Counts,
}

/// How much a [`Collector`](crate::Collector) has received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Requests that were read to their end.
    pub requests: u64,
    /// The bytes of their bodies, as they were sent.
    pub bytes: u64,
    /// Requests that were not taken: because of a [`Fault`](super::Fault), or because they are no OTLP.
    pub failed: u64,
    /// Items that [`Fault::PartialSuccess`](super::Fault::PartialSuccess) rejected.
    pub rejected: u64,
    /// Spans, points, log records and requests that had to go to make room for later ones.
    pub dropped: u64,
}

/// A request to a [`Collector`](crate::Collector). As a debug text it shows the names of its headers only: values may
/// be secret.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// Such as `/v1/traces`.
    pub path: String,
    /// Its headers by their names in lower case; of repeated ones the last.
    pub headers: BTreeMap<String, String>,
    /// The bytes of its body, as they were sent.
    pub bytes: usize,
    /// The status that it was answered with, if it was.
    pub status: Option<u16>,
}

/// What was in a request.
#[derive(Debug)]
pub(super) enum Items {
    Spans(Vec<Span>),
    Metrics(Vec<Metric>),
    Logs(Vec<Log>),
}

impl Received {
    pub(super) fn add(&mut self, request: Request, items: Option<Items>, rejected: usize) {
        self.counts.requests += 1;
        self.counts.bytes += request.bytes as u64;
        self.counts.failed += u64::from(items.is_none());
        self.counts.rejected += rejected as u64;
        self.counts.dropped += keep(&mut self.requests, vec![request]);
        self.counts.dropped += match items {
            Some(Items::Spans(spans)) => keep(&mut self.spans, spans),
            Some(Items::Metrics(metrics)) => keep(&mut self.metrics, metrics),
            Some(Items::Logs(logs)) => keep(&mut self.logs, logs),
            None => 0,
        };
    }
}

/// Adds to the end, and makes room at the beginning. Says how many had to go.
fn keep<T>(kept: &mut Vec<T>, more: Vec<T>) -> u64 {
    kept.extend(more);
    let excess = kept.len().saturating_sub(KEPT);
    kept.drain(..excess);
    excess as u64
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.keys().collect();
        f.debug_struct("Request")
            .field("path", &self.path)
            .field("headers", &names)
            .field("bytes", &self.bytes)
            .field("status", &self.status)
            .finish()
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {} of {} bytes, ", self.path, self.bytes)?;
        match self.status {
            Some(status) => write!(f, "answered with {status}"),
            None => f.write_str("not answered"),
        }
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spans, metrics, logs, requests, counts } = self;
        write!(f, "received {} spans, {} metrics, {} logs", spans.len(), metrics.len(), logs.len())?;
        let Counts { requests: all, failed, dropped, .. } = counts;
        write!(f, " in {all} requests, of which {failed} failed; {dropped} no longer kept")?;
        list(f, spans)?;
        list(f, metrics)?;
        list(f, logs)?;
        list(f, requests)
    }
}

/// The last ones, a line for each.
fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
    items.iter().skip(items.len().saturating_sub(LISTED)).try_for_each(|item| write!(f, "\n  {item}"))
}
