//! Probes: what an orchestrator asks, answered from memory.

mod checks;
mod state;
mod watch;

use std::sync::Arc;

use serde_json::json;
use tokio::time::Instant;

use crate::Config;
pub use checks::Checks;
use state::State;
pub use watch::HealthTask;

/// The health of the process. Clones share it.
///
/// | probe | says | waits for |
/// |---|---|---|
/// | [`live`](Self::live) | restart me, if not 200 | nothing; it looks at the heartbeat of the runtime, and whether each [part](Checks::alive) runs |
/// | [`ready`](Self::ready) | send me no requests, if not 200 | nothing; it looks at the last results |
/// | [`report`](Self::report) | what is wrong, for people | nothing; the same results in detail |
///
/// Probes never ask a dependency. An owned task does, once per interval, however many probes come.
#[derive(Clone)]
pub struct Health {
    state: Arc<State>,
}

/// An answer to a probe.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Probe {
    /// The HTTP status: 200 or 503.
    pub status: u16,
    /// The body, as JSON.
    pub body: serde_json::Value,
}

impl Probe {
    fn new(good: bool, body: serde_json::Value) -> Self {
        Self { status: if good { 200 } else { 503 }, body }
    }
}

impl Health {
    /// Starts to run the checks, each for the first time at once. Call it within a Tokio runtime.
    ///
    /// The task is yours: [`HealthTask::stop`] ends it, and so does dropping it.
    pub fn start(checks: Checks, config: &Config) -> HealthTask {
        HealthTask::start(checks, config)
    }

    /// The runtime still turns: its heartbeat is younger than ten seconds; and no [part](Checks::alive) of the process has ended. It
    /// says nothing about dependencies, because no restart of this process repairs them.
    pub fn live(&self) -> Probe {
        if !self.state.beats(Instant::now()) {
            return Probe::new(false, json!({ "status": "stuck" }));
        }
        match self.state.ended() {
            ended if ended.is_empty() => Probe::new(true, json!({ "status": "live" })),
            ended => Probe::new(false, json!({ "status": "broken", "ended": ended })),
        }
    }

    /// The process wants requests: it is not draining, and every required check passed when it was last run.
    pub fn ready(&self) -> Probe {
        let (status, failing) = self.state.readiness(Instant::now());
        Probe::new(status == "ready", json!({ "status": status, "failing": failing }))
    }

    /// Everything that is known, with the status of [`ready`](Self::ready).
    pub fn report(&self) -> Probe {
        let now = Instant::now();
        let (status, _) = self.state.readiness(now);
        let body =
            json!({ "status": status, "live": self.live().status == 200, "checks": self.state.details(now) });
        Probe::new(status == "ready", body)
    }

    /// From now on [`ready`](Self::ready) says no, so that no new requests come while those that are here end.
    pub fn set_draining(&self) {
        self.state.set_draining();
    }
}
