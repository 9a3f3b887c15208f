//! A statement on its way, measured once, whichever way it ends.

use std::time::Instant;

use opentelemetry::KeyValue;

use crate::error::Error;
use crate::metrics::METRICS;

/// From sending a statement to the end of its answer. Dropped before, it counts as `cancelled`.
pub(crate) struct Operation {
    statement: &'static str,
    namespace: KeyValue,
    sent: Instant,
    is_over: bool,
}

impl Operation {
    pub(crate) fn begin(statement: &'static str, namespace: &KeyValue) -> Self {
        Self { statement, namespace: namespace.clone(), sent: Instant::now(), is_over: false }
    }

    pub(crate) fn end<T>(mut self, done: &Result<T, Error>) {
        self.record(done.as_ref().err().map(Error::class));
    }

    /// It was none: nothing is measured.
    pub(crate) fn forget(mut self) {
        self.is_over = true;
    }

    fn record(&mut self, error: Option<&str>) {
        self.is_over = true;
        METRICS.operation(self.statement, &self.namespace, self.sent.elapsed(), error);
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if !self.is_over {
            self.record(Some(if std::thread::panicking() { "panic" } else { "cancelled" }));
        }
    }
}
