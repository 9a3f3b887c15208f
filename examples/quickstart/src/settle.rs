//! Waits until every job is done and every event has taken effect.

use std::time::{Duration, Instant};

use shared_service::Running;
use shared_service::core::Failure;

use crate::service::App;

/// How often to look: the end is noticed soon, and a look costs the database a millisecond or so.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Without anything done for so long, something is stuck: the largest document takes a fraction of it.
const PATIENCE: Duration = Duration::from_secs(180);

/// What is still to be done, and what has failed for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) jobs: u64,
    pub(crate) events: u64,
    pub(crate) dead: u64,
    pub(crate) parked: u64,
}

/// Looks at the log, the broker and the queues.
pub(crate) async fn left(running: &Running<App>) -> Result<Left, Failure> {
    // In this order: what is on its way to its queue is in the log, or in the queue.
    let events = running.backlog().await?;
    let jobs = running.queues().backlog().await?;
    Ok(Left {
        jobs: jobs.ready + jobs.waiting + jobs.scheduled + jobs.running,
        events: events.waiting,
        dead: jobs.dead,
        parked: events.parked,
    })
}

/// Waits until nothing is left to be done. What has failed for good does not hold it up; it is in the answer.
///
/// # Errors
/// If nothing moves any more.
pub(crate) async fn settled(running: &Running<App>) -> Result<Left, Failure> {
    let (mut before, mut moved) = (Left::default(), Instant::now());
    loop {
        let now = left(running).await?;
        if now.jobs == 0 && now.events == 0 {
            return Ok(now);
        }
        if now != before {
            (before, moved) = (now, Instant::now());
        }
        if moved.elapsed() > PATIENCE {
            return Err(Failure::new(format!(
                "nothing moves since {PATIENCE:?}; left are {now:?}; the log may say why"
            )));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
