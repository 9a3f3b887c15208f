//! Paths and headers that name a tenant, in front of every handler.

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequestParts, RawPathParams};
use http::HeaderName;
use http::request::Parts;
use shared_core::Problem;

use super::ClaimedTenant;
use crate::Principal;

/// The header in which clients name the tenant that they mean.
const HEADER: HeaderName = HeaderName::from_static("x-tenant-id");
/// The parameter of a path that names a tenant.
const PARAMETER: &str = "tenant";

/// Refuses requests that name another tenant than their token: in the path's parameter `{tenant}` or in the header
/// `x-tenant-id`, each time that either comes. Nobody takes the tenant from there; it is the token's.
///
/// As an argument of a handler, or in front of all routes:
///
/// ```
/// # use axum::{Router, middleware::from_extractor, routing::get};
/// # use shared_security::SameTenant;
/// let routes: Router = Router::new()
///     .route("/tenants/{tenant}/notes", get(async || "notes"))
///     .route_layer(from_extractor::<SameTenant>());
/// ```
///
/// A request of another tenant's gets a 404, one without a token a 401.
#[derive(Clone, Copy, Debug)]
pub struct SameTenant;

impl<S: Sync> FromRequestParts<S> for SameTenant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let principal = Principal::from_request_parts(parts, state).await?;
        let confirm = |said: &[u8]| ClaimedTenant::new(said).confirm(&principal);
        parts.headers.get_all(HEADER).iter().try_for_each(|said| confirm(said.as_bytes()))?;
        // Of the state nothing is asked.
        match RawPathParams::from_request_parts(parts, &()).await {
            Ok(parameters) => {
                let mut named = parameters.iter().filter(|(name, _)| *name == PARAMETER);
                named.try_for_each(|(_, said)| confirm(said.as_bytes()))?;
            }
            Err(RawPathParamsRejection::InvalidUtf8InPathParam(_)) => return Err(Problem::not_found()),
            Err(_) => {
                tracing::error!("no route has been chosen where `SameTenant` looks; use `route_layer`");
                return Err(Problem::internal());
            }
        }
        Ok(Self)
    }
}
