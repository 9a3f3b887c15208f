//! The JSON of what is answered, apart from the types of the crate: it is a contract, kept by the OpenAPI document.

use serde::Serialize;
use serde_json::value::RawValue;
use shared_core::TenantId;
use time::OffsetDateTime;
use time::serde::rfc3339;

use crate::{DeadLetter, JobId, JobView, QueueStatus, ScheduleView};

#[derive(Serialize)]
pub(super) struct QueueJson {
    queue: String,
    paused: bool,
    ready: u64,
    waiting: u64,
    scheduled: u64,
    running: u64,
    dead: u64,
    oldest_seconds: Option<f64>,
}

impl From<QueueStatus> for QueueJson {
    fn from(status: QueueStatus) -> Self {
        Self {
            queue: status.queue,
            paused: status.paused,
            ready: status.ready,
            waiting: status.waiting,
            scheduled: status.scheduled,
            running: status.running,
            dead: status.dead,
            oldest_seconds: status.oldest.map(|age| age.as_secs_f64()),
        }
    }
}

#[derive(Serialize)]
pub(super) struct JobJson {
    job_id: JobId,
    tenant: TenantId,
    queue: String,
    name: String,
    version: u32,
    state: &'static str,
    priority: &'static str,
    attempts: u32,
    crashes: u32,
    #[serde(with = "rfc3339")]
    enqueued_at: OffsetDateTime,
    #[serde(with = "rfc3339")]
    due_at: OffsetDateTime,
    worker: Option<String>,
    progress: Option<ProgressJson>,
    error: Option<String>,
    result: Option<Box<RawValue>>,
    #[serde(with = "rfc3339::option")]
    ended_at: Option<OffsetDateTime>,
}

#[derive(Serialize)]
struct ProgressJson {
    part: f64,
    note: String,
}

impl From<JobView> for JobJson {
    fn from(job: JobView) -> Self {
        Self {
            job_id: job.job_id,
            tenant: job.tenant,
            queue: job.queue,
            name: job.name,
            version: job.version,
            state: job.state.as_str(),
            priority: job.priority.as_str(),
            attempts: job.attempts,
            crashes: job.crashes,
            enqueued_at: job.enqueued_at,
            due_at: job.due_at,
            worker: job.worker,
            progress: job.progress.map(|at| ProgressJson { part: at.part, note: at.note }),
            error: job.error,
            // It was written as JSON, so it is.
            result: job.result.and_then(|result| RawValue::from_string(result).ok()),
            ended_at: job.ended_at,
        }
    }
}

#[derive(Serialize)]
pub(super) struct DeadJson {
    job_id: JobId,
    tenant: TenantId,
    queue: String,
    name: String,
    attempts: u32,
    crashes: u32,
    reason: &'static str,
    error: String,
    #[serde(with = "rfc3339")]
    died_at: OffsetDateTime,
}

impl From<DeadLetter> for DeadJson {
    fn from(letter: DeadLetter) -> Self {
        Self {
            job_id: letter.job_id,
            tenant: letter.tenant,
            queue: letter.queue,
            name: letter.name,
            attempts: letter.attempts,
            crashes: letter.crashes,
            reason: letter.reason.as_str(),
            error: letter.error,
            died_at: letter.died_at,
        }
    }
}

#[derive(Serialize)]
pub(super) struct ScheduleJson {
    queue: String,
    name: String,
    job: String,
    tenant: TenantId,
    cron: String,
    zone: String,
    missed: &'static str,
    paused: bool,
    #[serde(with = "rfc3339")]
    next: OffsetDateTime,
}

impl From<ScheduleView> for ScheduleJson {
    fn from(schedule: ScheduleView) -> Self {
        Self {
            queue: schedule.queue,
            name: schedule.name,
            job: schedule.job,
            tenant: schedule.tenant,
            cron: schedule.cron,
            zone: schedule.zone,
            missed: schedule.missed.as_str(),
            paused: schedule.paused,
            next: schedule.next,
        }
    }
}

/// One of these types for each of those.
pub(super) fn all<T, J: From<T>>(things: Vec<T>) -> Vec<J> {
    things.into_iter().map(J::from).collect()
}
