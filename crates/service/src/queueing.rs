//! Where the jobs of a service are, and what surrounds them: their way there, the look at how late they are, and their operators.

mod carry;
mod late;
#[cfg(feature = "redis")]
mod redis;

use axum::Router;
use futures_util::future::BoxFuture;
use http::request::Parts;
use shared_core::{Failure, Problem};
use shared_db::Db;
use shared_queues::Queues;
use shared_queues::admin::{self, Action};
use shared_security::{Principal, SystemPermission};
use shared_telemetry::Checks;

use crate::Config;
use crate::eventing::Deliveries;
use crate::launch::missing;
#[cfg(feature = "redis")]
pub use redis::RedisQueues;
#[cfg(feature = "redis")]
pub(crate) use redis::in_redis;

/// Opens the queues, by the settings and the database.
pub(crate) type Open<C> = Box<dyn FnOnce(&C, &Db) -> BoxFuture<'static, Result<Opened, Failure>> + Send>;

/// Queues, and how jobs of transactions come there.
pub(crate) struct Opened {
    pub(crate) queues: Queues,
    /// The name under which the log of events carries jobs to them; without it, jobs need nobody to carry them.
    carried_as: Option<&'static str>,
}

/// In the database of the service.
pub(crate) fn in_database<C>() -> Open<C> {
    Box::new(|_, db| {
        let opened = Opened { queues: Queues::postgres(db), carried_as: None };
        Box::pin(std::future::ready(Ok(opened)))
    })
}

impl Opened {
    /// With the check of how late jobs are.
    pub(crate) fn checked(&self, checks: Checks, config: &Config) -> Checks {
        late::check(checks, &self.queues, config)
    }

    /// The subscription of the log by which jobs come there.
    pub(crate) fn subscription(&self) -> Option<String> {
        self.carried_as.map(carry::subscription)
    }

    /// Begins to carry jobs, if they have to be carried.
    pub(crate) async fn carry(
        self,
        db: &Db,
        config: Option<shared_events::Config>,
        by: &Deliveries,
    ) -> Result<(), Failure> {
        let Some(name) = self.carried_as else { return Ok(()) };
        let config = config.ok_or_else(|| missing("shared_events::Config"))?;
        by.relay(carry::start(db, self.queues, name, config).await?);
        Ok(())
    }
}

/// Where operators see and steer the queues, and who they are.
pub(crate) struct Desk {
    path: &'static str,
    authorize: fn(&Parts, Action) -> Result<(), Problem>,
}

impl Desk {
    pub(crate) fn of<P: SystemPermission>(path: &'static str) -> Self {
        Self { path, authorize: holds::<P> }
    }

    pub(crate) fn routes<S: Clone + Send + Sync + 'static>(self, queues: &Queues) -> Router<S> {
        Router::new().nest(self.path, admin::router(queues.clone(), self.authorize))
    }
}

fn holds<P: SystemPermission>(parts: &Parts, _: Action) -> Result<(), Problem> {
    let principal = parts.extensions.get::<Principal>().ok_or_else(Problem::unauthorized)?;
    principal.require::<P>().map(drop)
}
