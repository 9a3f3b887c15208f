//! One page: lanes run side by side, and within a lane one event after the other.

use std::collections::HashMap;
use std::sync::Arc;

use shared_core::{Failure, NextStep, TenantId};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::attempt::{self, Outcome, Taken};
use super::{Core, Halt, parking, pause};
use crate::Error;
use crate::events::Bound;
use crate::metrics::{METRICS, consumer};
use crate::received::Stored;

/// What one consumer is to do of one tenant's key, in order.
struct Lane(Vec<(Bound, Arc<Stored>)>);

/// Delivers a page. The tasks are the caller's, so that it can end them.
pub(crate) async fn page(
    core: &Arc<Core>,
    page: Vec<Stored>,
    stop: &CancellationToken,
    tasks: &mut JoinSet<Result<(), Error>>,
) -> Result<(), Halt> {
    for lane in lanes(&core.consumers, page) {
        if tasks.len() >= core.config.concurrency as usize {
            ended(tasks.join_next().await)?;
        }
        tasks.spawn(lane.run(Arc::clone(core), stop.clone()));
    }
    while !tasks.is_empty() {
        ended(tasks.join_next().await)?;
    }
    Ok(())
}

fn ended(task: Option<Result<Result<(), Error>, JoinError>>) -> Result<(), Halt> {
    match task {
        None => Ok(()),
        Some(Ok(done)) => Ok(done?),
        Some(Err(_)) => Err(Halt::Bug),
    }
}

/// The lanes of a page, in the order of their first events.
fn lanes(consumers: &[Bound], page: Vec<Stored>) -> Vec<Lane> {
    let mut known: HashMap<(&'static str, TenantId, String), usize> = HashMap::new();
    let mut lanes: Vec<Lane> = Vec::new();
    for event in page.into_iter().map(Arc::new) {
        METRICS.lag.record(event.age.max(0.0), &[]);
        for consumer in consumers.iter().filter(|consumer| consumer.event == event.name) {
            let key = (consumer.name, event.tenant_id, event.key.clone());
            let at = *known.entry(key).or_insert_with(|| {
                lanes.push(Lane(Vec::new()));
                lanes.len() - 1
            });
            lanes[at].0.push((consumer.clone(), Arc::clone(&event)));
        }
    }
    lanes
}

impl Lane {
    async fn run(self, core: Arc<Core>, stop: CancellationToken) -> Result<(), Error> {
        for (consumer, event) in &self.0 {
            deliver(&core, consumer, event, &stop).await?;
            if stop.is_cancelled() {
                break;
            }
        }
        Ok(())
    }
}

/// Delivers one event to one consumer: until its effect is there, or it is parked, or the relay is to stop.
async fn deliver(core: &Core, to: &Bound, event: &Stored, stop: &CancellationToken) -> Result<(), Error> {
    let mut attempt = 1;
    while !stop.is_cancelled() {
        match attempt::attempt(core, to, event, Taken::FromLog { attempt }).await? {
            Outcome::Effect | Outcome::Known => return Ok(()),
            Outcome::KeyIsParked => {
                if parking::park_behind(&core.db, to.name, event).await? {
                    METRICS.parked.add(1, &consumer(to.name));
                    return Ok(());
                }
                // The key was redriven meanwhile: it is the event's turn after all.
            }
            Outcome::Failed(failure) => {
                let Some(wait) = wait(core, &failure, attempt) else {
                    tracing::error!(consumer = to.name, event = event.name, event.id = %event.id, attempt, "parked: {failure}");
                    METRICS.parked.add(1, &consumer(to.name));
                    return parking::park(&core.db, to.name, event, &failure, attempt).await;
                };
                tracing::warn!(consumer = to.name, event = event.name, event.id = %event.id, attempt, "to be repeated: {failure}");
                METRICS.retries.add(1, &consumer(to.name));
                attempt += 1;
                pause(wait, stop).await;
            }
        }
    }
    Ok(())
}

/// How long to wait before another attempt, if there is to be one.
fn wait(core: &Core, failure: &Failure, attempt: u32) -> Option<std::time::Duration> {
    if attempt >= core.config.attempts {
        return None;
    }
    match failure.next_step() {
        NextStep::Dead => None,
        NextStep::RetryIn(wait) => Some(wait.min(core.config.retry_longest)),
        _ => Some(core.config.backoff().delay(attempt)),
    }
}
