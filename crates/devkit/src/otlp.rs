//! A collector in the test's own process: what a program exports by OTLP, as plain values.
//!
//! ```
//! use shared_devkit::Collector;
//! use shared_devkit::otlp::Fault;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let collector = Collector::start().await?;
//! // Any exporter of OTLP over HTTP sends there. This one is written out.
//! let spans = serde_json::json!({ "resourceSpans": [{
//!     "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "notes" } }] },
//!     "scopeSpans": [{ "spans": [{ "name": "GET /notes", "traceId": "5b8efff798038103d269b633813fc60c",
//!         "spanId": "eee19b7ec3c1b174", "kind": 2, "startTimeUnixNano": "1", "endTimeUnixNano": "2",
//!         "attributes": [{ "key": "http.response.status_code", "value": { "intValue": "200" } }] }] }],
//! }] });
//! let export = || reqwest::Client::new().post(format!("{}/v1/traces", collector.endpoint())).json(&spans).send();
//! export().await?;
//!
//! let span = collector.span(|span| span.name == "GET /notes").await; // waits for it
//! assert_eq!(span.resource["service.name"], "notes");
//! assert_eq!(span.attributes["http.response.status_code"], 200);
//!
//! collector.fail_next(1, Fault::Status(403));
//! assert_eq!(export().await?.status(), 403);
//! assert_eq!(collector.counts().failed, 1);
//! # Ok(()) }
//! ```

mod answer;
mod encoding;
mod fault;
mod log;
mod metric;
mod received;
mod server;
mod span;
mod value;

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Error;
use server::Shared;

pub use fault::Fault;
pub use log::Log;
pub use metric::{Metric, MetricData, Temporality};
pub use received::{Counts, Received, Request};
pub use span::{Event, Link, Span, SpanKind, Status};
pub use value::{Attributes, Scope, Value};

/// How long the conditions of a [`Collector`] are waited for: far beyond what a healthy test needs, and short of the
/// patience of those who run it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A receiver of traces, metrics and logs by OTLP over HTTP, on a free port of this machine; see [`otlp`](self).
///
/// It takes `/v1/traces`, `/v1/metrics` and `/v1/logs` in protobuf and in JSON, plain or with gzip. OTLP over gRPC is
/// not spoken. What a client has an answer for can be read here.
///
/// It runs on the runtime it was started on, so code that blocks the only thread of that runtime until its export is
/// done waits for ever: flush on another thread, or give the test `flavor = "multi_thread"`. Dropping it ends the
/// listener and every connection a moment later; [`stop`](Self::stop) waits until they have ended.
///
/// # Limits
/// Of each kind (spans, points of metrics, log records, requests) it keeps the last 20 000 and counts the others in
/// [`Counts::dropped`]. A request may have 20 MiB, also when it is unpacked; a larger one is answered with 413. Beyond
/// 256 connections, the next ones wait.
#[derive(Debug)]
pub struct Collector {
    endpoint: String,
    shared: Arc<Shared>,
    /// Nothing is sent: the server ends when it goes.
    alive: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Collector {
    /// Starts to listen. Connections are taken from then on.
    ///
    /// # Errors
    /// [`Error::File`], if the machine has no free port.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn start() -> Result<Self, Error> {
        let failed = || Error::file("listen on", Path::new("127.0.0.1"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed())?;
        let endpoint = format!("http://{}", listener.local_addr().map_err(failed())?);
        let shared = Arc::new(Shared::default());
        let (alive, gone) = oneshot::channel();
        let server = tokio::spawn(server::serve(listener, Arc::clone(&shared), gone));
        Ok(Self { endpoint, shared, alive, server })
    }

    /// What exporters are told, without a path: `http://127.0.0.1:40123`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Everything received until now.
    pub fn received(&self) -> Received {
        self.shared.received.borrow().clone()
    }

    /// The spans received until now, in the order of their arrival.
    pub fn spans(&self) -> Vec<Span> {
        self.shared.received.borrow().spans.clone()
    }

    /// The points of metrics received until now, in the order of their arrival.
    pub fn metrics(&self) -> Vec<Metric> {
        self.shared.received.borrow().metrics.clone()
    }

    /// The log records received until now, in the order of their arrival.
    pub fn logs(&self) -> Vec<Log> {
        self.shared.received.borrow().logs.clone()
    }

    /// The requests received until now, also those that were not taken.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.received.borrow().requests.clone()
    }

    /// How much was received until now.
    pub fn counts(&self) -> Counts {
        self.shared.received.borrow().counts
    }

    /// Waits for a span and returns the first that is so.
    ///
    /// # Panics
    /// After 30 s, with what was received. Under tokio's paused time that is as soon as the runtime has nothing to do.
    pub async fn span(&self, is_it: impl Fn(&Span) -> bool) -> Span {
        self.find("no such span", |received| received.spans.iter().find(|span| is_it(span)).cloned()).await
    }

    /// Waits for a point of a metric and returns the first that is so.
    ///
    /// # Panics
    /// As [`span`](Self::span).
    pub async fn metric(&self, is_it: impl Fn(&Metric) -> bool) -> Metric {
        self.find("no such metric", |received| received.metrics.iter().find(|metric| is_it(metric)).cloned())
            .await
    }

    /// Waits for a log record and returns the first that is so.
    ///
    /// # Panics
    /// As [`span`](Self::span).
    pub async fn log(&self, is_it: impl Fn(&Log) -> bool) -> Log {
        self.find("no such log record", |received| received.logs.iter().find(|log| is_it(log)).cloned()).await
    }

    /// Waits until something is so, such as `|received| received.counts.requests == 2`.
    ///
    /// # Panics
    /// As [`span`](Self::span).
    pub async fn until(&self, is_so: impl Fn(&Received) -> bool) {
        self.find("it did not come to that", |received| is_so(received).then_some(())).await;
    }

    async fn find<T>(&self, complaint: &str, find: impl Fn(&Received) -> Option<T>) -> T {
        let mut found = None;
        let mut changes = self.shared.received.subscribe();
        let wait = changes.wait_for(|received| {
            found = find(received);
            found.is_some()
        });
        // Neither way of ending says more than `found`.
        drop(timeout(PATIENCE, wait).await);
        found.unwrap_or_else(|| panic!("{complaint} within {PATIENCE:?}; {}", self.received()))
    }

    /// From now on every request meets this fault, until [`recover`](Self::recover) or another fault. It replaces
    /// the one before.
    pub fn fail(&self, fault: Fault) {
        self.shared.set_fault(Some((fault, None)));
    }

    /// The next `requests`, whichever they are, meet this fault, and those after them none. It replaces the one before.
    pub fn fail_next(&self, requests: u32, fault: Fault) {
        self.shared.set_fault((requests > 0).then_some((fault, Some(requests))));
    }

    /// From now on requests are taken again. Those that hang go on hanging.
    pub fn recover(&self) {
        self.shared.set_fault(None);
    }

    /// Closes the port and every connection, and waits until all have ended: then connections are refused.
    ///
    /// Dropping the future lets all of it end a moment later.
    pub async fn stop(self) {
        let Self { alive, server, .. } = self;
        drop(alive);
        // It does not panic, and nobody else can cancel it.
        let _ = server.await;
    }
}
