//! The start: everything is prepared first, then installed in one go.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::trace::TracerProvider;
use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracer;
use tracing::Dispatch;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::filter::FilterExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry};

use crate::counts::Counts;
use crate::guard::Pipeline;
use crate::logs::{LogLayer, LogWriter};
use crate::otlp::Otlp;
use crate::traces::spans;
use crate::{Config, Error, Recorder, Telemetry, metrics, traces};

/// Set once something is installed for the whole process.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Who speaks: the name and version on every span, metric and log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceInfo {
    name: String,
    version: String,
}

impl ServiceInfo {
    /// A service; the version is usually `env!("CARGO_PKG_VERSION")` of the program.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into() }
    }

    /// Built from nothing: the SDK's own detectors read the environment.
    fn resource(&self) -> Resource {
        let attributes = [
            ("service.name", self.name.clone()),
            ("service.version", self.version.clone()),
            ("service.instance.id", uuid::Uuid::new_v4().to_string()),
            ("telemetry.sdk.name", "opentelemetry".to_owned()),
            ("telemetry.sdk.language", "rust".to_owned()),
            ("telemetry.distro.name", env!("CARGO_PKG_NAME").to_owned()),
            ("telemetry.distro.version", env!("CARGO_PKG_VERSION").to_owned()),
        ];
        Resource::builder_empty()
            .with_attributes(attributes.map(|(key, value)| KeyValue::new(key, value)))
            .build()
    }
}

/// What a program may change about the start beside the settings.
pub struct Builder {
    service: ServiceInfo,
    writer: Box<dyn Write + Send>,
    recorder: Option<Recorder>,
}

impl Builder {
    pub(crate) fn new(service: ServiceInfo) -> Self {
        Self { service, writer: Box::new(std::io::stdout()), recorder: None }
    }

    /// Log lines go there instead of standard output: each line in one `write_all`, which may block the thread
    /// that logs.
    #[must_use]
    pub fn log_writer(mut self, writer: impl Write + Send + 'static) -> Self {
        self.writer = Box::new(writer);
        self
    }

    /// Finished spans of recorded traces are kept in `recorder` as well.
    #[must_use]
    pub fn recorder(mut self, recorder: &Recorder) -> Self {
        self.recorder = Some(recorder.clone());
        self
    }

    /// Starts telemetry for the whole process.
    ///
    /// # Errors
    /// [`Error::AlreadyStarted`] on the second call, or if the program has installed a subscriber of its own; then
    /// nothing has changed. [`Error::Export`] and [`Error::Metrics`] as the settings give reason.
    pub fn init(self, config: &Config) -> Result<Telemetry, Error> {
        if tracing::dispatcher::has_been_set() || STARTED.swap(true, Ordering::SeqCst) {
            return Err(Error::AlreadyStarted);
        }
        let telemetry = self.build(config).inspect_err(|_| STARTED.store(false, Ordering::SeqCst))?;
        // Meters first: an instrument made before the provider is set stays silent for ever.
        global::set_meter_provider(telemetry.pipeline.meters.clone());
        tracing::dispatcher::set_global_default(telemetry.dispatch()).map_err(|_| Error::AlreadyStarted)?;
        global::set_tracer_provider(telemetry.pipeline.tracers.clone());
        shared_core::panics::remember();
        Ok(telemetry)
    }

    /// Prepares the same without installing anything: for tests, and for programs with several services in one
    /// process, which run each under its [`Telemetry::dispatch`].
    ///
    /// # Errors
    /// [`Error::Export`] and [`Error::Metrics`] as the settings give reason.
    pub fn build(self, config: &Config) -> Result<Telemetry, Error> {
        let counts = Arc::new(Counts::default());
        let resource = self.service.resource();
        let otlp = config.otlp_endpoint.as_deref().map(|endpoint| Otlp::new(endpoint, config)).transpose()?;
        let (span_exporter, metric_exporter, client) = match otlp {
            Some(Otlp { spans, metrics, client }) => (Some(spans), Some(metrics), Some(client)),
            None => (None, None, None),
        };
        let (meters, metrics) = metrics::provider(config, resource.clone(), metric_exporter, &counts)?;
        let tracers = traces::provider(config, resource, span_exporter, self.recorder, &counts);
        let writer = Arc::new(LogWriter::new(self.writer, Arc::clone(&counts)));
        let logs = LogLayer::new(config.log_format, &self.service.name, Arc::clone(&writer))
            // Log lines need the spans for their ids, whatever the level of the lines.
            .with_filter(config.log_filter.0.clone().or(spans()));
        let subscriber =
            Registry::default().with(trace_layer(tracers.tracer("shared")).with_filter(spans())).with(logs);
        let pipeline = Pipeline { tracers, meters, client, writer, counts };
        Ok(Telemetry::new(pipeline, metrics, Dispatch::new(subscriber), config.flush_timeout))
    }
}

/// Spans carry what their author put on them; files, threads and idle times would double their size.
fn trace_layer(tracer: SdkTracer) -> OpenTelemetryLayer<Registry, SdkTracer> {
    OpenTelemetryLayer::new(tracer).with_location(false).with_threads(false).with_tracked_inactivity(false)
}
