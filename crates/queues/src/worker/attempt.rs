//! One job after the other: reads it, runs its handler within its time, and passes on how that ended.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use rand::RngExt;
use shared_core::{Context, Failure, fault, panics, trace};
use tokio::time::{Instant, sleep, timeout};
use tracing::{Instrument, Span};

use super::buffer::Buffer;
use super::judge::{Case, Ended};
use super::running::Begun;
use super::session::{Held, Session};
use super::settler::Outgoing;
use crate::JobContext;
use crate::backend::{Claimed, Fate, Fence, Settled};
use crate::call::JobCall;
use crate::jobs::Entry;
use crate::link::Cancellation;
use crate::meters::METERS;
use crate::outcome::{Ending, Outcome};

/// How long a job of which this worker knows nothing is left to others: as long as a rolling deployment may need to
/// start one that does, in some rounds.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// Runs jobs from the buffer until the session stops.
pub(super) async fn run<S: Send + Sync + 'static>(
    session: Arc<Session<S>>,
    buffer: Arc<Buffer>,
    settled: Outgoing,
) {
    loop {
        let held = tokio::select! {
            biased;
            () = session.stopping.cancelled() => return,
            held = buffer.take() => held,
        };
        let Some(held) = held else { return };
        // If the process stood still, others may have the job.
        if !session.is_sure().await {
            return;
        }
        session.slots.started();
        let start = Instant::now();
        let (line, claim, job) = (held.line, held.claim, held.job.job);
        let entry = session.shared.jobs.get(&held.job.name, held.job.version);
        let keep_cancelled = entry.map_or(Duration::ZERO, |entry| entry.options.keep);
        let fate = attempt(&session, entry, held).await;
        fault::point("queues.worker.handled");
        session.finished.fetch_add(1, Ordering::Relaxed);
        // Its place is free before the outcome is settled: the next job need not wait for that.
        session.slots.ended(start.elapsed());
        if !settled.send(line, Settled { claim, job, fate, keep_cancelled }).await {
            return;
        }
    }
}

async fn attempt<S: Send + Sync + 'static>(
    session: &Session<S>,
    entry: Option<&Entry<S>>,
    held: Held,
) -> Fate {
    let (shared, job) = (&session.shared, &held.job);
    let Some(entry) = entry else {
        METERS.put_back();
        tracing::warn!(job.name, job.version, "this worker does not know a job; it is put back for others");
        return Fate::Later(UNKNOWN_FOR.mul_f64(rand::rng().random_range(0.5..=1.0)));
    };
    let attempt = job.attempts.saturating_add(1);
    let context = match context_of(job) {
        Ok(context) => context,
        Err(why) => return case(entry, &held, attempt).judge(Ended::Unreadable(why)),
    };
    if attempt == 1 {
        METERS.waited(entry.name, job.is_laned, job.waited + held.at.elapsed());
    }
    let span = span(job, &shared.lines[held.line], &context, attempt);
    let start = Instant::now();
    let ended = run_handler(session, entry, &held, context, attempt).instrument(span.clone()).await;
    METERS.ran(entry.name, start.elapsed());
    shared.tenants.ran(job.tenant, start.elapsed());
    if matches!(ended, Ended::Failed(_) | Ended::Unreadable(_)) {
        span.record("otel.status_code", "ERROR");
    }
    span.in_scope(|| case(entry, &held, attempt).judge(ended))
}

fn case<'a, S>(entry: &'a Entry<S>, held: &Held, attempt: u32) -> Case<'a> {
    let age = held.job.age + held.at.elapsed();
    Case { name: entry.name, options: &entry.options, job: held.job.job, attempt, age }
}

/// The handler, until it ends, or its time does, or the patience of who cancelled it.
async fn run_handler<S: Send + Sync + 'static>(
    session: &Session<S>,
    entry: &Entry<S>,
    held: &Held,
    context: Context,
    attempt: u32,
) -> Ended {
    let (shared, job) = (&session.shared, &held.job);
    let begun = session.running.begin(job.job);
    if begun.link.cancellation() == Some(Cancellation::Asked) {
        return Ended::Cancelled;
    }
    let fence = Fence { worker: session.incarnation(), claim: held.claim, job: job.job };
    let cx = JobContext::new(
        shared.queues.clone(),
        context,
        attempt,
        fence,
        entry.options.keep,
        begun.link.clone(),
        session.sure(),
    );
    let handler = async {
        match entry.start(job.version, &job.payload, &cx, &shared.state) {
            Err(why) => Ended::Unreadable(why),
            Ok(attempt) => {
                let queue = shared.lines[held.line].clone();
                let call = JobCall { context: cx, name: entry.name, queue, attempt };
                shared.jobs.run(call).await.map_or_else(Ended::Failed, Ended::Returned)
            }
        }
    };
    let mut handler = Box::pin(AssertUnwindSafe(handler).catch_unwind());
    let ended = tokio::select! {
        biased;
        ended = timeout(entry.options.timeout, &mut handler) => match ended {
            Ok(ended) => ended.unwrap_or_else(|_| panicked(entry.name)),
            Err(_) => {
                let time = entry.options.timeout;
                Ended::Failed(Failure::new(format!("the attempt took longer than {time:?}")))
            }
        },
        () = patience_ended(&begun, shared.config.cancel_grace) => Ended::Cancelled,
    };
    // What it held may panic as well, when it is dropped in the middle.
    let dropped = std::panic::catch_unwind(AssertUnwindSafe(|| drop(handler)));
    let ended = if dropped.is_ok() { ended } else { panicked(entry.name) };
    overruled(&begun, ended)
}

/// A panic is a failure like any other. Its words may quote data, so they are the panic hook's to print, and nobody else's.
fn panicked(name: &'static str) -> Ended {
    METERS.panicked(name);
    Ended::Failed(Failure::new(match panics::last() {
        Some(place) => format!("the handler panicked at {place}"),
        None => "the handler panicked".to_owned(),
    }))
}

/// Returns when somebody has cancelled the job, and the handler has had its time to come to an end.
async fn patience_ended(begun: &Begun<'_>, grace: Duration) {
    // For other reasons it is broken off by who stops the worker.
    begun.link.asked().await;
    sleep(grace).await;
}

/// What the handler says is not the last word if the job is complete already, was to be cancelled, or lost what it did.
fn overruled(begun: &Begun<'_>, ended: Ended) -> Ended {
    let done = matches!(ended, Ended::Returned(Outcome(Ending::Done(_))));
    if done && begun.link.is_refused() {
        return Ended::Failed(Failure::new(
            "its transaction was refused: the worker's lease may have been over",
        ));
    }
    if done {
        return ended;
    }
    if begun.link.is_complete() {
        return Ended::Returned(Outcome::done());
    }
    match begun.link.cancellation() {
        Some(Cancellation::Asked) => Ended::Cancelled,
        _ => ended,
    }
}

/// The stored context, if it is that of the job's tenant, who was proved when it was written.
fn context_of(job: &Claimed) -> Result<Context, String> {
    let context: Context =
        serde_json::from_str(&job.context).map_err(|error| format!("the context can't be read: {error}"))?;
    if context.tenant() != job.tenant {
        return Err("the context is another tenant's".to_owned());
    }
    Ok(context)
}

/// The first attempt continues the trace that enqueued the job; later ones, hours after it perhaps, only point to it.
fn span(job: &Claimed, queue: &str, context: &Context, attempt: u32) -> Span {
    let parent = context.traceparent();
    let make = || {
        tracing::info_span!(
            "queues.process",
            otel.name = format!("process {}", job.name),
            otel.kind = "consumer",
            otel.status_code = tracing::field::Empty,
            messaging.system = "shared_queues",
            messaging.operation.type = "process",
            messaging.destination.name = queue,
            messaging.message.id = %job.job,
            job.id = %job.job,
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
