//! Operators, who see and steer something over all tenants: who they are, and what is remembered of what they change.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::StatusCode;
use http::request::Parts;
use shared_core::Problem;
use shared_security::{AuditEvent, Principal, SystemPermission};

/// Whether a principal has a permission.
type Check = fn(&Principal) -> Result<(), Problem>;

/// Where operators come to, and what they need.
#[derive(Clone, Copy)]
pub(crate) struct Desk {
    path: &'static str,
    read: Check,
    change: Check,
}

impl Desk {
    /// `R` to see, `W` to change.
    pub(crate) fn of<R: SystemPermission, W: SystemPermission>(path: &'static str) -> Self {
        Self { path, read: holds::<R>, change: holds::<W> }
    }

    /// Whether whoever asks may do that. If it changes something, it is what is going to be remembered.
    pub(crate) fn allow(self, parts: &Parts, action: &'static str, is_read: bool) -> Result<(), Problem> {
        let principal = parts.extensions.get::<Principal>().ok_or_else(Problem::unauthorized)?;
        if is_read {
            return (self.read)(principal);
        }
        (self.change)(principal)?;
        if let Some(Change(change)) = parts.extensions.get() {
            // Each request is one action.
            let _ = change.set(action);
        }
        Ok(())
    }

    /// These routes below its path; what they change is recorded as `event`.
    pub(crate) fn routes<S: Clone + Send + Sync + 'static>(
        self,
        routes: Router<S>,
        event: &'static str,
    ) -> Router<S> {
        let recorded = from_fn(move |request: Request, next: Next| recorded(event, request, next));
        Router::new().nest(self.path, routes).layer(recorded)
    }
}

fn holds<P: SystemPermission>(principal: &Principal) -> Result<(), Problem> {
    principal.require::<P>().map(drop)
}

/// The change that was allowed, if one was.
#[derive(Clone, Default)]
struct Change(Arc<OnceLock<&'static str>>);

async fn recorded(event: &'static str, mut request: Request, next: Next) -> Response {
    let Some(principal) = request.extensions().get::<Principal>().cloned() else {
        return next.run(request).await;
    };
    let change = Change::default();
    request.extensions_mut().insert(change.clone());
    let path = request.uri().path().to_owned();
    let mut record = Record { event, principal, path, change, answered: None };
    let response = next.run(request).await;
    record.answered = Some(response.status());
    response
}

/// Recorded when it is dropped, so that a change is remembered whose caller did not wait for the answer.
struct Record {
    event: &'static str,
    principal: Principal,
    path: String,
    change: Change,
    answered: Option<StatusCode>,
}

impl Drop for Record {
    fn drop(&mut self) {
        let Some(action) = self.change.0.get() else { return };
        let event = AuditEvent::new(self.event).target("action", action).detail("path", self.path.as_str());
        self.principal.record(match self.answered {
            Some(status) if status.is_success() => event,
            Some(status) => event.failed().detail("status", u32::from(status.as_u16())),
            None => event.failed().because("nobody waited for the answer; it may have been done"),
        });
    }
}
