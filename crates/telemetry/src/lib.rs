//! One call starts logs, traces, metrics and probes; one guard flushes them; nothing is lost uncounted.
//!
//! ```no_run
//! use std::time::Duration;
//! use shared_telemetry::{Checks, Config, Health, HttpLayer, ServiceInfo};
//! use axum::{Router, extract::MatchedPath, routing::get};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let config = Config::default(); // a program nests it in its own settings
//!     let telemetry = shared_telemetry::init(ServiceInfo::new("notes", env!("CARGO_PKG_VERSION")), &config)?;
//!     let checks = Health::start(Checks::new().required("clock", async || Ok(())), &config);
//!     let (metrics, health) = (telemetry.metrics(), checks.health());
//!
//!     let app = Router::new()
//!         .route("/notes/{id}", get(async || { tracing::info!("has all ids"); "a note" }))
//!         .layer(HttpLayer::new(&metrics).route(|parts| Some(parts.extensions.get::<MatchedPath>()?.as_str())))
//!         .route("/metrics", get(async move || metrics.render().map(|shown| shown.text).unwrap_or_default()))
//!         .route("/ready", get(async move || health.ready().body.to_string()));
//!     axum::serve(tokio::net::TcpListener::bind("127.0.0.1:8080").await?, app).await?;
//!
//!     checks.stop().await;
//!     println!("{}", telemetry.shutdown(Duration::from_secs(5)).await);
//!     Ok(())
//! }
//! ```
//!
//! # The ideas
//! - [`init`] is the only thing in the family that installs globals, and only a program calls it. It returns
//!   [`Telemetry`], which [`shutdown`](Telemetry::shutdown) flushes off the runtime, with a deadline, into a
//!   [`ShutdownReport`].
//! - A log line is JSON, and its `trace_id`, `span_id`, `tenant_id` and `correlation_id` are at top level. The first two
//!   are those of the running span; the others are the fields of that name of the innermost span that has them.
//! - [`HttpLayer`] opens a span per request, goes on with the caller's `traceparent` and `x-correlation-id`, and
//!   measures. Jobs and events carry both on, with `shared_core::trace`: `current()` is stored with them,
//!   `continuing(position, || info_span!(..))` makes the span of the effect a child of the cause.
//! - [`Health`] answers probes from memory. Liveness says that the runtime turns; readiness says that the last results
//!   of the required [`Checks`] were good, and that the process is not draining.
//! - [`Metrics`] renders what every library of the process records through the OpenTelemetry API. With a collector
//!   the same metrics are pushed as well.
//! - A [`Recorder`] keeps the last spans in memory, for programs that draw their own traces.
//!
//! The names of all spans, metrics and log fields are a contract; `docs/telemetry.md` has them.
//!
//! # Guarantees
//! - A recorded span that ends before the shutdown is exported, or counted as failed, dropped or pending: the four add
//!   up.
//! - A line is written whole or counted as lost. Lines of different threads do not mix, and no value breaks a line.
//! - Nothing but [`Config`] decides: the SDK's `OTEL_*` variables and the proxies of the environment have no effect.
//! - The level of the log changes neither the ids on lines nor which spans exist.
//!
//! # Limits
//! - Lines go to standard output synchronously: a reader that stalls, stalls the threads that log.
//! - Spans below level info do not exist. Events are lines, not parts of spans; an error in a log does not make the
//!   span an error, `otel.status_code = "ERROR"` on the span does.
//! - Only `tracing` is listened to: records of the `log` crate are not.
//! - Spans that a collector takes and then refuses in part are logged, but counted as exported.
//! - The sampling decision of a caller is obeyed. Where callers are strangers, remove `traceparent` before.
//!
//! # Errors
//! [`Error`], and only at the start and in [`Metrics::render`]: once it runs, telemetry never fails the program.

mod builder;
mod config;
mod counts;
mod error;
mod guard;
mod health;
mod http;
mod logs;
mod metrics;
mod otlp;
mod traces;

pub use builder::{Builder, ServiceInfo};
pub use config::{Config, InvalidLogFilter, LogFilter, LogFormat};
pub use error::Error;
pub use guard::{ShutdownReport, Telemetry, init};
pub use health::{Checks, Health, HealthTask, Probe};
pub use http::{HttpLayer, HttpService, ResponseFuture};
pub use metrics::{Exposition, Metrics};
pub use traces::{RecordedSpan, Recorder};
