//! What is refused and why, through the OpenTelemetry API. What is allowed is counted with the requests.

use std::sync::LazyLock;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;

/// Made at the first event, when a program has long installed its provider.
pub(super) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

pub(super) struct Metrics {
    denied: Counter<u64>,
    remembered: Counter<u64>,
    without_room: Counter<u64>,
    outages: Counter<u64>,
    addresses: Counter<u64>,
}

impl Metrics {
    fn new() -> Self {
        let meter = opentelemetry::global::meter("shared_security");
        let counter =
            |name: &'static str, what: &'static str| meter.u64_counter(name).with_description(what).build();
        Self {
            denied: counter("security.limits.denied", "requests over a limit, by the limit"),
            remembered: counter(
                "security.limits.remembered",
                "denials without asking the store, as it had denied before",
            ),
            without_room: counter(
                "security.limits.without_room",
                "requests held against what keys without room share",
            ),
            outages: counter(
                "security.limits.outages",
                "requests that the store did not answer, by what became of them",
            ),
            addresses: counter(
                "security.client_address.unclear",
                "forwarded addresses that could not be believed",
            ),
        }
    }

    pub(super) fn denied(&self, rule: &'static str) {
        self.denied.add(1, &[KeyValue::new("limit", rule)]);
    }

    pub(super) fn remembered(&self, rule: &'static str) {
        self.remembered.add(1, &[KeyValue::new("limit", rule)]);
    }

    pub(super) fn without_room(&self, rule: &'static str) {
        self.without_room.add(1, &[KeyValue::new("limit", rule)]);
    }

    pub(super) fn outage(&self, allowed: bool) {
        self.outages.add(1, &[KeyValue::new("outcome", if allowed { "allowed" } else { "refused" })]);
    }

    pub(super) fn unclear_address(&self) {
        self.addresses.add(1, &[]);
    }
}

/// A forwarded address that could not be believed.
pub(crate) fn unclear_address() {
    METRICS.unclear_address();
}
