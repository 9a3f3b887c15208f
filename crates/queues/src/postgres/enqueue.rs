//! Jobs on their way in: collected by a transaction, written with its COMMIT.

use std::time::Duration;

use shared_core::Context;
use shared_db::{AtCommit, Bound, Db, statements};
use uuid::Uuid;

use super::SIGNAL;
use crate::meters::METERS;

statements! {
    /// One statement for all jobs of a transaction. `$1` job ids, `$2` queues, `$3` names, `$4` versions, `$5` payloads,
    /// `$6` contexts, `$7` delays in milliseconds.
    const ENQUEUE: Statement<(Vec<Uuid>, Vec<String>, Vec<String>, Vec<i32>, Vec<String>, Vec<String>, Vec<i64>), ()> = "
        with job as materialized (
                 select nextval('shared_queues.job_order') as id, n.*
                   from unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::bigint[])
                        as n (job_id, queue, name, version, payload, context, delay)),
             body as (
                 insert into shared_queues.body (id, tenant_id, job_id, queue, name, version, payload, context, due_at)
                 select id, $tenant, job_id, queue, name, version, payload, context,
                        clock_timestamp() + delay * interval '1 millisecond' from job),
             later as (
                 insert into shared_queues.scheduled (queue, due_at, id, tenant_id)
                 select queue, clock_timestamp() + delay * interval '1 millisecond', id, $tenant from job where delay > 0)
        insert into shared_queues.ready (queue, id, tenant_id) select queue, id, $tenant from job where delay = 0";
}

/// A job that is about to be written.
#[derive(Debug)]
pub(crate) struct NewJob {
    pub(crate) job_id: Uuid,
    pub(crate) queue: &'static str,
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    pub(crate) payload: String,
    pub(crate) context: String,
    pub(crate) delay: Duration,
}

/// The jobs that a transaction has collected.
#[derive(Default, Debug)]
pub(crate) struct Outbox(Vec<NewJob>);

impl Outbox {
    pub(crate) fn push(&mut self, job: NewJob) {
        self.0.push(job);
    }
}

impl AtCommit for Outbox {
    fn mark(&self) -> usize {
        self.0.len()
    }

    fn rewind(&mut self, mark: usize) {
        self.0.truncate(mark);
    }

    fn statements(&self, _: &Context) -> Vec<Bound> {
        let jobs = &self.0;
        vec![ENQUEUE.bind((
            jobs.iter().map(|job| job.job_id).collect(),
            jobs.iter().map(|job| job.queue.to_owned()).collect(),
            jobs.iter().map(|job| job.name.to_owned()).collect(),
            jobs.iter().map(|job| i32::try_from(job.version).unwrap_or(i32::MAX)).collect(),
            jobs.iter().map(|job| job.payload.clone()).collect(),
            jobs.iter().map(|job| job.context.clone()).collect(),
            jobs.iter().map(|job| milliseconds(job.delay)).collect(),
        ))]
    }

    fn committed(&self, db: &Db) {
        self.0.iter().for_each(|job| METERS.enqueued(job.name));
        db.signal(SIGNAL).notify_one();
    }
}

/// The longest wait, a thousand years: beyond, the server knows no date, and would refuse the whole statement.
const FOREVER: i64 = 1000 * 365 * 24 * 60 * 60 * 1000;

/// Rounded up: a job never starts before its time.
pub(super) fn milliseconds(delay: Duration) -> i64 {
    i64::try_from(delay.as_micros().div_ceil(1000)).unwrap_or(FOREVER).min(FOREVER)
}
