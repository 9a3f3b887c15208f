//! Where the jobs of a service are, and what surrounds them: their way there, the look at how late they are, and their operators.

mod carry;
mod late;
#[cfg(feature = "redis")]
mod redis;

use axum::Router;
use futures_util::future::BoxFuture;
use http::request::Parts;
use shared_core::Failure;
use shared_db::Db;
use shared_queues::Queues;
use shared_queues::admin::{self, Action};
use shared_telemetry::Checks;

use crate::Config;
use crate::desk::Desk;
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

/// The routes of operators.
pub(crate) fn operated<S: Clone + Send + Sync + 'static>(desk: Desk, queues: &Queues) -> Router<S> {
    let allow = move |parts: &Parts, action: Action| desk.allow(parts, action.as_str(), action.is_read());
    desk.routes(admin::router(queues.clone(), allow), "queues.operated")
}
