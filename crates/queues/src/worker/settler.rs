//! Tells the database how attempts ended: as many as there are in one statement, while others go on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shared_core::{Backoff, fault};
use tokio::sync::mpsc;

use super::session::Session;
use crate::meters::METERS;
use crate::postgres::Settled;

/// Outcomes in one statement at most. What ends while one is under way goes into the next.
const AT_ONCE: usize = 256;

/// Runs until every sender is gone and everything is settled.
pub(super) async fn run<S: Send + Sync + 'static>(
    session: Arc<Session<S>>,
    mut settled: mpsc::Receiver<Settled>,
) {
    let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    let mut batch = Vec::with_capacity(AT_ONCE);
    while settled.recv_many(&mut batch, AT_ONCE).await > 0 {
        let mut failures = 0;
        // It is repeated until it is done or the lease is lost. Repeating is safe: what was settled is no longer held.
        while let Err(error) = settle(&session, &batch, failures > 0).await {
            failures += 1;
            tracing::warn!(%error, failures, jobs = batch.len(), "could not settle jobs; tries again");
            tokio::time::sleep(backoff.delay(failures)).await;
        }
        batch.clear();
    }
}

async fn settle<S: Send + Sync + 'static>(
    session: &Session<S>,
    batch: &[Settled],
    repeated: bool,
) -> Result<(), shared_db::Error> {
    fault::point("queues.worker.settling");
    let refused = session.shared.store.settle(session.incarnation(), batch).await?;
    fault::point("queues.worker.settled");
    // After a lost answer the first attempt may have done it: nobody knows, so it is not counted.
    if refused > 0 && !repeated {
        METERS.fenced(refused);
        session.shared.refused.fetch_add(refused as u64, Ordering::Relaxed);
        tracing::warn!(jobs = refused, "outcomes were refused: the jobs are no longer this worker's");
    }
    Ok(())
}
