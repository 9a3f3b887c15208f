//! Operators, who see and steer something over all tenants: who they are, and what is remembered of what they change.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::StatusCode;
use http::request::Parts;
use shared_core::Problem;
use shared_core::admin::Said;
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
    let (change, said) = (Change::default(), Said::default());
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().map(str::to_owned));
    request.extensions_mut().insert(change.clone());
    request.extensions_mut().insert(said.clone());
    let mut record = Record { event, principal, path, query, said, change, answered: None };
    let response = next.run(request).await;
    record.answered = Some(response.status());
    response
}

/// Recorded when it is dropped, so that a change is remembered whose caller did not wait for the answer.
struct Record {
    event: &'static str,
    principal: Principal,
    path: String,
    /// The key of a limit is there.
    query: Option<String>,
    /// Which tenant, which letters: without it one looks like all.
    said: Said,
    change: Change,
    answered: Option<StatusCode>,
}

/// What ends with an error of the server, or before its answer, has come to an unknown point: work in steps has done those before.
const IN_DOUBT: &str = "it may have been done, or a part of it";

impl Drop for Record {
    fn drop(&mut self) {
        let Some(action) = self.change.0.get() else { return };
        let event = AuditEvent::new(self.event).target("action", action);
        let parts = [
            ("path", Some(self.path.as_str())),
            ("query", self.query.as_deref()),
            ("body", self.said.body()),
        ];
        let parts = parts.into_iter().filter_map(|(name, part)| Some((name, part?)));
        let event = parts.fold(event, |event, (name, part)| event.detail(name, part));
        let status = self.answered.map(|status| u32::from(status.as_u16()));
        let event = match status {
            Some(200..300) => event,
            Some(status) => event.failed().detail("status", status),
            None => event.failed(),
        };
        let in_doubt = self.answered.is_none_or(|status| status.is_server_error());
        self.principal.record(if in_doubt { event.because(IN_DOUBT) } else { event });
    }
}
