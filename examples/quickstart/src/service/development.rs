//! For the search page on the developer's own machine: who the tenants are, and a token to read as one of them.
//!
//! Whoever reaches these routes may read everything, so there are three locks. Without all of them, the answer is the 404
//! of a route that does not exist: the profile is `development`; the service listens on a loopback address; and the
//! request names a loopback host, so that no page of another site gets here by a name that it points to 127.0.0.1.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::{header, request::Parts};
use shared_service::config_loader::Profile;
use shared_service::core::AssumedTenant;
use shared_service::prelude::*;
use shared_service::security::Grant;

use super::{App, ReadDocuments, Settings, directory, status};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/development/tenants", get(tenants))
        .route("/development/tenants/{id}/token", get(token))
}

/// A tenant, for the page.
#[derive(Serialize)]
struct Listed {
    id: TenantId,
    name: String,
    documents: i64,
    chunks: i64,
}

#[derive(Serialize)]
struct IssuedToken {
    token: String,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

/// The largest first.
async fn tenants(_: OnlyHere, State(db): State<Db>) -> Result<Json<Vec<Listed>>, Problem> {
    let mut listed = Vec::new();
    for (id, name) in directory::tenants(&db).await? {
        let tenant = AssumedTenant::new(id, "the page of the developer's own machine lists the tenants");
        let found = status::of(&db, &tenant).await?.status;
        listed.push(Listed { id, name, documents: found.documents, chunks: found.chunks });
    }
    listed.sort_by_key(|tenant| std::cmp::Reverse(tenant.chunks));
    Ok(Json(listed))
}

async fn token(
    _: OnlyHere,
    State(db): State<Db>,
    State(settings): State<Arc<Settings>>,
    Path(tenant): Path<TenantId>,
) -> Result<Json<IssuedToken>, Problem> {
    let name = directory::name(&db, tenant).await?.ok_or_else(Problem::not_found)?;
    let grant = Grant::new(tenant, format!("reader of {name}")).with_permissions(ReadDocuments);
    let issued = settings.security.issuer().and_then(|issuer| issuer.issue(&grant));
    let token = issued.map_err(|error| {
        tracing::error!(%error, "no token could be issued");
        Problem::internal()
    })?;
    Ok(Json(IssuedToken { token: token.expose().to_owned(), expires_at: token.expires_at() }))
}

/// The request comes from the developer's own machine.
struct OnlyHere;

impl FromRequestParts<App> for OnlyHere {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let service = &app.settings.service;
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let here =
            service.profile == Profile::Development && service.listen.ip().is_loopback() && is_loopback(host);
        here.then_some(OnlyHere).ok_or_else(Problem::not_found)
    }
}

/// Whether a `Host` header names this machine by itself.
fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    matches!(name.map_or(host, |(name, _)| name), "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for here in ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]", "[::1]:8080"] {
            assert!(is_loopback(here), "{here}");
        }
        for elsewhere in
            ["", "example.com", "localhost.example.com:80", "127.0.0.1.nip.io", "10.0.0.1:8080", "[::2]"]
        {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
    }
}
