//! The queues over HTTP, for operators: JSON, with an OpenAPI document. Feature `admin`.

mod dead;
mod extract;
mod jobs;
mod limits;
mod queues;
mod schedules;
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

use crate::{Error, Queues};

/// What the router answers, as OpenAPI 3.1. It is a contract, and served at `/openapi.json`.
pub const OPENAPI: &str = include_str!("admin/openapi.json");

/// What somebody wants to do with the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Action {
    /// See how the queues stand.
    ReadQueues,
    /// Pause and resume queues and tenants in them, and set the weights of tenants.
    SteerQueues,
    /// See jobs, their errors and results; no payloads.
    ReadJobs,
    /// Cancel jobs.
    CancelJobs,
    /// Let jobs that are not due yet be due at another time.
    RescheduleJobs,
    /// See dead letters and their errors; no payloads.
    ReadDeadLetters,
    /// Bring dead letters back.
    RedriveDeadLetters,
    /// Throw dead letters away.
    DiscardDeadLetters,
    /// See limits and their use.
    ReadLimits,
    /// Set, remove and hold limits.
    SetLimits,
    /// See schedules.
    ReadSchedules,
    /// Change, pause and remove schedules.
    EditSchedules,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::ReadQueues,
        Self::SteerQueues,
        Self::ReadJobs,
        Self::CancelJobs,
        Self::RescheduleJobs,
        Self::ReadDeadLetters,
        Self::RedriveDeadLetters,
        Self::DiscardDeadLetters,
        Self::ReadLimits,
        Self::SetLimits,
        Self::ReadSchedules,
        Self::EditSchedules,
    ];

    /// The word for it, such as `jobs:cancel`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadQueues => "queues:read",
            Self::SteerQueues => "queues:steer",
            Self::ReadJobs => "jobs:read",
            Self::CancelJobs => "jobs:cancel",
            Self::RescheduleJobs => "jobs:reschedule",
            Self::ReadDeadLetters => "dead-letters:read",
            Self::RedriveDeadLetters => "dead-letters:redrive",
            Self::DiscardDeadLetters => "dead-letters:discard",
            Self::ReadLimits => "limits:read",
            Self::SetLimits => "limits:set",
            Self::ReadSchedules => "schedules:read",
            Self::EditSchedules => "schedules:edit",
        }
    }

    /// Whether it leaves everything as it is.
    pub const fn is_read(self) -> bool {
        matches!(
            self,
            Self::ReadQueues
                | Self::ReadJobs
                | Self::ReadDeadLetters
                | Self::ReadLimits
                | Self::ReadSchedules
        )
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
/// # use shared_queues::{Queues, admin::{self, Action}};
/// # #[derive(Clone)] struct Principal { roles: Vec<&'static str> }
/// fn operators_only(parts: &Parts, action: Action) -> Result<(), Problem> {
///     let who = parts.extensions.get::<Principal>().ok_or_else(Problem::unauthorized)?;
///     let role = if action.is_read() { "support" } else { "operator" };
///     if who.roles.contains(&role) { Ok(()) } else { Err(Problem::forbidden()) }
/// }
///
/// # let queues = Queues::memory();
/// let app: Router = Router::new().nest("/queues", admin::router(queues, operators_only));
/// ```
///
/// Without it, it does not compile:
/// ```compile_fail,E0061
/// # use axum::Router;
/// # use shared_queues::{Queues, admin};
/// # let queues = Queues::memory();
/// let app: Router = Router::new().nest("/queues", admin::router(queues));
/// ```
///
/// Errors are problems (RFC 9457). Every list comes in pages: of `most` things, 100 where it is not
/// said, 1,000 at most; `next` of a full page is the `after` of the one that follows it. What asks for a change is
/// logged, with the path.
pub fn router<S: Clone + Send + Sync + 'static>(
    queues: Queues,
    authorize: impl Fn(&Parts, Action) -> Result<(), Problem> + Send + Sync + 'static,
) -> Router<S> {
    use Action as Do;
    let routes = Routes::new(move |parts: &Parts, action: Action| {
        authorize(parts, action)?;
        if !action.is_read() {
            let (action, path) = (action.as_str(), parts.uri.path());
            tracing::info!(action, path, "an operator asks to change the queues");
        }
        Ok(())
    });
    let routes = routes
        .on(Do::ReadQueues, Method::GET, "/openapi.json", openapi)
        .on(Do::ReadQueues, Method::GET, "/queues", queues::list)
        .on(Do::ReadQueues, Method::GET, "/queues/{queue}", queues::one)
        .on(Do::SteerQueues, Method::POST, "/queues/{queue}/pause", queues::pause)
        .on(Do::SteerQueues, Method::POST, "/queues/{queue}/resume", queues::resume)
        .on(Do::SteerQueues, Method::PUT, "/queues/{queue}/tenants/{tenant}", queues::weigh)
        .on(Do::SetLimits, Method::PUT, "/queues/{queue}/limit", limits::set_of_queue)
        .on(Do::SetLimits, Method::DELETE, "/queues/{queue}/limit", limits::remove_of_queue)
        .on(Do::ReadJobs, Method::GET, "/jobs", jobs::search)
        .on(Do::ReadJobs, Method::GET, "/jobs/{job}", jobs::one)
        .on(Do::CancelJobs, Method::POST, "/jobs/{job}/cancel", jobs::cancel)
        .on(Do::RescheduleJobs, Method::POST, "/jobs/{job}/reschedule", jobs::reschedule)
        .on(Do::ReadDeadLetters, Method::GET, "/dead-letters", dead::list)
        .on(Do::RedriveDeadLetters, Method::POST, "/dead-letters/redrive", dead::redrive)
        .on(Do::DiscardDeadLetters, Method::POST, "/dead-letters/discard", dead::discard)
        .on(Do::ReadLimits, Method::GET, "/limits", limits::list)
        .on(Do::SetLimits, Method::PUT, "/limits/{name}", limits::set)
        .on(Do::SetLimits, Method::DELETE, "/limits/{name}", limits::remove)
        .on(Do::SetLimits, Method::POST, "/limits/{name}/hold", limits::hold)
        .on(Do::ReadSchedules, Method::GET, "/schedules", schedules::list)
        .on(Do::EditSchedules, Method::PATCH, "/schedules/{queue}/{name}", schedules::edit)
        .on(Do::EditSchedules, Method::DELETE, "/schedules/{queue}/{name}", schedules::remove)
        .on(Do::EditSchedules, Method::POST, "/schedules/{queue}/{name}/pause", schedules::pause)
        .on(Do::EditSchedules, Method::POST, "/schedules/{queue}/{name}/resume", schedules::resume);
    routes.router().with_state(queues)
}

async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// What an operator may know: what was wrong with the request, and of everything else that it failed.
fn problem(error: Error) -> Problem {
    match error {
        Error::Refused { .. } | Error::Schedule { .. } => {
            Problem::unprocessable_content().with_detail(error.to_string())
        }
        other => other.into(),
    }
}
