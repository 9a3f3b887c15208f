//! What is counted, through the OpenTelemetry API: without a meter provider it costs nothing and goes nowhere.

use std::sync::LazyLock;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};

/// Made at the first event, when a program has long installed its provider.
pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

pub(crate) struct Metrics {
    pub(crate) published: Counter<u64>,
    pub(crate) delayed: Counter<u64>,
    pub(crate) delivered: Counter<u64>,
    pub(crate) effects: Counter<u64>,
    pub(crate) deduplicated: Counter<u64>,
    pub(crate) redelivered: Counter<u64>,
    pub(crate) parked: Counter<u64>,
    pub(crate) fenced: Counter<u64>,
    pub(crate) rewound: Counter<u64>,
    pub(crate) stray: Counter<u64>,
    pub(crate) missed: Counter<u64>,
    pub(crate) gone: Counter<u64>,
    pub(crate) foreign: Counter<u64>,
    pub(crate) lag: Histogram<f64>,
}

impl Metrics {
    fn new() -> Self {
        let meter = opentelemetry::global::meter("shared_events");
        let counter =
            |name: &'static str, what: &'static str| meter.u64_counter(name).with_description(what).build();
        Self {
            published: counter("events.published", "events committed with their transaction"),
            delayed: counter("events.delayed", "events committed with their transaction for a time to come"),
            delivered: counter("events.delivered", "events that a subscription has passed"),
            effects: counter("events.effects", "effects of consumers that were committed"),
            deduplicated: counter("events.deduplicated", "deliveries whose effect was there already"),
            redelivered: counter("events.redelivered", "attempts of a consumer at an event after its first"),
            parked: counter(
                "events.parked",
                "events put aside for a consumer, followers of a failed one included",
            ),
            fenced: counter(
                "events.fenced",
                "times a relay or an intake found that another had taken a lane, or a sink's lane not as it was left",
            ),
            rewound: counter("events.rewound", "events sent again since the sink had lost them"),
            stray: counter("events.stray", "events that were found without a day of their own, and moved"),
            missed: counter("events.missed", "times a broker no longer had what an intake had read last"),
            gone: counter(
                "events.gone",
                "events that were taken out of the log before they were delivered, and were passed by",
            ),
            foreign: counter("events.foreign", "what an intake found at a broker that is no event"),
            lag: meter
                .f64_histogram("events.lag")
                .with_unit("s")
                .with_description("age of an event when the relay reads it, by the server's clock")
                .build(),
        }
    }
}

/// The attribute that says which consumer it was.
pub(crate) fn consumer(name: &'static str) -> [KeyValue; 1] {
    [KeyValue::new("messaging.consumer.group.name", name)]
}

/// The attribute that says whose events they are.
pub(crate) fn subscription(name: &str) -> [KeyValue; 1] {
    [KeyValue::new("subscription", name.to_owned())]
}
