//! What there is, in columns.

use std::time::Duration;

use shared_core::command_line::{columns, date, lines, none};

use crate::{DeadLetter, JobView, Limit, LimitStatus, QueueStatus, Rate, ScheduleView};

pub(super) fn queues(all: &[QueueStatus]) -> String {
    let row = |queue: &QueueStatus| {
        [
            queue.queue.clone(),
            queue.ready.to_string(),
            queue.waiting.to_string(),
            queue.scheduled.to_string(),
            queue.running.to_string(),
            queue.dead.to_string(),
            queue.oldest.map_or_else(none, age),
            if queue.paused { "paused" } else { "" }.to_owned(),
        ]
    };
    let header = ["queue", "ready", "waiting", "scheduled", "running", "dead", "oldest", ""];
    columns(&header, all.iter().map(row))
}

pub(super) fn jobs(all: &[JobView]) -> String {
    let row = |job: &JobView| {
        [
            job.job_id.to_string(),
            job.queue.clone(),
            job.name.clone(),
            job.tenant.to_string(),
            job.state.as_str().to_owned(),
            job.attempts.to_string(),
            date(job.due_at),
        ]
    };
    columns(&["job", "queue", "name", "tenant", "state", "attempts", "due"], all.iter().map(row))
}

/// All that is known of one job, a line each.
pub(super) fn job(job: &JobView) -> String {
    let progress = job.progress.as_ref().map(|at| format!("{:.0} % {}", at.part * 100.0, at.note));
    lines([
        ("job", Some(job.job_id.to_string())),
        ("tenant", Some(job.tenant.to_string())),
        ("queue", Some(job.queue.clone())),
        ("name", Some(format!("{}, version {}", job.name, job.version))),
        ("state", Some(job.state.as_str().to_owned())),
        ("priority", Some(job.priority.as_str().to_owned())),
        ("attempts", Some(format!("{} failed, {} crashed", job.attempts, job.crashes))),
        ("enqueued", Some(date(job.enqueued_at))),
        ("due", Some(date(job.due_at))),
        ("ended", job.ended_at.map(date)),
        ("worker", job.worker.clone()),
        ("progress", progress),
        ("error", job.error.clone()),
        ("result", job.result.clone()),
    ])
}

pub(super) fn dead(all: &[DeadLetter]) -> String {
    let row = |letter: &DeadLetter| {
        [
            letter.job_id.to_string(),
            letter.queue.clone(),
            letter.name.clone(),
            letter.tenant.to_string(),
            letter.reason.to_string(),
            letter.attempts.to_string(),
            date(letter.died_at),
            letter.error.clone(),
        ]
    };
    let header = ["job", "queue", "name", "tenant", "reason", "attempts", "died", "error"];
    columns(&header, all.iter().map(row))
}

pub(super) fn limits(all: &[LimitStatus]) -> String {
    let row = |status: &LimitStatus| {
        [
            if status.of_queue { format!("queue {}", status.name) } else { status.name.clone() },
            status.key.clone().unwrap_or_default(),
            status.limit.map_or_else(none, limit),
            status.running.to_string(),
            status.tokens.map_or_else(none, |tokens| format!("{tokens:.1}")),
            status.held_for.map_or_else(none, age),
        ]
    };
    columns(&["limit", "key", "set", "running", "tokens", "held for"], all.iter().map(row))
}

pub(super) fn schedules(all: &[ScheduleView]) -> String {
    let row = |schedule: &ScheduleView| {
        [
            schedule.queue.clone(),
            schedule.name.clone(),
            schedule.job.clone(),
            schedule.tenant.to_string(),
            schedule.cron.clone(),
            schedule.zone.clone(),
            schedule.missed.as_str().to_owned(),
            if schedule.paused { "paused".to_owned() } else { date(schedule.next) },
        ]
    };
    let header = ["queue", "schedule", "job", "tenant", "cron", "zone", "missed", "next"];
    columns(&header, all.iter().map(row))
}

fn limit(limit: Limit) -> String {
    let at_once = limit.concurrency.map(|jobs| format!("{jobs} at once"));
    let rate =
        limit.rate.map(|Rate { count, period, burst }| format!("{count}/{}, burst {burst}", age(period)));
    [at_once, rate].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn age(time: Duration) -> String {
    let whole = Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    format!("{whole:?}")
}
