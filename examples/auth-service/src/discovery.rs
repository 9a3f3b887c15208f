//! Public documents: the keys, where they are, and what this service offers.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use shared_service::prelude::*;

use crate::app::App;

pub(crate) async fn jwks(State(app): State<App>, request: Request) -> Response {
    app.jwks.respond::<_, Body>(&request)
}

/// As much of OpenID Connect Discovery 1.0 as this service has: who issues, and by which keys.
#[derive(Debug, Serialize)]
pub(crate) struct Configuration {
    issuer: String,
    jwks_uri: String,
    token_endpoint: String,
    introspection_endpoint: String,
    grant_types_supported: [&'static str; 2],
    id_token_signing_alg_values_supported: [&'static str; 1],
    response_types_supported: [&'static str; 1],
    subject_types_supported: [&'static str; 1],
}

pub(crate) async fn configuration(State(app): State<App>) -> Json<Configuration> {
    let issuer = app.settings.tokens.issuer.trim_end_matches('/').to_owned();
    Json(Configuration {
        jwks_uri: format!("{issuer}/.well-known/jwks.json"),
        token_endpoint: format!("{issuer}/api/auth/token"),
        introspection_endpoint: format!("{issuer}/api/auth/verify"),
        grant_types_supported: ["client_credentials", "refresh_token"],
        id_token_signing_alg_values_supported: [app.settings.keys.ring.algorithm.name()],
        response_types_supported: ["none"],
        subject_types_supported: ["public"],
        issuer: app.settings.tokens.issuer.clone(),
    })
}

pub(crate) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], crate::OPENAPI).into_response()
}
