//! What the queues count, through the OpenTelemetry API. Without an installed provider it costs next to nothing.

use std::sync::LazyLock;
use std::time::Duration;

use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::{KeyValue, global};

/// Made at the first use, which comes after the program has installed its telemetry.
pub(crate) static METERS: LazyLock<Meters> = LazyLock::new(Meters::new);

pub(crate) struct Meters {
    enqueued: Counter<u64>,
    claimed: Counter<u64>,
    settled: Counter<u64>,
    put_back: Counter<u64>,
    rescued: Counter<u64>,
    fenced: Counter<u64>,
    wait: Histogram<f64>,
    run: Histogram<f64>,
}

impl Meters {
    fn new() -> Self {
        let meter = global::meter("shared_queues");
        let counter = |name, what| meter.u64_counter(name).with_description(what).with_unit("{job}").build();
        let seconds = |name, what| meter.f64_histogram(name).with_description(what).with_unit("s").build();
        Self {
            enqueued: counter("queues.jobs.enqueued", "Jobs that were committed"),
            claimed: counter("queues.jobs.claimed", "Jobs that a worker took"),
            settled: counter("queues.jobs.settled", "Attempts that ended, by outcome"),
            put_back: counter("queues.jobs.put_back", "Jobs that this program does not know, left to others"),
            rescued: counter("queues.jobs.rescued", "Jobs taken from workers that died"),
            fenced: counter(
                "queues.jobs.fenced",
                "Outcomes refused since the job was no longer the worker's",
            ),
            wait: seconds("queues.job.wait", "From when a job was due to its first attempt"),
            run: seconds("queues.job.run", "How long an attempt took"),
        }
    }

    pub(crate) fn enqueued(&self, name: &'static str) {
        self.enqueued.add(1, &[KeyValue::new("job.name", name)]);
    }

    pub(crate) fn claimed(&self, queue: &'static str, jobs: usize) {
        self.claimed.add(jobs as u64, &[KeyValue::new("queue", queue)]);
    }

    /// Without the name, which others made up.
    pub(crate) fn put_back(&self) {
        self.put_back.add(1, &[]);
    }

    /// `outcome` is one of `completed`, `retried`, `dead`. The name is one of this program's.
    pub(crate) fn settled(&self, name: &'static str, outcome: &'static str) {
        self.settled.add(1, &[KeyValue::new("job.name", name), KeyValue::new("outcome", outcome)]);
    }

    pub(crate) fn rescued(&self, jobs: u64, outcome: &'static str) {
        if jobs > 0 {
            self.rescued.add(jobs, &[KeyValue::new("outcome", outcome)]);
        }
    }

    pub(crate) fn fenced(&self, jobs: usize) {
        self.fenced.add(jobs as u64, &[]);
    }

    pub(crate) fn waited(&self, name: &'static str, wait: f64) {
        self.wait.record(wait, &[KeyValue::new("job.name", name)]);
    }

    pub(crate) fn ran(&self, name: &'static str, run: Duration) {
        self.run.record(run.as_secs_f64(), &[KeyValue::new("job.name", name)]);
    }
}
