//! What there is, in columns.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::{DeadLetter, JobView, Limit, LimitStatus, QueueStatus, Rate, ScheduleView};

pub(super) fn queues(all: &[QueueStatus]) -> String {
    let row = |queue: &QueueStatus| {
        let counts = [queue.ready, queue.waiting, queue.scheduled, queue.running, queue.dead];
        let mut row = vec![queue.queue.clone()];
        row.extend(counts.iter().map(u64::to_string));
        row.push(queue.oldest.map_or_else(none, age));
        row.push(if queue.paused { "paused" } else { "" }.to_owned());
        row
    };
    let header = ["queue", "ready", "waiting", "scheduled", "running", "dead", "oldest", ""];
    columns(&header, all.iter().map(row))
}

pub(super) fn jobs(all: &[JobView]) -> String {
    let row = |job: &JobView| {
        vec![
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
    let lines = [
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
    ];
    let known = lines.into_iter().filter_map(|(name, value)| Some(format!("{name:9} {}\n", plain(&value?))));
    known.collect()
}

pub(super) fn dead(all: &[DeadLetter]) -> String {
    let row = |letter: &DeadLetter| {
        vec![
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
        vec![
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
        vec![
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

fn none() -> String {
    "-".to_owned()
}

fn age(time: Duration) -> String {
    let whole = Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    format!("{whole:?}")
}

fn date(moment: OffsetDateTime) -> String {
    let whole = moment.replace_nanosecond(0).unwrap_or(moment);
    whole.format(&Rfc3339).unwrap_or_else(|_| none())
}

/// Errors and notes are others' words: what a terminal would obey is left out.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn columns<const N: usize>(header: &[&str; N], rows: impl Iterator<Item = Vec<String>>) -> String {
    let header = header.iter().map(|&word| word.to_owned()).collect();
    let rows: Vec<Vec<String>> =
        std::iter::once(header).chain(rows.map(|row| row.iter().map(|cell| plain(cell)).collect())).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
