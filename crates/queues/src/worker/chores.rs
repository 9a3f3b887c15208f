//! What some worker has to do now and then, and each does at moments of its own.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;

use super::session::Session;
use crate::backend::{Fate, Retention, Settled};
use crate::meters::METERS;
use crate::{Error, effect, schedule};

/// A part of the housekeeping. Whichever worker comes first does what there is to do; the others find nothing.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chore {
    /// Takes over the jobs of workers that died.
    Rescue,
    /// Gives back jobs that the server takes for this worker's, and are not: one that went back to an earlier state has forgotten how they
    /// ended.
    Strays,
    /// Enqueues what the calendar says.
    Schedules,
    /// Shows how long the queues are.
    Depth,
    /// Forgets what was kept for long enough.
    Prune,
}

impl Chore {
    pub(super) const ALL: [Self; 5] = [Self::Rescue, Self::Strays, Self::Schedules, Self::Depth, Self::Prune];

    /// How often: at the defaults every 5 s (so that a killed worker's jobs run again within a lease and a beat), 1 s (the
    /// precision of a schedule), 15 s (counting takes time in a long queue) and 1 m.
    fn every(self, beat: Duration) -> Duration {
        match self {
            Self::Rescue | Self::Strays => beat,
            Self::Schedules => beat / 5,
            Self::Depth => beat * 3,
            Self::Prune => beat * 12,
        }
    }

    /// Does it until the session stops.
    pub(super) async fn run<S: Send + Sync + 'static>(self, session: Arc<Session<S>>) {
        let every = self.every(session.shared.config.beat);
        let jitter = || rand::rng().random_range(0.5..=1.0);
        // After an outage of the server each worker begins anew, within half a beat (`reopen`): none is taken for dead before that.
        let mut part = if matches!(self, Self::Rescue) { 1.0 } else { jitter() };
        loop {
            if !session.pause(every.mul_f64(part)).await {
                return;
            }
            part = jitter();
            let done = match self {
                Self::Rescue => rescue(&session).await,
                Self::Strays => strays(&session).await,
                Self::Schedules => schedules(&session).await,
                Self::Depth => depth(&session).await,
                Self::Prune => prune(&session).await,
            };
            if let Err(error) = done {
                tracing::warn!(%error, chore = ?self, "a worker could not do a chore; it tries again");
            }
        }
    }
}

async fn rescue<S>(session: &Session<S>) -> Result<(), Error> {
    let shared = &session.shared;
    let swept = shared.backend().sweep(&shared.lines, shared.config.crash_budget).await?;
    METERS.rescued(swept.rescued, "ready");
    METERS.rescued(swept.dead, "dead");
    if swept.rescued + swept.dead > 0 {
        let (workers, ready, dead) = (swept.expired, swept.rescued, swept.dead);
        tracing::warn!(workers, ready, dead, "took over jobs of dead workers");
    }
    Ok(())
}

async fn strays<S: Send + Sync + 'static>(session: &Session<S>) -> Result<(), Error> {
    let mut all = Ok(());
    for queue in &session.shared.lines {
        all = give_back(session, queue).await.and(all);
    }
    all
}

/// What has come or gone since the server answered is no stray: it is not in the answer, or the fence refuses that it is given back.
async fn give_back<S: Send + Sync + 'static>(session: &Session<S>, queue: &str) -> Result<(), Error> {
    let backend = session.shared.backend();
    let held = backend.held(session.incarnation(), queue).await?;
    let put_back = |(job, claim)| Settled::new(claim, job, Fate::Later(Duration::ZERO));
    let strays: Vec<Settled> = session.holding.strays(held).into_iter().map(put_back).collect();
    if strays.is_empty() {
        return Ok(());
    }
    let refused = backend.settle(session.incarnation(), queue, &strays).await?.len();
    let ready = (strays.len() - refused) as u64;
    METERS.rescued(ready, "ready");
    if ready > 0 {
        tracing::warn!(
            queue,
            ready,
            "gave back jobs of which this worker knew nothing: the answer to their claim was lost, or the server has forgotten how they ended"
        );
    }
    Ok(())
}

async fn schedules<S>(session: &Session<S>) -> Result<(), Error> {
    let mut all = Ok(());
    for queue in &session.shared.lines {
        // One whose schedules can't be seen to keeps no other from its own.
        all = schedule::tick(&session.shared.queues, queue).await.and(all);
    }
    all
}

async fn depth<S>(session: &Session<S>) -> Result<(), Error> {
    let shared = &session.shared;
    for status in shared.backend().queues().await? {
        // Of the others nobody knows how many there are.
        if shared.lines.iter().any(|line| **line == *status.queue) {
            METERS.depth(&status);
        }
    }
    Ok(())
}

async fn prune<S>(session: &Session<S>) -> Result<(), Error> {
    let (shared, config) = (&session.shared, &session.shared.config);
    let retention = Retention {
        kept_most: u64::from(config.most_kept),
        dead_for: config.keep_dead,
        dead_most: u64::from(config.most_dead),
    };
    let mut more = true;
    while more && !session.stopping.is_cancelled() {
        let (pruned, rest) = shared.backend().prune(&shared.lines, retention).await?;
        METERS.pruned(pruned);
        more = rest;
    }
    let Some(db) = &shared.queues.db else { return Ok(()) };
    while !session.stopping.is_cancelled() && effect::prune(db, config.keep_effects).await? {}
    Ok(())
}
