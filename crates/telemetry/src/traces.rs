//! Traces: which are recorded, and where finished spans go.

mod batch;
mod recorder;

use std::sync::Arc;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanLimits, TracerProviderBuilder};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterFn, LevelFilter};

use crate::Config;
use crate::counts::Counts;
pub(crate) use batch::BoundedBatches;
pub use recorder::{RecordedSpan, Recorder};

/// A provider that samples as the settings say. Everything is said explicitly, because what is not said the SDK
/// reads from the environment.
pub(crate) fn provider(
    config: &Config,
    resource: Resource,
    exporter: Option<opentelemetry_otlp::SpanExporter>,
    recorder: Option<Recorder>,
    counts: &Arc<Counts>,
) -> SdkTracerProvider {
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio)));
    let mut builder: TracerProviderBuilder = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(sampler)
        .with_span_limits(SpanLimits::default());
    if let Some(recorder) = recorder {
        builder = builder.with_span_processor(recorder);
    }
    if let Some(exporter) = exporter {
        builder = builder.with_span_processor(BoundedBatches::new(exporter, config, Arc::clone(counts)));
    }
    builder.build()
}

/// Which tracing spans exist: those of level info and above, whatever is logged. Events are lines, not parts of spans.
pub(crate) fn spans() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    fn exists(metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && *metadata.level() <= Level::INFO
    }
    FilterFn::new(exists as fn(&Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::INFO)
}
