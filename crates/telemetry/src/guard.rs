//! The end: one guard flushes everything, with a deadline, and says what was not delivered.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Dispatch;

use crate::builder::{Builder, ServiceInfo};
use crate::counts::Counts;
use crate::logs::LogWriter;
use crate::otlp::Client;
use crate::{Config, Error, Metrics};

/// Starts logs, traces and metrics for the whole process: [`Telemetry::builder`] without any change.
///
/// # Errors
/// As [`Builder::init`].
pub fn init(service: ServiceInfo, config: &Config) -> Result<Telemetry, Error> {
    Telemetry::builder(service).init(config)
}

/// Telemetry that runs. Keep it until the end of `main`, then call [`shutdown`](Self::shutdown).
///
/// Dropped without that, it flushes as well, blocks for at most the setting `flush_timeout`, and tells nobody what
/// was lost.
#[must_use = "dropping it ends the export"]
pub struct Telemetry {
    pub(crate) pipeline: Pipeline,
    metrics: Metrics,
    dispatch: Dispatch,
    flush_timeout: Duration,
    ended: bool,
}

/// All parts that hold something back.
#[derive(Clone)]
pub(crate) struct Pipeline {
    pub(crate) tracers: SdkTracerProvider,
    pub(crate) meters: SdkMeterProvider,
    pub(crate) client: Option<Client>,
    pub(crate) writer: Arc<LogWriter>,
    pub(crate) counts: Arc<Counts>,
}

/// What became of everything, from the start of the process to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Everything was done before the deadline.
    pub in_time: bool,
    /// Spans that the collector took.
    pub spans_exported: u64,
    /// Spans that the collector refused, or that did not reach it.
    pub spans_failed: u64,
    /// Spans for which the queue had no room.
    pub spans_dropped: u64,
    /// Spans that were still waiting at the deadline.
    pub spans_pending: u64,
    /// The last values of the metrics reached the collector, or there is none.
    pub metrics_delivered: bool,
    /// Log lines that could not be written.
    pub log_lines_lost: u64,
}

impl Telemetry {
    /// A start that can be changed beyond the settings.
    pub fn builder(service: ServiceInfo) -> Builder {
        Builder::new(service)
    }

    pub(crate) fn new(
        pipeline: Pipeline,
        metrics: Metrics,
        dispatch: Dispatch,
        flush_timeout: Duration,
    ) -> Self {
        Self { pipeline, metrics, dispatch, flush_timeout, ended: false }
    }

    /// The metrics, for `/metrics` and for [`HttpLayer`](crate::HttpLayer).
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// The subscriber, for code that runs under it without being the whole process.
    pub fn dispatch(&self) -> Dispatch {
        self.dispatch.clone()
    }

    /// Sends what is still waiting and ends the export. It returns at the deadline at the latest; then an attempt
    /// that is under way may go on for up to the setting `export_timeout`, and nothing else is tried. Log lines are
    /// still written afterwards; spans and metrics are not recorded any more.
    ///
    /// Dropping the future lets the flush go on in its own thread, until the same deadline.
    pub async fn shutdown(mut self, deadline: Duration) -> ShutdownReport {
        self.ended = true;
        let pipeline = self.pipeline.clone();
        let (done, flushed) = tokio::sync::oneshot::channel();
        // Not on a thread of the runtime: flushing blocks, and what it waits for may need that thread.
        let started = on_own_thread(move || {
            // Nobody waits any more if the deadline has passed.
            let _ = done.send(pipeline.flush(deadline));
        });
        let metrics_delivered = match started {
            Ok(()) => tokio::time::timeout(deadline, flushed).await.ok().and_then(Result::ok),
            Err(_) => None,
        };
        self.pipeline.report(metrics_delivered)
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let (pipeline, deadline) = (self.pipeline.clone(), self.flush_timeout);
        let (done, flushed): (_, Receiver<bool>) = sync_channel(1);
        let started = on_own_thread(move || {
            let _ = done.send(pipeline.flush(deadline));
        });
        if started.is_ok() {
            let _ = flushed.recv_timeout(deadline);
        }
        self.pipeline.close();
    }
}

fn on_own_thread(work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name("telemetry-flush".to_owned()).spawn(work).map(|_| ())
}

impl Pipeline {
    /// Spans first, so that the last metrics know what became of them. Says whether the metrics were delivered.
    fn flush(&self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        self.writer.flush();
        // What became of each span is counted; the result says less.
        let _ = self.tracers.shutdown_with_timeout(deadline);
        if Instant::now() >= end {
            self.close();
        }
        self.meters.shutdown().is_ok()
    }

    fn close(&self) {
        if let Some(client) = &self.client {
            client.close();
        }
    }

    /// `None`: the deadline has passed.
    fn report(&self, metrics_delivered: Option<bool>) -> ShutdownReport {
        self.close();
        ShutdownReport {
            in_time: metrics_delivered.is_some(),
            spans_exported: self.counts.spans_exported.get(),
            spans_failed: self.counts.spans_failed.get(),
            spans_dropped: self.counts.spans_dropped.get(),
            spans_pending: self.counts.spans_queued.get(),
            metrics_delivered: metrics_delivered.unwrap_or(false),
            log_lines_lost: self.counts.log_lines_lost.get(),
        }
    }
}

impl ShutdownReport {
    /// Nothing was lost since the start.
    pub fn is_complete(&self) -> bool {
        self.spans_lost() == 0 && self.metrics_delivered && self.log_lines_lost == 0
    }

    /// Spans that the collector does not have, for whatever reason.
    pub fn spans_lost(&self) -> u64 {
        self.spans_failed + self.spans_dropped + self.spans_pending
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spans_exported, spans_failed, spans_dropped, spans_pending, log_lines_lost, .. } = self;
        write!(f, "{spans_exported} spans exported, {spans_failed} failed, {spans_dropped} dropped, ")?;
        write!(f, "{spans_pending} left at the deadline; {log_lines_lost} log lines lost; last metrics ")?;
        f.write_str(if self.metrics_delivered { "delivered" } else { "not delivered" })
    }
}
