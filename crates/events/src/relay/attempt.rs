//! One attempt of one consumer at one event: the mark and the effect, in one transaction of the event's tenant.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use shared_core::{Failure, InTenant, fault, trace};
use shared_db::{TenantTx, statements};
use tracing::{Instrument, Span, info_span};
use uuid::Uuid;

use super::Core;
use crate::Error;
use crate::events::Bound;
use crate::metrics::{METRICS, consumer};
use crate::received::Stored;

statements! {
    // The mark, unless it is there or the key is parked. While another relay's transaction holds the same mark, it waits.
    const MARK: Statement<(String, Uuid, String), ()> = "
        insert into shared_events.inbox (tenant_id, consumer, event_id)
        select $tenant, $1, $2
         where not exists (select 1 from shared_events.parked where tenant_id = $tenant and consumer = $1 and key = $3)
            on conflict do nothing";
    // Whether there is nothing left to do: it was done, or it is parked itself.
    const KNOWN: Statement<(String, Uuid, String, i64), bool> = "
        select exists (select 1 from shared_events.inbox where tenant_id = $tenant and consumer = $1 and event_id = $2)
            or exists (select 1 from shared_events.parked
                        where tenant_id = $tenant and consumer = $1 and key = $3 and pos = $4)";
    // Whoever deletes it has it; another redrive waits here, and then finds it gone.
    const UNPARK: Statement<(String, String, i64), ()> = "
        delete from shared_events.parked where tenant_id = $tenant and consumer = $1 and key = $2 and pos = $3";
    const MARK_UNPARKED: Statement<(String, Uuid), ()> = "
        insert into shared_events.inbox (tenant_id, consumer, event_id) values ($tenant, $1, $2) on conflict do nothing";
}

/// Where the event was taken from.
#[derive(Clone, Copy)]
pub(crate) enum Taken {
    FromLog { attempt: u32 },
    FromParking,
}

/// What became of an attempt.
pub(crate) enum Outcome {
    /// The effect was committed, once and now.
    Effect,
    /// It was done before, or is parked itself, or, from the parking, somebody else has taken it.
    Known,
    /// An earlier event of the key is parked: this one has to wait behind it.
    KeyIsParked,
    /// The consumer failed, or its transaction did; nothing was committed, unless the connection broke at the commit.
    Failed(Failure),
}

/// Makes one attempt.
///
/// # Errors
/// Where the database fails before the consumer comes in: that is no fault of the event.
pub(crate) async fn attempt(core: &Core, to: &Bound, event: &Stored, taken: Taken) -> Result<Outcome, Error> {
    let span = span(to, event, taken);
    let attempted = async {
        let mut tx = core.db.tenant(&event.proof()).begin().await?;
        if let Some(outcome) = claim(&mut tx, to.name, event, taken).await? {
            // From the parking, a known event leaves it.
            tx.commit().await?;
            return Ok(outcome);
        }
        Ok(consume(core, to, event, tx).await)
    };
    let outcome = attempted.instrument(span.clone()).await;
    match &outcome {
        Ok(Outcome::Effect) => METRICS.effects.add(1, &consumer(to.name)),
        Ok(Outcome::Known) => METRICS.duplicates.add(1, &consumer(to.name)),
        Ok(Outcome::Failed(_)) => drop(span.record("otel.status_code", "ERROR")),
        _ => {}
    }
    outcome
}

/// Marks the event as done, or says why the consumer is not to run.
async fn claim(tx: &mut TenantTx, to: &str, event: &Stored, taken: Taken) -> Result<Option<Outcome>, Error> {
    if let Taken::FromParking = taken {
        let is_mine = tx.execute(&UNPARK, (to, &event.key, event.pos)).await? == 1;
        let is_new = is_mine && tx.execute(&MARK_UNPARKED, (to, event.id)).await? == 1;
        return Ok((!is_new).then_some(Outcome::Known));
    }
    if tx.execute(&MARK, (to, event.id, &event.key)).await? == 1 {
        return Ok(None);
    }
    let known = tx.one(&KNOWN, (to, event.id, &event.key, event.pos)).await?;
    Ok(Some(if known { Outcome::Known } else { Outcome::KeyIsParked }))
}

/// Runs the consumer, and commits what it did together with the mark.
async fn consume(core: &Core, to: &Bound, event: &Stored, mut tx: TenantTx) -> Outcome {
    let work = AssertUnwindSafe(async { (to.run)(&mut tx, event).await }).catch_unwind();
    let limit = core.config.attempt_timeout;
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(Ok(()))) => {
            fault::point("events.relay.consumed");
            match tx.commit().await {
                Ok(()) => {
                    fault::point("events.relay.committed");
                    Outcome::Effect
                }
                Err(error) => Outcome::Failed(Failure::from(error).attempting("committing the effect")),
            }
        }
        Ok(Ok(Err(failure))) => {
            tx.rollback().await;
            Outcome::Failed(failure)
        }
        // What it had sent may be unanswered: the transaction is dropped, and its connection closed.
        Ok(Err(_)) => Outcome::Failed(Failure::new("the consumer panicked")),
        Err(_) => Outcome::Failed(Failure::new(format!("the consumer took longer than {limit:?}"))),
    }
}

/// The span of an attempt, as a child of the one that published.
fn span(to: &Bound, event: &Stored, taken: Taken) -> Span {
    let proof = event.proof();
    let context = proof.context();
    let attempt = match taken {
        Taken::FromLog { attempt } => attempt,
        Taken::FromParking => 1,
    };
    trace::continuing(context.traceparent(), || {
        info_span!(
            "process",
            otel.name = format!("process {}", event.name),
            otel.kind = "consumer",
            otel.status_code = tracing::field::Empty,
            messaging.system = "shared_events",
            messaging.operation.name = "process",
            messaging.operation.type = "process",
            messaging.destination.name = event.name,
            messaging.consumer.group.name = to.name,
            messaging.message.id = %event.id,
            event.id = %event.id,
            tenant_id = %event.tenant_id,
            correlation_id = %context.correlation(),
            redriven = matches!(taken, Taken::FromParking),
            attempt,
        )
    })
}
