//! What can go wrong.

/// Why telemetry could not be started or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Logs, traces and metrics are global to a process, and something has set them up before.
    #[error("telemetry has already been started in this process; start it once, first thing in main")]
    AlreadyStarted,
    /// The export to the collector could not be prepared. The endpoint is not repeated: it may hold a password.
    #[error("the export to the OTLP collector could not be prepared; check the endpoint in the settings")]
    #[non_exhaustive]
    Export {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Metrics could not be registered or written.
    #[error("metrics could not be collected")]
    #[non_exhaustive]
    Metrics {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    pub(crate) fn export(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Export { source: source.into() }
    }

    pub(crate) fn metrics(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Metrics { source: source.into() }
    }
}
