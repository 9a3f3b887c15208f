//! Keeps the worker's lease, and listens for jobs that are to be cancelled.

use std::sync::Arc;

use tokio::time::{Instant, sleep, timeout_at};

use super::session::Session;

/// Jobs whose progress goes out with one beat at most: some tens of kilobytes. The others have their turn with the next one.
const TOLD_AT_ONCE: usize = 500;

/// Renews the lease until that fails: returns in time to break off the jobs before others may take them.
pub(super) async fn run<S: Send + Sync + 'static>(session: &Session<S>) {
    let config = &session.shared.config;
    let mut wait = config.beat;
    loop {
        let sure = session.sure_until();
        sleep(wait.min(sure.saturating_duration_since(Instant::now()))).await;
        // The lease is counted from before the message left: the server's begins later.
        let sent = Instant::now();
        let progress = session.running.progress(TOLD_AT_ONCE);
        let shared = &session.shared;
        let renewed = shared.backend().renew(session.incarnation(), &shared.lines, config.lease, &progress);
        let renewed = timeout_at(sure, renewed).await;
        if !matches!(renewed, Ok(Ok(true))) {
            session.running.untold(progress);
        }
        match renewed {
            Ok(Ok(true)) => {
                session.renewed(sent);
                wait = config.beat;
            }
            Ok(Ok(false)) => {
                return tracing::warn!(worker = %session.incarnation(), "others have taken the worker's jobs");
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "a worker could not renew its lease; it tries again");
                wait = config.beat / 5;
            }
            Err(_) => {}
        }
        if Instant::now() >= session.sure_until() {
            return;
        }
    }
}

/// Tells the attempts that somebody wants cancelled. While nothing is held nobody is asked.
pub(super) async fn listen<S: Send + Sync + 'static>(session: Arc<Session<S>>) {
    let shared = &session.shared;
    while session.pause(shared.config.poll).await {
        if session.slots.is_empty() {
            continue;
        }
        match shared.backend().to_cancel(session.incarnation(), &shared.lines).await {
            Ok(jobs) => session.running.ask(jobs),
            Err(error) => tracing::warn!(%error, "could not ask which jobs are to be cancelled; tries again"),
        }
    }
}
