use std::net::SocketAddr;
use std::time::{Duration, Instant};

use shared_core::Failure;
use shared_db::Db;
use shared_events::Backlog;
use shared_queues::{Queues, Worker};
use shared_telemetry::HealthTask;

use crate::Config;
use crate::eventing::Deliveries;
use crate::guards::Guards;
use crate::server::Server;

/// A service that runs. [`stop`](Self::stop) ends it well; dropping it cuts everything off.
pub struct Running<S> {
    parts: Parts<S>,
}

pub(crate) struct Parts<S> {
    pub(crate) config: Config,
    pub(crate) state: S,
    pub(crate) db: Db,
    pub(crate) queues: Queues,
    /// Of jobs that are on their way to queues elsewhere.
    pub(crate) carried: Deliveries,
    pub(crate) guards: Guards,
    pub(crate) health: HealthTask,
    pub(crate) deliveries: Deliveries,
    pub(crate) worker: Option<Worker>,
    pub(crate) api: Server,
    pub(crate) admin: Server,
}

/// What a stop cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// Connections on which a request was still under way at the deadline.
    pub connections: usize,
    /// Jobs that were still running at the deadline; others will run them again.
    pub jobs: u64,
    /// Deliveries of events, or of jobs on their way to Redis, were still under way at the deadline; they are rolled back, and come again.
    pub deliveries: bool,
    /// Audit events that could not be written.
    pub audit_events: u64,
    /// Database connections that were still out at the deadline.
    pub db_connections: usize,
}

impl Stopped {
    /// Nothing was cut off.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

impl<S> Running<S> {
    pub(crate) fn new(parts: Parts<S>) -> Self {
        Self { parts }
    }

    /// Where the public API listens.
    pub fn address(&self) -> SocketAddr {
        self.parts.api.address()
    }

    /// Where probes and metrics listen.
    pub fn admin_address(&self) -> SocketAddr {
        self.parts.admin.address()
    }

    /// The state of the handlers.
    pub fn state(&self) -> &S {
        &self.parts.state
    }

    /// The database.
    pub fn db(&self) -> &Db {
        &self.parts.db
    }

    /// The queues.
    pub fn queues(&self) -> &Queues {
        &self.parts.queues
    }

    /// What the consumers have yet to get, from the log and from the broker that events go through, and what is parked: of all programs
    /// on the database. Both figures are zero when every event that was committed before the call had its effect.
    ///
    /// # Errors
    /// Those of the database and of the broker.
    pub async fn backlog(&self) -> Result<Backlog, Failure> {
        // In this order: what is on its way is in the log, or at the broker, or it has failed there meanwhile and is parked.
        let before = shared_events::backlog(&self.parts.db).await?;
        let unread = self.parts.deliveries.unread().await?.waiting;
        let mut backlog = shared_events::backlog(&self.parts.db).await?;
        backlog.waiting = backlog.waiting.max(before.waiting) + unread;
        Ok(backlog)
    }

    /// Not ready, settle, stop accepting, finish requests, then jobs and deliveries, write what is to be audited, then close the
    /// database. Requests, jobs and deliveries share the setting `drain_timeout`; what is left of them then is cut off, and reported.
    ///
    /// Dropping the future cuts everything off.
    pub async fn stop(self) -> Stopped {
        let Parts { config, db, carried, guards, health, deliveries, worker, mut api, mut admin, .. } =
            self.parts;
        health.health().set_draining();
        tokio::time::sleep(config.settle_time).await;
        let deadline = Instant::now() + config.drain_timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        let connections = api.stop(left()).await;
        // Requests may have enqueued and published up to here; what is not done now is done by others, or later.
        let (jobs, deliveries) = tokio::join!(stop_worker(worker, left()), deliveries.stop(left()));
        // After everything that enqueues; what it does not carry any more it carries after the next start.
        let deliveries = carried.stop(left()).await || deliveries;
        health.stop().await;
        // After everything that can record. It has a bound of its own: what happened is worth more than the deadline.
        let audit_events = guards.stop().await;
        let db_connections = db.close(left().max(Duration::from_millis(100))).await.cancelled;
        admin.stop(Duration::from_millis(100)).await;
        let stopped = Stopped { connections, jobs, deliveries, audit_events, db_connections };
        tracing::info!(
            connections,
            jobs,
            deliveries,
            audit_events,
            db_connections,
            "stopped; the numbers are what was cut off"
        );
        stopped
    }
}

/// How many jobs were broken off.
async fn stop_worker(worker: Option<Worker>, patience: Duration) -> u64 {
    match worker {
        Some(worker) => worker.stop(patience).await.aborted,
        None => 0,
    }
}

impl<S> std::fmt::Debug for Running<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("address", &self.address()).finish_non_exhaustive()
    }
}
