//! The last spans of the process, in memory: for a program that draws its own traces, and for tests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, Status};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use shared_core::TraceParent;

/// Keeps the last finished spans. Clones share them.
#[derive(Clone, Debug)]
pub struct Recorder {
    kept: Arc<Mutex<Kept>>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Kept {
    spans: VecDeque<RecordedSpan>,
    dropped: u64,
}

/// A finished span.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RecordedSpan {
    /// The trace it belongs to.
    pub trace_id: u128,
    /// The span.
    pub span_id: u64,
    /// The span that caused it; `None` begins a trace.
    pub parent: Option<u64>,
    /// Spans that it continues without being their child, such as the first attempt of a retried job.
    pub links: Vec<TraceParent>,
    /// Its name.
    pub name: String,
    /// When it began.
    pub start: SystemTime,
    /// How long it took.
    pub duration: Duration,
    /// It ended with the status error.
    pub is_error: bool,
    /// Names and values, in the order of the span.
    pub attributes: Vec<(String, String)>,
}

impl Recorder {
    /// Keeps `capacity` spans at most, about 1 KiB each: beyond it the oldest go, and are counted.
    pub fn new(capacity: usize) -> Self {
        Self { kept: Arc::default(), capacity }
    }

    /// The spans of one trace that are kept, by the time they began.
    pub fn trace(&self, trace_id: u128) -> Vec<RecordedSpan> {
        let mut spans: Vec<_> =
            self.kept().spans.iter().filter(|span| span.trace_id == trace_id).cloned().collect();
        spans.sort_by_key(|span| span.start);
        spans
    }

    /// All spans that are kept, in the order in which they ended.
    pub fn spans(&self) -> Vec<RecordedSpan> {
        self.kept().spans.iter().cloned().collect()
    }

    /// How many spans had to go.
    pub fn dropped(&self) -> u64 {
        self.kept().dropped
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpanProcessor for Recorder {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let span = RecordedSpan::from(span);
        let mut kept = self.kept();
        if kept.spans.len() >= self.capacity {
            kept.dropped += 1;
            if kept.spans.pop_front().is_none() {
                return;
            }
        }
        kept.spans.push_back(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl From<SpanData> for RecordedSpan {
    fn from(span: SpanData) -> Self {
        Self {
            trace_id: u128::from_be_bytes(span.span_context.trace_id().to_bytes()),
            span_id: id(span.span_context.span_id()),
            parent: (span.parent_span_id != SpanId::INVALID).then(|| id(span.parent_span_id)),
            links: span.links.iter().filter_map(|link| position(&link.span_context)).collect(),
            name: span.name.into_owned(),
            start: span.start_time,
            duration: span.end_time.duration_since(span.start_time).unwrap_or_default(),
            is_error: matches!(span.status, Status::Error { .. }),
            attributes: span.attributes.into_iter().map(pair).collect(),
        }
    }
}

fn id(span: SpanId) -> u64 {
    u64::from_be_bytes(span.to_bytes())
}

fn position(span: &SpanContext) -> Option<TraceParent> {
    TraceParent::new(u128::from_be_bytes(span.trace_id().to_bytes()), id(span.span_id()), span.is_sampled())
}

fn pair(attribute: KeyValue) -> (String, String) {
    (attribute.key.to_string(), attribute.value.to_string())
}
