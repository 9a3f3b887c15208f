//! The task that asks.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::Health;
use super::checks::{Check, Checks};
use super::state::{Answer, State};
use crate::Config;

/// How often the runtime shows that it turns.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The longest reason that is kept, in bytes.
const MAX_REASON: usize = 200;

/// The running checks. Dropping it stops them, as [`stop`](Self::stop) does, without waiting for the end.
#[must_use = "dropping it stops the checks"]
pub struct HealthTask {
    health: Health,
    tasks: JoinSet<()>,
}

impl HealthTask {
    pub(super) fn start(checks: Checks, config: &Config) -> Self {
        let (every, at_most) = (config.health_interval, config.health_timeout);
        let names = checks.list.iter().map(|check| (check.name, check.required));
        let state = Arc::new(State::new(names, checks.parts, every * 2 + at_most));
        let mut tasks = JoinSet::new();
        tasks.spawn(beat(Arc::clone(&state)));
        tasks.spawn(refresh(checks.list, Arc::clone(&state), every, at_most));
        Self { health: Health { state }, tasks }
    }

    /// The handle for whoever answers probes.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Ends the checks; when it returns, none runs. Probes go on to answer from the last results until these are too
    /// old.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// A task of its own: a slow check must not look like a stuck runtime.
async fn beat(state: Arc<State>) {
    let mut ticks = interval(HEARTBEAT);
    loop {
        ticks.tick().await;
        state.beat();
    }
}

/// All checks run at once, so a slow one delays no other; the next round begins when all have ended.
async fn refresh(checks: Vec<Check>, state: Arc<State>, every: Duration, at_most: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        join_all(checks.iter().enumerate().map(async |(index, check)| {
            let began = Instant::now();
            let result = ask(check, at_most).await;
            state.note(index, Answer { result, at: Instant::now(), took: began.elapsed() });
        }))
        .await;
    }
}

async fn ask(check: &Check, at_most: Duration) -> Result<(), String> {
    let asked = AssertUnwindSafe(async { (check.ask)().await }).catch_unwind();
    match timeout(at_most, asked).await {
        Ok(Ok(Err(mut reason))) => {
            reason.truncate(reason.floor_char_boundary(MAX_REASON));
            Err(reason)
        }
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Err(_)) => Err("the check panicked".to_owned()),
        Err(_) => Err(format!("no answer within {at_most:?}")),
    }
}
