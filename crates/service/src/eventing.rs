//! How events come to the consumers of a service: straight from the log of its database, or through a broker. And their operators.

#[cfg(any(feature = "redis", feature = "nats"))]
mod broker;
mod deliveries;
mod late;
#[cfg(feature = "nats")]
mod nats;
mod way;

use axum::Router;
use http::request::Parts;
use shared_core::Problem;
use shared_events::Subscriptions;
use shared_events::admin::{self, Action};
use shared_security::{Principal, SystemPermission};

#[cfg(any(feature = "redis", feature = "nats"))]
pub use broker::Broker;
pub(crate) use deliveries::Deliveries;
pub(crate) use late::check as checked;
#[cfg(feature = "nats")]
pub use nats::NatsConfig;
#[cfg(any(feature = "redis", feature = "nats"))]
pub(crate) use way::through;
pub(crate) use way::{Choose, from_log};

/// Where operators see and steer the subscriptions, and who they are.
pub(crate) struct Desk {
    path: &'static str,
    authorize: fn(&Parts, Action) -> Result<(), Problem>,
}

impl Desk {
    pub(crate) fn of<P: SystemPermission>(path: &'static str) -> Self {
        Self { path, authorize: holds::<P> }
    }

    pub(crate) fn routes<S: Clone + Send + Sync + 'static>(self, subscriptions: &Subscriptions) -> Router<S> {
        Router::new().nest(self.path, admin::router(subscriptions.clone(), self.authorize))
    }
}

fn holds<P: SystemPermission>(parts: &Parts, _: Action) -> Result<(), Problem> {
    let principal = parts.extensions.get::<Principal>().ok_or_else(Problem::unauthorized)?;
    principal.require::<P>().map(drop)
}
