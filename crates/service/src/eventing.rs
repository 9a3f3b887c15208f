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
use shared_events::Subscriptions;
use shared_events::admin::{self, Action};

use crate::desk::Desk;

#[cfg(any(feature = "redis", feature = "nats"))]
pub use broker::Broker;
pub(crate) use deliveries::Deliveries;
pub(crate) use late::check as checked;
#[cfg(feature = "nats")]
pub use nats::NatsConfig;
#[cfg(any(feature = "redis", feature = "nats"))]
pub(crate) use way::through;
pub(crate) use way::{Choose, from_log};

/// The routes of operators.
pub(crate) fn operated<S: Clone + Send + Sync + 'static>(
    desk: Desk,
    subscriptions: &Subscriptions,
) -> Router<S> {
    let allow = move |parts: &Parts, action: Action| desk.allow(parts, action.as_str(), action.is_read());
    desk.routes(admin::router(subscriptions.clone(), allow), "events.operated")
}
