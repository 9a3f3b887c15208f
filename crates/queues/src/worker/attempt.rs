//! One job after the other: reads it, runs its handler, and judges how that ended.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use rand::RngExt;
use shared_core::{Context, Failure, Id, NextStep, fault, trace};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, timeout};
use tracing::{Instrument, Span};

use super::session::{Held, Session};
use crate::dead::Reason;
use crate::enqueue::concat_name;
use crate::job::Options;
use crate::jobs::Entry;
use crate::meters::METERS;
use crate::postgres::{Claimed, Fate, Fence, Settled};
use crate::{JobContext, JobId};

/// How long a job of which this worker knows nothing is left to others: as long as a rolling deployment may need to
/// start one that does, in some rounds.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// The longest wait for another attempt that a handler can ask for: a year.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The longest text of an error that is kept, in bytes.
const LONGEST_ERROR: usize = 2000;

/// Runs jobs from the buffer until the session stops.
pub(super) async fn run<S: Send + Sync + 'static>(
    session: Arc<Session<S>>,
    buffer: Arc<Mutex<mpsc::Receiver<Held>>>,
    settled: mpsc::Sender<Settled>,
) {
    loop {
        let next = async { buffer.lock().await.recv().await };
        let held = tokio::select! {
            biased;
            () = session.stopping.cancelled() => return,
            held = next => held,
        };
        let Some(held) = held else { return };
        session.slots.started();
        let start = Instant::now();
        let (claim, id) = (held.claim, held.job.id);
        let fate = attempt(&session, held).await;
        fault::point("queues.worker.handled");
        session.finished.fetch_add(1, Ordering::Relaxed);
        // Its place is free before the outcome is settled: the next job need not wait for that.
        session.slots.ended(start.elapsed());
        if settled.send(Settled { claim, id, fate }).await.is_err() {
            return;
        }
    }
}

/// How a handler ended that did not succeed.
enum Ended {
    Unreadable(String),
    Failed(Failure),
}

async fn attempt<S: Send + Sync + 'static>(session: &Session<S>, held: Held) -> Fate {
    let job = &held.job;
    let Some(entry) = session.shared.jobs.get(&job.name, job.version) else {
        METERS.put_back();
        tracing::warn!(job.name, job.version, "this worker does not know a job; it is put back for others");
        return Fate::Back(UNKNOWN_FOR.mul_f64(rand::rng().random_range(0.5..=1.0)));
    };
    let attempt = job.attempts.unsigned_abs() + 1;
    let context = match context_of(job) {
        Ok(context) => context,
        Err(why) => return judge(entry.name, &entry.options, attempt, Err(Ended::Unreadable(why))),
    };
    if attempt == 1 {
        METERS.waited(entry.name, job.waited + held.at.elapsed().as_secs_f64());
    }
    let span = span(job, &context, attempt);
    let start = Instant::now();
    let ended = run_handler(session, entry, &held, context, attempt).instrument(span.clone()).await;
    METERS.ran(entry.name, start.elapsed());
    if ended.is_err() {
        span.record("otel.status_code", "ERROR");
    }
    span.in_scope(|| judge(entry.name, &entry.options, attempt, ended))
}

/// The handler within its time; a panic is a failure like any other.
async fn run_handler<S: Send + Sync + 'static>(
    session: &Session<S>,
    entry: &Entry<S>,
    held: &Held,
    context: Context,
    attempt: u32,
) -> Result<(), Ended> {
    let shared = &session.shared;
    let cancelled = session.stopping.child_token();
    // What the handler may have left running hears of the end.
    let _over = cancelled.clone().drop_guard();
    let fence = Fence { worker: session.incarnation(), claim: held.claim, id: held.job.id };
    let job_id: JobId = Id::from_uuid(held.job.job_id);
    let cx = JobContext::new(shared.store.db.clone(), context, job_id, attempt, fence, cancelled);
    let handler = async {
        let started = entry.start(&held.job.payload, cx, &shared.state).map_err(Ended::Unreadable)?;
        started.await.map_err(Ended::Failed)
    };
    match timeout(entry.options.timeout, AssertUnwindSafe(handler).catch_unwind()).await {
        Ok(Ok(ended)) => ended,
        // The words of a panic may quote data, so they are the panic hook's to print, and nobody else's.
        Ok(Err(_)) => Err(Ended::Failed(Failure::new("the handler panicked"))),
        Err(_) => Err(Ended::Failed(Failure::new(format!(
            "the attempt took longer than {:?}",
            entry.options.timeout
        )))),
    }
}

/// The stored context, if it is that of the row's tenant: the row was checked when it was written.
fn context_of(job: &Claimed) -> Result<Context, String> {
    let context: Context =
        serde_json::from_str(&job.context).map_err(|error| format!("the context can't be read: {error}"))?;
    if context.tenant() != job.tenant_id {
        return Err("the context is another tenant's".to_owned());
    }
    Ok(context)
}

/// What becomes of the job.
fn judge(name: &'static str, options: &Options, attempt: u32, ended: Result<(), Ended>) -> Fate {
    let (fate, outcome) = match ended {
        Ok(()) => (Fate::Completed, "completed"),
        Err(Ended::Unreadable(why)) => {
            // The reason may quote the payload, so it is no matter for the log.
            tracing::error!(job.name = name, "a job can't be read; see its dead letter");
            (Fate::Dead(Reason::Unreadable, cut(why)), "dead")
        }
        Err(Ended::Failed(failure)) => match wait(&failure, options, attempt) {
            Ok(wait) => {
                tracing::warn!(job.name = name, attempt, error = %failure, ?wait, "an attempt failed; there will be another");
                (Fate::Retry(wait), "retried")
            }
            Err(reason) => {
                tracing::error!(job.name = name, attempt, error = %failure, %reason, "a job is dead");
                (Fate::Dead(reason, cut(failure.to_string())), "dead")
            }
        },
    };
    METERS.settled(name, outcome);
    fate
}

/// How long to wait for another attempt, or why there is none.
fn wait(failure: &Failure, options: &Options, attempt: u32) -> Result<Duration, Reason> {
    let usual = || options.retry.delay(attempt).ok_or(Reason::Exhausted);
    let wait = match failure.next_step() {
        NextStep::Dead => return Err(Reason::Failed),
        NextStep::RetryIn(wait) => usual().map(|_| wait.min(LONGEST_WAIT)),
        _ => usual(),
    };
    if attempt >= options.max_attempts { Err(Reason::Exhausted) } else { wait }
}

/// The first attempt continues the trace that enqueued the job; later ones, hours after it perhaps, only point to it.
fn span(job: &Claimed, context: &Context, attempt: u32) -> Span {
    let parent = context.traceparent();
    let make = || {
        tracing::info_span!(
            "queues.process",
            otel.name = concat_name("process", &job.name),
            otel.kind = "consumer",
            otel.status_code = tracing::field::Empty,
            messaging.system = "shared_queues",
            messaging.operation.type = "process",
            messaging.destination.name = job.queue,
            messaging.message.id = %job.job_id,
            job.id = %job.job_id,
            attempt = i64::from(attempt),
            tenant_id = %context.tenant(),
            correlation_id = %context.correlation(),
        )
    };
    if attempt == 1 {
        return trace::continuing(parent, make);
    }
    let span = trace::continuing(None, make);
    if let Some(parent) = parent {
        span.in_scope(|| trace::link(parent));
    }
    span
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(LONGEST_ERROR));
    text
}
