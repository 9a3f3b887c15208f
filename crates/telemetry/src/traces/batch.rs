//! The SDK's batches, with a bound and counts that can be read.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};

use crate::Config;
use crate::counts::Counts;

/// The SDK's batch processor drops in silence when its queue is full. Here the room is counted before it, from the
/// end of a span to the end of its export, so its queue is never full, and every drop is counted.
#[derive(Debug)]
pub(crate) struct BoundedBatches {
    inner: BatchSpanProcessor,
    counts: Arc<Counts>,
    room: u64,
}

impl BoundedBatches {
    pub(crate) fn new(
        exporter: opentelemetry_otlp::SpanExporter,
        config: &Config,
        counts: Arc<Counts>,
    ) -> Self {
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(config.span_queue as usize)
            .with_max_export_batch_size(config.span_batch as usize)
            .with_scheduled_delay(config.span_delay)
            .build();
        let exporter = Counted { inner: exporter, counts: Arc::clone(&counts) };
        Self { inner: BatchSpanProcessor::new(exporter, batches), counts, room: u64::from(config.span_queue) }
    }
}

impl SpanProcessor for BoundedBatches {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.counts.spans_queued.add_within(self.room) {
            self.inner.on_end(span);
        } else {
            self.counts.spans_dropped.add(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Counts what became of each span.
#[derive(Debug)]
struct Counted {
    inner: opentelemetry_otlp::SpanExporter,
    counts: Arc<Counts>,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let result = self.inner.export(batch).await;
        match result {
            Ok(()) => self.counts.spans_exported.add(spans),
            Err(_) => self.counts.spans_failed.add(spans),
        }
        self.counts.spans_queued.sub(spans);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
