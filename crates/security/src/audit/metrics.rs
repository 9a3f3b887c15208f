//! What is counted, through the OpenTelemetry API: without a meter provider it costs nothing and goes nowhere.

use std::sync::LazyLock;

use opentelemetry::metrics::{Counter, Gauge, UpDownCounter};

/// Made at the first event, when a program has long installed its provider.
pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

pub(crate) struct Metrics {
    pub(crate) written: Counter<u64>,
    pub(crate) buffered: UpDownCounter<i64>,
    pub(crate) lost: Counter<u64>,
    pub(crate) sealed: Counter<u64>,
    pub(crate) fenced: Counter<u64>,
    pub(crate) unsealed: Gauge<f64>,
}

/// An event that was written with what it tells of is committed.
pub(crate) fn count_written() {
    METRICS.written.add(1, &[]);
}

impl Metrics {
    fn new() -> Self {
        let meter = opentelemetry::global::meter("shared_security");
        let counter =
            |name: &'static str, what: &'static str| meter.u64_counter(name).with_description(what).build();
        Self {
            written: counter("audit.written", "audit events that were committed"),
            buffered: meter
                .i64_up_down_counter("audit.buffered")
                .with_description("audit events that wait for the writer")
                .build(),
            lost: counter("audit.lost", "audit events that found no room, or that the writer had to give up"),
            sealed: counter("audit.sealed", "audit entries that became part of a chain"),
            fenced: counter("audit.sealer.fenced", "times a sealer found that another had taken its lease"),
            unsealed: meter
                .f64_gauge("audit.unsealed.age")
                .with_unit("s")
                .with_description(
                    "age of the oldest entry that the sealer has found unsealed, by the server's clock",
                )
                .build(),
        }
    }
}
