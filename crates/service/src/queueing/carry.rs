//! From transactions to queues elsewhere, by the log of events: it has a job if, and only if, its transaction committed, and a relay
//! brings it to the queues, again and again until they have it.

use std::time::Duration;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared_core::{Failure, fault};
use shared_db::{Db, TenantTx, statements};
use shared_events::{Event, Events, Received, Relay};
use shared_queues::{OutboxJob, Queues};
use time::OffsetDateTime;

statements! {
    // How long ago that was, in milliseconds, by the clock that said so.
    const AGE: Statement<(OffsetDateTime,), i64> = "
        select greatest(0, extract(epoch from clock_timestamp() - $1) * 1000)::bigint as age";
}

/// Attempts to bring a job before it is put aside. Waits are drawn at random up to a minute, half of it on the average: an outage of three
/// quarters of an hour.
const ATTEMPTS: u32 = 100;
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A transaction has enqueued a job. Jobs that must not overtake each other have one key.
#[derive(Serialize, Deserialize, Event)]
#[event(name = "shared_queues.enqueued", version = 1, key = "key")]
pub(super) struct JobEnqueued {
    pub(super) key: String,
    /// The queues that it is for: programs with others may work on the same database.
    pub(super) to: String,
    pub(super) job: OutboxJob,
}

/// The queues that jobs are brought to.
#[derive(Clone)]
struct Destination {
    name: &'static str,
    queues: Queues,
}

/// The subscription of the relay that carries to these queues.
pub(super) fn subscription(name: &str) -> String {
    format!("{name}.jobs")
}

/// Starts the relay that carries.
pub(super) async fn start(
    db: &Db,
    queues: Queues,
    name: &'static str,
    config: shared_events::Config,
) -> Result<Relay, Failure> {
    // Of its own, so that consumers and jobs don't wait for each other.
    let config = shared_events::Config {
        subscription: subscription(name),
        attempts: ATTEMPTS,
        retry_longest: LONGEST_WAIT,
        ..config
    };
    let events = Events::new().handle(name, bring);
    Ok(Relay::start(db.clone(), Destination { name, queues }, events, config).await?)
}

/// The mark that it was brought commits after it is there. Where that fails, the job comes again and is known by its id.
async fn bring(
    tx: &mut TenantTx,
    enqueued: Received<JobEnqueued>,
    State(to): State<Destination>,
) -> Result<(), Failure> {
    if enqueued.to != to.name {
        return Ok(());
    }
    let age = if enqueued.job.is_delayed() { tx.one(&AGE, (enqueued.at,)).await? } else { 0 };
    let age = Duration::from_millis(age.unsigned_abs());
    to.queues.enqueue_from_outbox(enqueued.event.job, age).await?;
    fault::point("service.queues.carried");
    Ok(())
}
