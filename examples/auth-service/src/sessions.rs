//! The caller's sessions: seen, ended one by one, or all at once.

use std::net::IpAddr;

use axum::http::StatusCode;
use shared_service::core::AssumedTenant;
use shared_service::prelude::*;
use shared_service::security::{Session, SessionId};

use crate::app::App;
use crate::caller::Caller;

/// A session as its user sees it.
#[derive(Debug, Serialize)]
pub(crate) struct SessionView {
    id: SessionId,
    /// Whether it is the one that asks.
    current: bool,
    methods: Vec<String>,
    user_agent: String,
    address: Option<IpAddr>,
    #[serde(with = "time::serde::rfc3339")]
    opened_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    refreshed_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

/// A list.
#[derive(Debug, Serialize)]
pub(crate) struct Items<T> {
    pub(crate) items: Vec<T>,
}

/// How many sessions were ended.
#[derive(Debug, Serialize)]
pub(crate) struct Ended {
    pub(crate) ended: usize,
}

/// Everybody may deal with what is their own, without a permission.
pub(crate) fn own(principal: &Principal) -> AssumedTenant {
    AssumedTenant::continuing(principal.context().clone(), "everybody may deal with their own account")
}

pub(crate) async fn list(
    principal: Principal,
    State(app): State<App>,
) -> Result<Json<Items<SessionView>>, Problem> {
    let sessions = app.sessions.list(&own(&principal), principal.subject()).await?;
    let view = |session: Session| SessionView {
        id: session.id,
        current: principal.session() == Some(session.id),
        methods: session.methods,
        user_agent: session.user_agent,
        address: session.address,
        opened_at: session.opened_at,
        refreshed_at: session.refreshed_at,
        expires_at: session.expires_at.min(session.idle_until),
    };
    Ok(Json(Items { items: sessions.into_iter().map(view).collect() }))
}

pub(crate) async fn logout(
    principal: Principal,
    State(app): State<App>,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    let session = principal.session().ok_or_else(Problem::not_found)?;
    end_one(&app, &principal, &caller, session).await
}

pub(crate) async fn end(
    principal: Principal,
    State(app): State<App>,
    caller: Caller,
    Path(session): Path<SessionId>,
) -> Result<StatusCode, Problem> {
    end_one(&app, &principal, &caller, session).await
}

/// Another user's session is not there.
async fn end_one(
    app: &App,
    principal: &Principal,
    caller: &Caller,
    session: SessionId,
) -> Result<StatusCode, Problem> {
    let own = own(principal);
    match app.sessions.seen_from(caller.address).end(&own, principal.subject(), session).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found()),
    }
}

/// Log-out everywhere.
pub(crate) async fn end_all(
    principal: Principal,
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<Ended>, Problem> {
    let own = own(&principal);
    let ended = app.sessions.seen_from(caller.address).end_all(&own, principal.subject(), None).await?;
    Ok(Json(Ended { ended }))
}
