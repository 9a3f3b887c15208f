//! What the queues count, through the OpenTelemetry API. Without an installed provider it costs next to nothing.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::metrics::{Counter, Gauge, Histogram};
use opentelemetry::{KeyValue, Value, global};
use shared_core::TenantId;

use crate::{QueueStatus, State};

/// Made at the first use, which comes after the program has installed its telemetry.
pub(crate) static METERS: LazyLock<Meters> = LazyLock::new(Meters::new);

pub(crate) struct Meters {
    enqueued: Counter<u64>,
    claimed: Counter<u64>,
    settled: Counter<u64>,
    failed: Counter<u64>,
    panicked: Counter<u64>,
    put_back: Counter<u64>,
    rescued: Counter<u64>,
    fenced: Counter<u64>,
    pruned: Counter<u64>,
    wait: Histogram<f64>,
    limiter_wait: Histogram<f64>,
    run: Histogram<f64>,
    depth: Gauge<u64>,
    oldest: Gauge<f64>,
    tenant_attempts: Counter<u64>,
    tenant_run: Counter<f64>,
}

impl Meters {
    fn new() -> Self {
        let meter = global::meter("shared_queues");
        let jobs = |name, what| meter.u64_counter(name).with_description(what).with_unit("{job}").build();
        let seconds = |name, what| meter.f64_histogram(name).with_description(what).with_unit("s").build();
        Self {
            enqueued: jobs("queues.jobs.enqueued", "Jobs that were committed"),
            claimed: jobs("queues.jobs.claimed", "Jobs that a worker took"),
            settled: jobs("queues.jobs.settled", "Attempts that ended, by outcome"),
            failed: jobs("queues.jobs.failed", "Attempts that ended in an error, a panic or a time-out"),
            panicked: jobs("queues.jobs.panicked", "Attempts that ended in a panic"),
            put_back: jobs("queues.jobs.put_back", "Jobs that this program does not know, left to others"),
            rescued: jobs(
                "queues.jobs.rescued",
                "Jobs taken from workers that died, or that knew nothing of them",
            ),
            fenced: jobs("queues.jobs.fenced", "Outcomes refused since the job was no longer the worker's"),
            pruned: jobs("queues.jobs.pruned", "Ended jobs, dead letters and marks that were forgotten"),
            wait: seconds("queues.job.wait", "From when a job was due to its first attempt"),
            limiter_wait: seconds(
                "queues.limiter.wait",
                "The same of jobs with limits or an ordering key: until they were let through and taken",
            ),
            run: seconds("queues.job.run", "How long an attempt took"),
            depth: meter
                .u64_gauge("queues.depth")
                .with_description("Jobs in a queue, by state")
                .with_unit("{job}")
                .build(),
            oldest: meter
                .f64_gauge("queues.oldest")
                .with_description("For how long the oldest ready job of a queue has been due")
                .with_unit("s")
                .build(),
            tenant_attempts: meter
                .u64_counter("queues.tenant.attempts")
                .with_description("Attempts at jobs of a tenant")
                .with_unit("{attempt}")
                .build(),
            tenant_run: meter
                .f64_counter("queues.tenant.run")
                .with_description("How long attempts at jobs of a tenant took, in all")
                .with_unit("s")
                .build(),
        }
    }

    pub(crate) fn enqueued(&self, name: impl Into<Value>) {
        self.enqueued_by(name, 1);
    }

    pub(crate) fn enqueued_by(&self, name: impl Into<Value>, jobs: usize) {
        self.enqueued.add(jobs as u64, &[KeyValue::new("job.name", name)]);
    }

    pub(crate) fn claimed(&self, queue: &Arc<str>, jobs: usize) {
        self.claimed.add(jobs as u64, &[KeyValue::new("queue", queue.clone())]);
    }

    /// Without the name, which others made up.
    pub(crate) fn put_back(&self) {
        self.put_back.add(1, &[]);
    }

    /// `outcome` is one of `completed`, `retried`, `snoozed`, `cancelled`, `dead`. The name is one of this program's.
    pub(crate) fn settled(&self, name: &'static str, outcome: &'static str) {
        self.settled.add(1, &[KeyValue::new("job.name", name), KeyValue::new("outcome", outcome)]);
    }

    /// Whether or not there will be another attempt.
    pub(crate) fn failed(&self, name: &'static str) {
        self.failed.add(1, &[KeyValue::new("job.name", name)]);
    }

    pub(crate) fn panicked(&self, name: &'static str) {
        self.panicked.add(1, &[KeyValue::new("job.name", name)]);
    }

    pub(crate) fn rescued(&self, jobs: u64, outcome: &'static str) {
        if jobs > 0 {
            self.rescued.add(jobs, &[KeyValue::new("outcome", outcome)]);
        }
    }

    pub(crate) fn fenced(&self, jobs: usize) {
        self.fenced.add(jobs as u64, &[]);
    }

    pub(crate) fn pruned(&self, jobs: u64) {
        if jobs > 0 {
            self.pruned.add(jobs, &[]);
        }
    }

    pub(crate) fn waited(&self, name: &'static str, is_laned: bool, wait: Duration) {
        let attributes = [KeyValue::new("job.name", name)];
        self.wait.record(wait.as_secs_f64(), &attributes);
        if is_laned {
            self.limiter_wait.record(wait.as_secs_f64(), &attributes);
        }
    }

    pub(crate) fn ran(&self, name: &'static str, run: Duration) {
        self.run.record(run.as_secs_f64(), &[KeyValue::new("job.name", name)]);
    }

    /// The queue is one of this program's.
    pub(crate) fn depth(&self, status: &QueueStatus) {
        let queue = KeyValue::new("queue", status.queue.clone());
        for (state, jobs) in [
            (State::Ready, status.ready),
            (State::Waiting, status.waiting),
            (State::Scheduled, status.scheduled),
            (State::Running, status.running),
            (State::Dead, status.dead),
        ] {
            self.depth.record(jobs, &[queue.clone(), KeyValue::new("state", state.as_str())]);
        }
        self.oldest.record(status.oldest.unwrap_or_default().as_secs_f64(), &[queue]);
    }
}

/// The figures of single tenants: of the first so many that this worker meets. The others are counted together, as `other`.
#[derive(Debug)]
pub(crate) struct TenantMeters {
    most: usize,
    met: Mutex<HashSet<TenantId>>,
}

impl TenantMeters {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, met: Mutex::default() }
    }

    /// Counts an attempt. Without tenants to tell apart there is nothing to count that is not counted elsewhere.
    pub(crate) fn ran(&self, tenant: TenantId, run: Duration) {
        if self.most == 0 {
            return;
        }
        let name = if self.knows(tenant) { tenant.to_string().into() } else { Value::from("other") };
        let attributes = [KeyValue::new("tenant_id", name)];
        METERS.tenant_attempts.add(1, &attributes);
        METERS.tenant_run.add(run.as_secs_f64(), &attributes);
    }

    fn knows(&self, tenant: TenantId) -> bool {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.contains(&tenant) || (met.len() < self.most && met.insert(tenant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_tenants_are_told_apart() {
        let meters = TenantMeters::new(2);
        let tenants = [TenantId::new(), TenantId::new(), TenantId::new()];
        assert_eq!(tenants.map(|tenant| meters.knows(tenant)), [true, true, false]);
        assert!(meters.knows(tenants[0]));
    }
}
