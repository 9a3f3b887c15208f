//! The spans, by the names of OpenTelemetry's semantic conventions for messaging.
//!
//! <https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/>

use shared_core::{Context, trace};
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};
use uuid::Uuid;

use crate::sink::{Accepted, Refusal, Sink};
use crate::{Envelope, Lane, Place};

const SYSTEM: &str = "shared_events";

/// Events to which the span of a page points, at most. SDKs keep 128 links of a span unless they are told otherwise.
const MAX_LINKS: usize = 64;

/// An event is made: whatever is done with it later continues this span, or points to it. Where no span is current it continues the one
/// that the transaction's context names.
pub(crate) fn publish(event: &'static str, id: Uuid, bytes: usize, context: &Context) -> Span {
    let make = || {
        info_span!(
            "publish",
            otel.name = format!("publish {event}"),
            otel.kind = "producer",
            messaging.system = SYSTEM,
            messaging.operation.name = "publish",
            messaging.operation.type = "create",
            messaging.destination.name = event,
            messaging.message.id = %id,
            messaging.message.body.size = bytes,
            event.id = %id,
            tenant_id = %context.tenant(),
            correlation_id = %context.correlation(),
        )
    };
    match trace::current() {
        Some(_) => make(),
        None => trace::continuing(context.traceparent(), make),
    }
}

/// Sends a page of a lane, in a span that points to those in which its events were published.
pub(crate) async fn send(sink: &dyn Sink, lane: Lane, after: Option<Place>, events: &[Envelope]) -> Accepted {
    let span = trace::continuing(None, || {
        info_span!(
            "send",
            otel.name = format!("send {}", sink.name()),
            otel.kind = "client",
            otel.status_code = Empty,
            error.type = Empty,
            messaging.system = SYSTEM,
            messaging.operation.name = "send",
            messaging.operation.type = "send",
            messaging.destination.name = sink.name(),
            messaging.destination.partition.id = %lane,
            messaging.batch.message_count = events.len(),
        )
    });
    if !span.is_disabled() {
        let published = events.iter().filter_map(|event| event.context.traceparent());
        span.in_scope(|| published.take(MAX_LINKS).for_each(trace::link));
    }
    let accepted = sink.send(lane, after, events).instrument(span.clone()).await;
    if let Some(refusal) = &accepted.refusal {
        let why = match refusal {
            Refusal::Never(_) => "never",
            Refusal::Later(_) => "later",
            Refusal::Fenced(_) => "fenced",
            Refusal::Foreign(_) => "foreign",
        };
        span.record("otel.status_code", "ERROR").record("error.type", why);
    }
    accepted
}

/// A consumer's attempt at an event. The first one continues the trace that published it; later ones, perhaps after days, and replays
/// only point to it.
pub(crate) fn process(consumer: &'static str, event: &Envelope, attempt: u32) -> Span {
    let published = event.context.traceparent();
    let make = || {
        info_span!(
            "process",
            otel.name = format!("process {}", event.name),
            otel.kind = "consumer",
            otel.status_code = Empty,
            messaging.system = SYSTEM,
            messaging.operation.name = "process",
            messaging.operation.type = "process",
            messaging.destination.name = event.name,
            messaging.destination.partition.id = %event.lane,
            messaging.consumer.group.name = consumer,
            messaging.message.id = %event.id,
            event.id = %event.id,
            tenant_id = %event.tenant,
            correlation_id = %event.context.correlation(),
            attempt,
        )
    };
    if attempt == 1 && !event.replay {
        return trace::continuing(published, make);
    }
    let span = trace::continuing(None, make);
    if let Some(published) = published {
        span.in_scope(|| trace::link(published));
    }
    span
}
