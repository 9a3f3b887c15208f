//! The metrics of a server, named as the semantic conventions name them.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter, UpDownCounter};

/// The buckets that the conventions ask for, in seconds.
const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

pub(super) struct Instruments {
    duration: Histogram<f64>,
    active: UpDownCounter<i64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            duration: meter
                .f64_histogram("http.server.request.duration")
                .with_unit("s")
                .with_description("Time from a request to the head of its response.")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            active: meter
                .i64_up_down_counter("http.server.active_requests")
                .with_unit("{request}")
                .with_description("Requests whose response has not begun.")
                .build(),
        }
    }

    /// `attributes` are the same two for the beginning and the end of a request.
    pub(super) fn begin(&self, attributes: &[KeyValue]) {
        self.active.add(1, attributes);
    }

    pub(super) fn end(&self, began_with: &[KeyValue], seconds: f64, attributes: &[KeyValue]) {
        self.active.add(-1, began_with);
        self.duration.record(seconds, attributes);
    }
}
