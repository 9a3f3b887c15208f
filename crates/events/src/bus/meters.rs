//! What is counted, as in [`crate::metrics`].

use std::sync::LazyLock;

use opentelemetry::metrics::Counter;

use crate::metrics::consumer;

pub(super) static METERS: LazyLock<Meters> = LazyLock::new(Meters::new);

pub(super) struct Meters {
    delivered: Counter<u64>,
    dropped: Counter<u64>,
    closed: Counter<u64>,
    failed: Counter<u64>,
    panics: Counter<u64>,
}

impl Meters {
    fn new() -> Self {
        let meter = opentelemetry::global::meter("shared_events");
        let counter =
            |name: &'static str, what: &'static str| meter.u64_counter(name).with_description(what).build();
        Self {
            delivered: counter("events.bus.delivered", "events put into a subscriber's buffer"),
            dropped: counter("events.bus.dropped", "events dropped since a subscriber's buffer was full"),
            closed: counter("events.bus.closed", "subscribers closed since their buffer was full"),
            failed: counter("events.bus.failed", "events that a handler did not succeed with"),
            panics: counter("events.bus.panics", "panics of handlers"),
        }
    }

    pub(super) fn delivered(&self, to: &'static str) {
        self.delivered.add(1, &consumer(to));
    }

    pub(super) fn dropped(&self, to: &'static str) {
        self.dropped.add(1, &consumer(to));
    }

    pub(super) fn closed(&self, to: &'static str) {
        self.closed.add(1, &consumer(to));
    }

    pub(super) fn failed(&self, by: &'static str) {
        self.failed.add(1, &consumer(by));
    }

    pub(super) fn panicked(&self, by: &'static str) {
        self.panics.add(1, &consumer(by));
    }
}
