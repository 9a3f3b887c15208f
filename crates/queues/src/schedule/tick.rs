//! Fires what is due. Every worker does it for its queues; who is first does it alone.

use std::sync::LazyLock;
use std::time::Duration;

use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};
use shared_core::{Context, CorrelationId};
use time::OffsetDateTime;

use super::due::Due;
use super::timetable::Timetable;
use super::troubles::SAID_FOR;
use crate::backend::{Entry, StoredSchedule};
use crate::meters::METERS;
use crate::{Error, JobId, Queues};

/// When a schedule that could not be fired is looked at again: six times within the minute in which a slot is not yet missed. For one that
/// this program can't read, too: another one of the queue's workers may be of a newer version, and have its turn then.
const PUT_OFF_FOR: Duration = Duration::from_secs(10);

static FIRED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    global::meter("shared_queues")
        .u64_counter("queues.schedules.fired")
        .with_description("Jobs that schedules enqueued")
        .with_unit("{job}")
        .build()
});

static FAILED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    global::meter("shared_queues")
        .u64_counter("queues.schedules.failed")
        .with_description("Attempts at firing a schedule that failed")
        .with_unit("{attempt}")
        .build()
});

/// Enqueues what the schedules of a queue ask for: at most a hundred schedules, the rest at the next tick. Costs a probe of an index
/// when nothing is due. One that can't be fired holds up no other: it keeps its slot, and is left alone for a while.
///
/// # Errors
/// [`Error::Database`] if the backend fails, and not a schedule; what was fired before is.
pub(crate) async fn tick(queues: &Queues, queue: &str) -> Result<(), Error> {
    let (now, due) = queues.backend.due_schedules(queue).await?;
    for schedule in due {
        let problem = match read(&schedule, now) {
            Err(problem) => problem,
            Ok((jobs, next)) => match fire(queues, &schedule, jobs, next).await {
                Ok(()) => {
                    queues.troubles.are_over(&schedule.entry.queue, &schedule.name);
                    continue;
                }
                Err(error) => error.to_string(),
            },
        };
        if queues.troubles.are_new(&schedule, &problem) {
            tracing::error!(
                queue,
                schedule = schedule.name,
                problem,
                every_seconds = PUT_OFF_FOR.as_secs(),
                told_again_in_seconds = SAID_FOR.as_secs(),
                "a schedule can't be fired; it is tried again, and another problem is told of at once"
            );
        }
        FAILED.add(1, &[KeyValue::new("queue", queue.to_owned())]);
        queues.backend.put_off_schedule(&schedule, now + PUT_OFF_FOR).await?;
    }
    Ok(())
}

async fn fire(
    queues: &Queues,
    schedule: &StoredSchedule,
    jobs: Vec<Entry>,
    next: OffsetDateTime,
) -> Result<(), Error> {
    let (queue, fired) = (&*schedule.entry.queue, jobs.len() as u64);
    if let Some(answers) = queues.backend.fire(schedule, schedule.next, next, jobs).await? {
        let new = answers.iter().filter(|answer| answer.is_inserted()).count();
        METERS.enqueued_by(schedule.entry.name.clone(), new);
        FIRED.add(fired, &[KeyValue::new("queue", queue.to_owned())]);
        tracing::debug!(queue, schedule = schedule.name, jobs = fired, "a schedule has fired");
    }
    Ok(())
}

/// The jobs that are due, and the next slot.
fn read(schedule: &StoredSchedule, now: OffsetDateTime) -> Result<(Vec<Entry>, OffsetDateTime), String> {
    let timetable = Timetable::read(&schedule.cron, &schedule.zone)?;
    let Due { runs, next } =
        Due::of(&timetable, schedule.next, now, schedule.missed).ok_or("it never comes again")?;
    let jobs = (0..runs).map(|_| run(&schedule.entry)).collect::<Result<_, _>>();
    Ok((jobs.map_err(|_| "its context can't be read")?, next))
}

/// A job of its own, in a conversation of its own.
fn run(entry: &Entry) -> Result<Entry, serde_json::Error> {
    let context: Context = serde_json::from_str(&entry.context)?;
    let context = serde_json::to_string(&context.with_correlation(CorrelationId::new()))?;
    Ok(Entry { job: JobId::new(), context, ..entry.clone() })
}
