//! Tells the backend how attempts ended: as many as there are in one statement, while others go on. Each queue by itself, since they may
//! lie on several servers: one that does not answer holds up the outcomes of its own queues alone.

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

/// Takes outcomes, each on its way to its queue. Of each queue as many as the worker may hold; who brings one more waits.
#[derive(Clone)]
pub(super) struct Outgoing(Arc<[mpsc::Sender<Settled>]>);

impl Outgoing {
    /// Whether it was taken: it is as long as the session settles.
    pub(super) async fn send(&self, line: usize, settled: Settled) -> bool {
        self.0[line].send(settled).await.is_ok()
    }
}

/// Where outcomes go, and what settles them: until every sender is gone and everything is settled.
pub(super) fn open<S: Send + Sync + 'static>(
    session: &Arc<Session<S>>,
) -> (Outgoing, impl Future<Output = ()> + Send + use<S>) {
    let channel = |_: &Arc<str>| mpsc::channel(session.slots.most());
    let (senders, receivers): (Vec<_>, Vec<_>) = session.shared.lines.iter().map(channel).unzip();
    let of_line = |(line, outcomes)| run(session.clone(), line, outcomes);
    let lines: Vec<_> = receivers.into_iter().enumerate().map(of_line).collect();
    (Outgoing(senders.into()), async { drop(join_all(lines).await) })
}

async fn run<S: Send + Sync + 'static>(
    session: Arc<Session<S>>,
    line: usize,
    mut outcomes: mpsc::Receiver<Settled>,
) {
    let mut batch = Vec::with_capacity(AT_ONCE);
    while outcomes.recv_many(&mut batch, AT_ONCE).await > 0 {
        until_settled(&session, line, &batch).await;
        batch.clear();
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
    session.holding.settled(all);
    // After a lost answer the first attempt may have done it: nobody knows, so it is not counted.
    if refused > 0 && !repeated {
        METERS.fenced(refused);
        shared.refused.fetch_add(refused as u64, Ordering::Relaxed);
        tracing::warn!(jobs = refused, "outcomes were refused: the jobs are no longer this worker's");
    }
    Ok(())
}
