//! Tells the backend how attempts ended: as many as there are in one statement, while others go on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use shared_core::{Backoff, fault};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::session::Session;
use crate::Error;
use crate::backend::Settled;
use crate::meters::METERS;

/// Outcomes in one statement at most. What ends while one is under way goes into the next.
const AT_ONCE: usize = 256;

/// An outcome on its way to its queue.
pub(super) struct Outgoing {
    pub(super) line: usize,
    pub(super) settled: Settled,
}

/// Runs until every sender is gone and everything is settled.
pub(super) async fn run<S: Send + Sync + 'static>(
    session: Arc<Session<S>>,
    mut outgoing: mpsc::Receiver<Outgoing>,
) {
    let mut batch = Vec::with_capacity(AT_ONCE);
    let mut lines: Vec<Vec<Settled>> = session.shared.lines.iter().map(|_| Vec::new()).collect();
    while outgoing.recv_many(&mut batch, AT_ONCE).await > 0 {
        for one in batch.drain(..) {
            lines[one.line].push(one.settled);
        }
        let settled = lines.iter().enumerate().filter(|(_, all)| !all.is_empty());
        join_all(settled.map(|(line, all)| until_settled(&session, line, all))).await;
        lines.iter_mut().for_each(Vec::clear);
    }
}

/// It is repeated until it is done or the lease is lost. Repeating is safe: what was settled is no longer held.
async fn until_settled<S: Send + Sync + 'static>(session: &Session<S>, line: usize, all: &[Settled]) {
    let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    let mut failures = 0;
    while let Err(error) = settle(session, line, all, failures > 0).await {
        failures += 1;
        tracing::warn!(%error, failures, jobs = all.len(), "could not settle jobs; tries again");
        sleep(backoff.delay(failures)).await;
    }
}

async fn settle<S: Send + Sync + 'static>(
    session: &Session<S>,
    line: usize,
    all: &[Settled],
    repeated: bool,
) -> Result<(), Error> {
    fault::point("queues.worker.settling");
    let shared = &session.shared;
    let refused = shared.backend().settle(session.incarnation(), &shared.lines[line], all).await?.len();
    fault::point("queues.worker.settled");
    // After a lost answer the first attempt may have done it: nobody knows, so it is not counted.
    if refused > 0 && !repeated {
        METERS.fenced(refused);
        shared.refused.fetch_add(refused as u64, Ordering::Relaxed);
        tracing::warn!(jobs = refused, "outcomes were refused: the jobs are no longer this worker's");
    }
    Ok(())
}
