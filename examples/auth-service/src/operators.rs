//! What the operators of the platform do in other tenants: each time for a reason, and in the log of the tenant that it is done to.

use axum::http::StatusCode;
use shared_service::prelude::*;

use crate::account::Account;
use crate::app::App;
use crate::permissions::{Impersonate, SuspendTenants};
use crate::tokens::{CLIENT, expires_in};

/// Why.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    #[validate(length(min = 1, max = 1000))]
    reason: String,
}

/// Whose tenant it is, and why.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Impersonation {
    tenant: TenantId,
    #[validate(length(min = 1, max = 1000))]
    reason: String,
}

/// A token that says who acts for whom. It can't be refreshed.
#[derive(Debug, Serialize)]
pub(crate) struct ActingToken {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
}

pub(crate) async fn impersonate(
    may: May<Impersonate>,
    State(app): State<App>,
    Path(user): Path<Id<Account>>,
    Valid(Json(asked)): Valid<Json<Impersonation>>,
) -> Result<Json<ActingToken>, Problem> {
    let scope = may.in_tenant(asked.tenant, &asked.reason)?;
    app.db.tenant(&scope).opt(&crate::account::BY_ID, (user,)).await?.ok_or_else(Problem::not_found)?;
    let grant = app.tenants.impersonate(&scope, &user.to_string()).await?.with_client(CLIENT);
    let token = app.issue(&grant).await?;
    let access_token = token.expose().to_owned();
    Ok(Json(ActingToken { access_token, token_type: "Bearer", expires_in: expires_in(&token) }))
}

pub(crate) async fn suspend(
    may: May<SuspendTenants>,
    State(app): State<App>,
    Path(tenant): Path<TenantId>,
    Valid(Json(asked)): Valid<Json<Reason>>,
) -> Result<StatusCode, Problem> {
    let scope = may.in_tenant(tenant, &asked.reason)?;
    app.tenants.suspend(&scope).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn reactivate(
    may: May<SuspendTenants>,
    State(app): State<App>,
    Path(tenant): Path<TenantId>,
) -> Result<StatusCode, Problem> {
    let scope = may.in_tenant(tenant, "its suspension is over")?;
    app.tenants.reactivate(&scope).await?;
    Ok(StatusCode::NO_CONTENT)
}
