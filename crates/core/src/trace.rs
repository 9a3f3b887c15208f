//! The bridge between a stored [`TraceParent`] and the running trace, over the OpenTelemetry API alone: without
//! a subscriber that makes spans of it, all functions do nothing, and cost nothing.

use opentelemetry::Context as Otel;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};

use crate::TraceParent;

/// The position of the running span, to be stored beside a job, an event or a request to another service.
pub fn current() -> Option<TraceParent> {
    let context = Otel::current();
    let span = context.span();
    let span = span.span_context();
    TraceParent::new(
        u128::from_be_bytes(span.trace_id().to_bytes()),
        u64::from_be_bytes(span.span_id().to_bytes()),
        span.is_sampled(),
    )
}

/// Runs `make`, usually a `tracing::info_span!`, as if it were called by the span at `parent`: a span made in it
/// becomes its child. Without a parent it begins a trace of its own.
pub fn continuing<T>(parent: Option<TraceParent>, make: impl FnOnce() -> T) -> T {
    let context = match parent {
        Some(parent) => Otel::new().with_remote_span_context(span_context(parent)),
        None => Otel::new(),
    };
    let _attached = context.attach();
    make()
}

/// Links the running span to the one at `position`: it continues that work without being its child, as the second
/// attempt of a job does.
pub fn link(position: TraceParent) {
    Otel::map_current(|context| context.span().add_link(span_context(position), Vec::new()));
}

/// The same position in OpenTelemetry's words.
fn span_context(parent: TraceParent) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(parent.trace_id().to_be_bytes()),
        SpanId::from_bytes(parent.span_id().to_be_bytes()),
        if parent.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::default() },
        true,
        TraceState::default(),
    )
}
