//! The subscriptions over HTTP, for operators: JSON, with an OpenAPI document. Feature `admin`.

mod delayed;
mod extract;
mod parked;
mod replays;
mod subscriptions;
#[cfg(test)]
mod tests;
mod wire;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodFilter as Method;
use shared_core::Problem;
use shared_core::admin::Routes;

use crate::{Error, Subscriptions};

/// What the router answers, as OpenAPI 3.1. It is a contract, and served at `/openapi.json`.
pub const OPENAPI: &str = include_str!("admin/openapi.json");

/// What somebody wants to do with the subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Action {
    /// See how subscriptions and projections stand, and why one is late.
    ReadSubscriptions,
    /// Pause and resume subscriptions.
    SteerSubscriptions,
    /// Take subscriptions away.
    RetireSubscriptions,
    /// See what is parked, with the reasons; no payloads.
    ReadParked,
    /// Let parked keys be tried again.
    RedriveParked,
    /// Throw parked events away.
    DiscardParked,
    /// See events that wait for their time; no payloads.
    ReadDelayed,
    /// Cancel them.
    CancelDelayed,
    /// Make subscriptions that bring events once more.
    Replay,
    /// Rebuild projections, and switch to what was built.
    SteerProjections,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::ReadSubscriptions,
        Self::SteerSubscriptions,
        Self::RetireSubscriptions,
        Self::ReadParked,
        Self::RedriveParked,
        Self::DiscardParked,
        Self::ReadDelayed,
        Self::CancelDelayed,
        Self::Replay,
        Self::SteerProjections,
    ];

    /// The word for it, such as `parked:redrive`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadSubscriptions => "subscriptions:read",
            Self::SteerSubscriptions => "subscriptions:steer",
            Self::RetireSubscriptions => "subscriptions:retire",
            Self::ReadParked => "parked:read",
            Self::RedriveParked => "parked:redrive",
            Self::DiscardParked => "parked:discard",
            Self::ReadDelayed => "delayed:read",
            Self::CancelDelayed => "delayed:cancel",
            Self::Replay => "events:replay",
            Self::SteerProjections => "projections:steer",
        }
    }

    /// Whether it leaves everything as it is.
    pub const fn is_read(self) -> bool {
        matches!(self, Self::ReadSubscriptions | Self::ReadParked | Self::ReadDelayed)
    }
}

/// The routes. `authorize` is asked before each request, and what it refuses with is the answer; so there is no router without
/// somebody who decides. It is for operators: nothing is bound to a tenant.
///
/// It looks at the request's head, in whose extensions the layers in front of it have put who is asking. What must wait for
/// something, such as a look into a database, belongs into such a layer.
///
/// ```
/// # use axum::Router;
/// # use axum::http::request::Parts;
/// # use shared_core::Problem;
/// # use shared_events::{Subscriptions, admin::{self, Action}};
/// # #[derive(Clone)] struct Principal { roles: Vec<&'static str> }
/// fn operators_only(parts: &Parts, action: Action) -> Result<(), Problem> {
///     let who = parts.extensions.get::<Principal>().ok_or_else(Problem::unauthorized)?;
///     let role = if action.is_read() { "support" } else { "operator" };
///     if who.roles.contains(&role) { Ok(()) } else { Err(Problem::forbidden()) }
/// }
///
/// # fn app(subscriptions: Subscriptions) -> Router {
/// Router::new().nest("/events", admin::router(subscriptions, operators_only))
/// # }
/// ```
///
/// Without it, it does not compile:
/// ```compile_fail,E0061
/// # use axum::Router;
/// # use shared_events::{Subscriptions, admin};
/// # fn app(subscriptions: Subscriptions) -> Router {
/// Router::new().nest("/events", admin::router(subscriptions))
/// # }
/// ```
///
/// Errors are problems (RFC 9457). Every list comes in pages: of `most` things, 100 where it is not
/// said, 1,000 at most; `next` of a full page is the `after` of the one that follows it. What asks for a change is
/// logged, with the path.
pub fn router<S: Clone + Send + Sync + 'static>(
    subscriptions: Subscriptions,
    authorize: impl Fn(&Parts, Action) -> Result<(), Problem> + Send + Sync + 'static,
) -> Router<S> {
    use Action as Do;
    let routes = Routes::new(move |parts: &Parts, action: Action| {
        authorize(parts, action)?;
        if !action.is_read() {
            let (action, path) = (action.as_str(), parts.uri.path());
            tracing::info!(action, path, "an operator asks to change the subscriptions");
        }
        Ok(())
    });
    let routes = routes
        .on(Do::ReadSubscriptions, Method::GET, "/openapi.json", openapi)
        .on(Do::ReadSubscriptions, Method::GET, "/subscriptions", subscriptions::list)
        .on(Do::ReadSubscriptions, Method::GET, "/subscriptions/{subscription}", subscriptions::one)
        .on(Do::RetireSubscriptions, Method::DELETE, "/subscriptions/{subscription}", subscriptions::retire)
        .on(Do::ReadSubscriptions, Method::GET, "/subscriptions/{subscription}/lanes", subscriptions::lanes)
        .on(
            Do::ReadSubscriptions,
            Method::GET,
            "/subscriptions/{subscription}/explain",
            subscriptions::explain,
        )
        .on(Do::SteerSubscriptions, Method::POST, "/subscriptions/{subscription}/pause", subscriptions::pause)
        .on(
            Do::SteerSubscriptions,
            Method::POST,
            "/subscriptions/{subscription}/resume",
            subscriptions::resume,
        )
        .on(Do::ReadParked, Method::GET, "/parked", parked::list)
        .on(Do::RedriveParked, Method::POST, "/parked/redrive", parked::redrive)
        .on(Do::DiscardParked, Method::POST, "/parked/discard", parked::discard)
        .on(Do::ReadDelayed, Method::GET, "/delayed", delayed::list)
        .on(Do::CancelDelayed, Method::DELETE, "/delayed/{tenant}/{event}", delayed::cancel)
        .on(Do::Replay, Method::POST, "/replays", replays::begin)
        .on(Do::ReadSubscriptions, Method::GET, "/projections/{projection}", replays::projection)
        .on(Do::SteerProjections, Method::POST, "/projections/{projection}/rebuild", replays::rebuild)
        .on(Do::SteerProjections, Method::POST, "/projections/{projection}/switch", replays::switch)
        .on(Do::SteerProjections, Method::POST, "/projections/{projection}/abandon", replays::abandon);
    routes.router().with_state(subscriptions)
}

async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// What an operator may know: what was wrong with the request, and of everything else that it failed.
fn problem(error: Error) -> Problem {
    match error {
        Error::NotDone { .. } => Problem::unprocessable_content().with_detail(error.to_string()),
        Error::Conflict { .. } => Problem::conflict().with_detail(error.to_string()),
        other => other.into(),
    }
}
