use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::{Event as WireEvent, Link as WireLink, SpanKind as Kind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{self as wire};

use super::value::{Attributes, Scope, attributes, hex, id, resource, shown, time};

/// A span, with what is said about its origin.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Span {
    /// Its name.
    pub name: String,
    /// The trace, as 32 hexadecimal digits.
    pub trace_id: String,
    /// The span, as 16 hexadecimal digits.
    pub span_id: String,
    /// The parent's `span_id`, unless the trace begins here.
    pub parent: Option<String>,
    /// The `tracestate` that came with the trace, or nothing.
    pub trace_state: String,
    /// Its part in a conversation.
    pub kind: SpanKind,
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// What is said about it.
    pub attributes: Attributes,
    /// What happened meanwhile.
    pub events: Vec<Event>,
    /// Other spans that it has to do with.
    pub links: Vec<Link>,
    /// How it ended.
    pub status: Status,
    /// The program that it comes from, such as `service.name`.
    pub resource: Arc<Attributes>,
    /// The library that it comes from.
    pub scope: Arc<Scope>,
}

/// The part that a span has in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanKind {
    /// Not said.
    Unspecified,
    /// None.
    Internal,
    /// It answers a request.
    Server,
    /// It makes a request.
    Client,
    /// It sends a message.
    Producer,
    /// It works on a message.
    Consumer,
}

/// How a span ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Nothing is said, which is good.
    Unset,
    /// Somebody has said that it is good.
    Ok,
    /// It failed, for this reason.
    Error(String),
}

/// Something that happened during a span.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// What.
    pub name: String,
    /// When.
    pub time: SystemTime,
    /// What is said about it.
    pub attributes: Attributes,
}

/// Another span that a span has to do with.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Link {
    /// The other's trace, as 32 hexadecimal digits.
    pub trace_id: String,
    /// The other span, as 16 hexadecimal digits.
    pub span_id: String,
    /// What is said about the link.
    pub attributes: Attributes,
}

pub(super) fn spans(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = Arc::new(resource(of_resource.resource));
        for of_scope in of_resource.scope_spans {
            let scope = Arc::new(Scope::of(of_scope.scope));
            spans.extend(of_scope.spans.into_iter().map(|span| Span::of(span, &resource, &scope)));
        }
    }
    spans
}

impl Span {
    fn of(span: wire::Span, resource: &Arc<Attributes>, scope: &Arc<Scope>) -> Self {
        Self {
            kind: SpanKind::of(span.kind()),
            name: span.name,
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent: id(&span.parent_span_id),
            trace_state: span.trace_state,
            start: time(span.start_time_unix_nano),
            end: time(span.end_time_unix_nano),
            attributes: attributes(span.attributes),
            events: span.events.into_iter().map(Event::of).collect(),
            links: span.links.into_iter().map(Link::of).collect(),
            status: Status::of(span.status.unwrap_or_default()),
            resource: Arc::clone(resource),
            scope: Arc::clone(scope),
        }
    }
}

impl SpanKind {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Unspecified => Self::Unspecified,
            Kind::Internal => Self::Internal,
            Kind::Server => Self::Server,
            Kind::Client => Self::Client,
            Kind::Producer => Self::Producer,
            Kind::Consumer => Self::Consumer,
        }
    }
}

impl Status {
    fn of(status: wire::Status) -> Self {
        match status.code() {
            StatusCode::Unset => Self::Unset,
            StatusCode::Ok => Self::Ok,
            StatusCode::Error => Self::Error(status.message),
        }
    }
}

impl Event {
    fn of(event: WireEvent) -> Self {
        let attributes = attributes(event.attributes);
        Self { name: event.name, time: time(event.time_unix_nano), attributes }
    }
}

impl Link {
    fn of(link: WireLink) -> Self {
        let attributes = attributes(link.attributes);
        Self { trace_id: hex(&link.trace_id), span_id: hex(&link.span_id), attributes }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "span `{}` of trace {} {}", self.name, self.trace_id, shown(&self.attributes))
    }
}
