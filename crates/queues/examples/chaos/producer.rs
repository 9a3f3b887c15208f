//! Enqueues the jobs of the plan, and keeps in mind which ones it was promised.

use std::collections::HashMap;
use std::time::Duration;

use shared_core::{AssumedTenant, TenantId};
use shared_queues::{Error, JobId, LimitKey, NewJob, Queues};

use super::ledger::now;
use super::plan::{Fate, Lane, Plan, Planned, SLICE, Wrong};
use super::servers::set_limits;
use super::worker::Task;

/// What the queues have acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    pub jobs: HashMap<JobId, u64>,
    /// When, by the number.
    pub at: HashMap<u64, i64>,
    /// Jobs of which nobody knows: their call has failed.
    pub unknown: u64,
}

pub(crate) fn tenants(plan: &Plan) -> Vec<AssumedTenant> {
    (0..plan.tenants).map(|_| AssumedTenant::new(TenantId::new(), "chaos has no token")).collect()
}

/// Enqueues all, as fast as they are done.
pub(crate) async fn produce(plan: &Plan, queues: &Queues, tenants: &[AssumedTenant]) -> Promises {
    let mut promises = Promises::default();
    for first in (0..plan.jobs).step_by(SLICE as usize) {
        room(plan, queues).await;
        let planned: Vec<_> = (first..plan.jobs.min(first + SLICE)).map(|n| plan.job(n)).collect();
        let jobs = planned.iter().map(|job| new_job(plan, job));
        let producer = queues.tenant(&tenants[planned[0].tenant as usize]);
        match producer.enqueue_all::<Task, _>(jobs).await {
            Ok(answers) => {
                for (answer, job) in answers.iter().zip(&planned) {
                    promises.jobs.insert(answer.job_id(), job.n);
                    promises.at.insert(job.n, now());
                }
            }
            // They may be there or not: nobody is promised anything.
            Err(_) => promises.unknown += planned.len() as u64,
        }
    }
    promises
}

fn new_job(plan: &Plan, job: &Planned) -> NewJob<Task> {
    let fails_first = match job.fate {
        Fate::FailsFirst(times) => times,
        _ => 0,
    };
    let task = Task { n: job.n, work: job.work, fails_first, hopeless: job.fate == Fate::Hopeless };
    let new = NewJob::of(task);
    if plan.wrong == Some(Wrong::Unlaned) {
        return new;
    }
    match job.lane {
        Lane::None => new,
        Lane::Ordered { key, .. } => new.order_by(key.to_string()),
        Lane::Shared => new.limit(LimitKey::named("chaos-shared")),
        Lane::Host(host) => new.limit(LimitKey::by("chaos-host", host.to_string())),
        Lane::Paced => new.limit(LimitKey::named("chaos-paced")),
    }
}

/// Waits until there is room for more jobs.
async fn room(plan: &Plan, queues: &Queues) {
    while !matches!(unfinished(plan, queues).await, Ok(jobs) if jobs < plan.backlog) {
        tokio::time::sleep(Duration::from_millis(10)).await; // a condition is polled
    }
}

pub(crate) async fn unfinished(plan: &Plan, queues: &Queues) -> Result<u64, Error> {
    if plan.forgets() {
        // A server that has lost everything has lost the limits too.
        set_limits(queues).await?;
    }
    let backlog = queues.backlog().await?;
    Ok(backlog.ready + backlog.waiting + backlog.scheduled + backlog.running)
}
