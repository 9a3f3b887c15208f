//! One request, from its head to the head of its response.

use std::sync::Arc;
use std::time::Instant;

use http::header::{HOST, HeaderName, HeaderValue, USER_AGENT};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method, Response, StatusCode, Version};
use opentelemetry::KeyValue;
use shared_core::{CorrelationId, TraceParent, trace};
use tracing::{Span, field::Empty, info_span};

use super::instruments::Instruments;

const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A request that is being answered.
pub(super) struct Observed {
    span: Span,
    began: Instant,
    correlation: CorrelationId,
    instruments: Arc<Instruments>,
    /// Method and scheme, then what is known later.
    attributes: Vec<KeyValue>,
    ended: bool,
}

/// How many of the attributes are known when the request begins.
const KNOWN_FIRST: usize = 2;

impl Observed {
    pub(super) fn begin(
        parts: &mut Parts,
        route: &dyn for<'a> Fn(&'a Parts) -> Option<&'a str>,
        instruments: Arc<Instruments>,
    ) -> Self {
        let correlation = single(&parts.headers, &CORRELATION_ID)
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(CorrelationId::new);
        let parent = single(&parts.headers, &TRACEPARENT).and_then(|text| text.parse::<TraceParent>().ok());
        let route = route(parts);
        let span = trace::continuing(parent, || open(parts, route, &correlation));
        let mut attributes = vec![
            KeyValue::new("http.request.method", known(&parts.method)),
            KeyValue::new("url.scheme", scheme(parts)),
        ];
        instruments.begin(&attributes);
        attributes.extend(route.map(|route| KeyValue::new("http.route", route.to_owned())));
        attributes
            .extend(version(parts.version).map(|version| KeyValue::new("network.protocol.version", version)));
        parts.extensions.insert(correlation.clone());
        Self { span, began: Instant::now(), correlation, instruments, attributes, ended: false }
    }

    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// The response's head is there.
    pub(super) fn answered<R>(mut self, response: &mut Response<R>) {
        let status = response.status();
        self.span.record("http.response.status_code", i64::from(status.as_u16()));
        self.attributes.push(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        if let Ok(value) = HeaderValue::from_str(self.correlation.as_str()) {
            response.headers_mut().insert(CORRELATION_ID, value);
        }
        // What the client did wrong is no error of the server.
        self.end(status.is_server_error().then(|| error_type(status)));
    }

    /// The service has no response.
    pub(super) fn failed(mut self) {
        self.end(Some("_OTHER".to_owned()));
    }

    fn end(&mut self, error: Option<String>) {
        self.ended = true;
        if let Some(error) = error {
            self.span.record("error.type", error.as_str());
            self.span.record("otel.status_code", "ERROR");
            self.attributes.push(KeyValue::new("error.type", error));
        }
        let began_with = self.attributes.get(..KNOWN_FIRST).unwrap_or_default();
        self.instruments.end(began_with, self.began.elapsed().as_secs_f64(), &self.attributes);
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Some(if std::thread::panicking() { "panic" } else { "cancelled" }.to_owned()));
        }
    }
}

fn open(parts: &Parts, route: Option<&str>, correlation: &CorrelationId) -> Span {
    let method = known(&parts.method);
    // The conventions call what they do not know HTTP in names, and `_OTHER` in attributes.
    let name = if method == OTHER { "HTTP" } else { method };
    let authority = authority(parts);
    info_span!(
        "http.request",
        otel.name = route.map_or_else(|| name.to_owned(), |route| format!("{name} {route}")),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.request.method_original = (method == OTHER).then(|| parts.method.as_str()),
        http.route = route,
        http.response.status_code = Empty,
        error.type = Empty,
        url.scheme = scheme(parts),
        url.path = parts.uri.path(),
        server.address = authority.as_ref().map(Authority::host),
        server.port = authority.as_ref().and_then(Authority::port_u16).map(i64::from),
        user_agent.original = single(&parts.headers, &USER_AGENT),
        network.protocol.version = version(parts.version),
        correlation_id = correlation.as_str(),
        // Filled by whoever finds out for which tenant the request is.
        tenant_id = Empty,
    )
}

const OTHER: &str = "_OTHER";

/// The method, if the conventions know it: others are without number.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 10] =
        ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or(OTHER)
}

fn scheme(parts: &Parts) -> &'static str {
    if parts.uri.scheme_str() == Some("https") { "https" } else { "http" }
}

/// Whom the client addressed, as it says: on the span only, since a client could invent any number of them.
fn authority(parts: &Parts) -> Option<Authority> {
    parts.uri.authority().cloned().or_else(|| single(&parts.headers, &HOST)?.parse().ok())
}

fn version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        Version::HTTP_3 => Some("3"),
        _ => None,
    }
}

fn error_type(status: StatusCode) -> String {
    status.as_u16().to_string()
}

/// The header's text, if there is exactly one: of two ids neither can be trusted.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}
