//! The settings.

use std::str::FromStr;
use std::time::Duration;

use shared_core::Config as Settings;
use shared_core::setting;
use tracing_subscriber::filter::{LevelFilter, Targets};
use validator::{Validate, ValidationError};

/// What is logged, and where traces and metrics go.
///
/// No setting is read from `OTEL_*` variables or from anywhere else: what stands here is what happens.
#[derive(Clone, Debug, PartialEq, Settings, Validate)]
#[validate(schema(function = "batch_fits_queue"))]
pub struct Config {
    /// Which log lines are written: a level, or levels by target, such as `info,shared_db=debug`. The exporters' own
    /// chatter is left out by default.
    ///
    /// It decides about log lines alone: spans of level `info` and above always exist, so that the ids on a line and
    /// the sampling of traces do not depend on how much is logged.
    #[config(default = "info,opentelemetry=warn")]
    pub log_filter: LogFilter,
    /// How a log line looks.
    #[config(default = "json")]
    pub log_format: LogFormat,
    /// The collector that takes traces and metrics by OTLP over HTTP, without a path: `http://localhost:4318`.
    /// Not set: nothing is exported; ids, log lines and `/metrics` work all the same.
    #[config(url("http", "https"))]
    pub otlp_endpoint: Option<String>,
    /// The share of traces that begin here and are recorded, from 0 to 1. A trace that began elsewhere keeps the
    /// decision of its beginning.
    #[config(default = "1.0", min = "0", max = "1")]
    pub sample_ratio: f64,
    /// Finished spans that wait for export at most; beyond it spans are dropped and counted. About 1 KiB each.
    #[config(default = 8192, min = 1, max = 1_000_000)]
    pub span_queue: u32,
    /// Spans of one request to the collector at most: collectors refuse bodies above 4 MiB by default.
    #[config(default = 512, min = 1, max = 10_000)]
    pub span_batch: u32,
    /// How long a finished span waits for its batch to fill.
    #[config(default = "1s", min = "10ms", max = "1m")]
    pub span_delay: Duration,
    /// How often metrics are pushed to the collector.
    #[config(default = "60s", min = "1s", max = "1h")]
    pub metrics_interval: Duration,
    /// How long one export may take, its retries included.
    #[config(default = "5s", min = "10ms", max = "1m")]
    pub export_timeout: Duration,
    /// How long the end of the program may wait for the last spans and metrics if nobody says another deadline.
    #[config(default = "5s", min = "10ms", max = "1m")]
    pub flush_timeout: Duration,
    /// How often each health check runs. Probes answer from its last result.
    #[config(default = "5s", min = "100ms", max = "5m")]
    pub health_interval: Duration,
    /// How long one health check may take.
    #[config(default = "2s", min = "10ms", max = "1m")]
    pub health_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log_filter: LogFilter::default(),
            log_format: LogFormat::Json,
            otlp_endpoint: None,
            sample_ratio: 1.0,
            span_queue: 8192,
            span_batch: 512,
            span_delay: Duration::from_secs(1),
            metrics_interval: Duration::from_secs(60),
            export_timeout: Duration::from_secs(5),
            flush_timeout: Duration::from_secs(5),
            health_interval: Duration::from_secs(5),
            health_timeout: Duration::from_secs(2),
        }
    }
}

fn batch_fits_queue(config: &Config) -> Result<(), ValidationError> {
    if config.span_batch <= config.span_queue {
        return Ok(());
    }
    Err(ValidationError::new("batch")
        .with_message("a batch of spans can't be larger than their queue".into()))
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Settings)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// One line of text, for people.
    Text,
}

/// Which log lines are written: a level, and levels by target (`info,shared_db=debug`).
#[derive(Clone, Debug, PartialEq)]
pub struct LogFilter(pub(crate) Targets);

impl Default for LogFilter {
    fn default() -> Self {
        Self(Targets::new().with_default(LevelFilter::INFO).with_target("opentelemetry", LevelFilter::WARN))
    }
}

setting!(LogFilter, "a log filter such as info or info,shared_db=debug");

/// A text that is not a log filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a log filter: expected levels such as info or info,shared_db=debug")]
pub struct InvalidLogFilter;

impl FromStr for LogFilter {
    type Err = InvalidLogFilter;

    /// A lone word must be a level: otherwise a mistyped level would pass for a target, and silence all others.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut targets = Targets::new();
        for part in text.split(',') {
            targets = match part.trim().split_once('=') {
                None => targets.with_default(level(part)?),
                Some((target, at)) if !target.trim().is_empty() => {
                    targets.with_target(target.trim(), level(at)?)
                }
                Some(_) => return Err(InvalidLogFilter),
            };
        }
        Ok(Self(targets))
    }
}

/// The library reads an empty text as `error`.
fn level(text: &str) -> Result<LevelFilter, InvalidLogFilter> {
    Some(text.trim())
        .filter(|text| !text.is_empty())
        .and_then(|text| text.parse().ok())
        .ok_or(InvalidLogFilter)
}

#[cfg(test)]
mod tests {
    use shared_core::schema::from_pairs;
    use tracing::Level;

    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_schema() {
        assert_eq!(from_pairs::<Config>([]).unwrap(), Config::default());
    }

    #[test]
    fn a_filter_is_a_level_and_levels_by_target() {
        let LogFilter(filter) = "warn, shared_db=debug".parse().unwrap();
        assert!(filter.would_enable("shared_db::pool", &Level::DEBUG));
        assert!(!filter.would_enable("hyper", &Level::INFO));
        for wrong in ["inof", "", "=debug", "shared_db=much"] {
            assert_eq!(wrong.parse::<LogFilter>(), Err(InvalidLogFilter), "{wrong}");
        }
    }

    #[test]
    fn every_mistake_is_reported() {
        let mistakes =
            from_pairs::<Config>([("SAMPLE_RATIO", "2"), ("LOG_FORMAT", "xml"), ("OTLP_ENDPOINT", "x")]);
        assert_eq!(mistakes.unwrap_err().len(), 3);
        let mistakes = from_pairs::<Config>([("SPAN_QUEUE", "10"), ("SPAN_BATCH", "11")]).unwrap_err();
        assert!(mistakes[0].to_string().contains("larger than their queue"), "{mistakes:?}");
    }
}
