//! Keeps the worker's lease, and looks after those that are no longer kept.

use std::sync::Arc;

use rand::RngExt;
use tokio::time::{Instant, sleep, timeout_at};

use super::session::Session;
use super::sure_until;
use crate::meters::METERS;
use crate::postgres::SIGNAL;

/// Renews the lease until that fails: returns in time to break off the jobs before others may take them.
pub(super) async fn run<S: Send + Sync + 'static>(session: &Session<S>, registered: Instant) {
    let config = &session.shared.config;
    let (mut sure, mut wait) = (sure_until(registered, config.lease), config.beat);
    loop {
        sleep(wait.min(sure.saturating_duration_since(Instant::now()))).await;
        // The lease is counted from before the message left: the server's begins later.
        let sent = Instant::now();
        match timeout_at(sure, session.shared.store.renew(session.incarnation(), config.lease)).await {
            Ok(Ok(true)) => (sure, wait) = (sure_until(sent, config.lease), config.beat),
            Ok(Ok(false)) => {
                return tracing::warn!(worker = %session.incarnation(), "others have taken the worker's jobs");
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "a worker could not renew its lease; it tries again");
                wait = config.beat / 5;
            }
            Err(_) => {}
        }
        if Instant::now() >= sure {
            return;
        }
    }
}

/// Takes over the jobs of workers that died. Every worker looks, at moments of its own; the first one does it.
pub(super) async fn sweep<S: Send + Sync + 'static>(session: Arc<Session<S>>) {
    let shared = &session.shared;
    loop {
        let jitter = rand::rng().random_range(0.5..=1.0);
        if !session.pause(shared.config.beat.mul_f64(jitter)).await {
            return;
        }
        match shared.store.sweep(shared.config.crash_budget).await {
            Ok(swept) => {
                METERS.rescued(swept.rescued, "ready");
                METERS.rescued(swept.dead, "dead");
                if swept.rescued + swept.dead > 0 {
                    tracing::warn!(
                        workers = swept.expired,
                        ready = swept.rescued,
                        dead = swept.dead,
                        "took over jobs of dead workers"
                    );
                    shared.store.db.signal(SIGNAL).notify_one();
                }
            }
            Err(error) => tracing::warn!(%error, "could not look for dead workers; tries again"),
        }
    }
}
