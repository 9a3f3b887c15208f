//! Metrics: one provider, read by `/metrics` and, with a collector, pushed as well.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter, MeterProvider};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use prometheus::{Registry, TextEncoder};

use crate::counts::{Count, Counts};
use crate::{Config, Error};

/// The metrics of the process. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    meter: Meter,
}

/// What a request for `/metrics` is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exposition {
    /// The value of the header `content-type`.
    pub content_type: &'static str,
    /// The metrics in the Prometheus text format.
    pub text: String,
}

impl Metrics {
    /// All metrics as they are now. It takes about a microsecond per series and does not wait for anybody.
    ///
    /// # Errors
    /// [`Error::Metrics`], if a metric can't be expressed in the format.
    pub fn render(&self) -> Result<Exposition, Error> {
        let mut text = String::new();
        TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text).map_err(Error::metrics)?;
        Ok(Exposition { content_type: prometheus::TEXT_FORMAT, text })
    }

    /// Where this crate's own instruments come from.
    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }
}

/// The provider, and the handle that reads it.
pub(crate) fn provider(
    config: &Config,
    resource: Resource,
    exporter: Option<MetricExporter>,
    counts: &Arc<Counts>,
) -> Result<(SdkMeterProvider, Metrics), Error> {
    let registry = Registry::new();
    let reader = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        // The library that made an instrument is not worth a label on every sample.
        .scope_info_enabled(false)
        .build()
        .map_err(Error::metrics)?;
    let mut builder = SdkMeterProvider::builder().with_resource(resource).with_reader(reader);
    if let Some(exporter) = exporter {
        let pushed = PeriodicReader::builder(exporter).with_interval(config.metrics_interval).build();
        builder = builder.with_reader(pushed);
    }
    let provider = builder.build();
    let meter = provider.meter("shared-telemetry");
    observe(&meter, counts, config);
    Ok((provider, Metrics { registry, meter }))
}

/// Telemetry about telemetry: what is lost is visible in the same place as everything else.
fn observe(meter: &Meter, counts: &Arc<Counts>, config: &Config) {
    let failed = KeyValue::new("error.type", "export_failed");
    let full = KeyValue::new("error.type", "queue_full");
    let unwritten = KeyValue::new("error.type", "write_failed");
    let of = Arc::clone(counts);
    meter
        .u64_observable_counter("otel.sdk.exporter.span.exported")
        .with_unit("{span}")
        .with_description("Spans whose export has ended; with error.type: that did not reach the collector.")
        .with_callback(move |out| both(out, &of.spans_exported, &of.spans_failed, &failed))
        .build();
    let of = Arc::clone(counts);
    meter
        .u64_observable_counter("otel.sdk.processor.span.processed")
        .with_unit("{span}")
        .with_description("Spans that the queue let go; with error.type: for which it had no room.")
        .with_callback(move |out| {
            out.observe(of.spans_exported.get() + of.spans_failed.get(), &[]);
            out.observe(of.spans_dropped.get(), std::slice::from_ref(&full));
        })
        .build();
    let of = Arc::clone(counts);
    meter
        .i64_observable_up_down_counter("otel.sdk.processor.span.queue.size")
        .with_unit("{span}")
        .with_description("Finished spans that wait for the end of their export.")
        .with_callback(move |out| out.observe(i64::try_from(of.spans_queued.get()).unwrap_or(i64::MAX), &[]))
        .build();
    let capacity = i64::from(config.span_queue);
    meter
        .i64_observable_up_down_counter("otel.sdk.processor.span.queue.capacity")
        .with_unit("{span}")
        .with_description("Finished spans that may wait.")
        .with_callback(move |out| out.observe(capacity, &[]))
        .build();
    let of = Arc::clone(counts);
    meter
        .u64_observable_counter("shared.log.lines")
        .with_unit("{line}")
        .with_description("Log lines; with error.type: that could not be written.")
        .with_callback(move |out| both(out, &of.log_lines, &of.log_lines_lost, &unwritten))
        .build();
}

fn both(out: &dyn AsyncInstrument<u64>, good: &Count, bad: &Count, why: &KeyValue) {
    out.observe(good.get(), &[]);
    out.observe(bad.get(), std::slice::from_ref(why));
}
