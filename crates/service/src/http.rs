//! What surrounds the routes of every service.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use shared_core::Problem;
use shared_security::headers::{SecurityHeaders, SecurityHeadersLayer};
use shared_security::{BearerLayer, Matrix, Verifier};
use shared_telemetry::{HttpLayer, Metrics};
use tower_http::catch_panic::CatchPanicLayer;

use crate::Config;

/// From the outside to the inside: span and correlation id, security headers, panics, time-out, token, body limit, route.
pub(crate) fn layered(
    routes: Router,
    config: &Config,
    metrics: &Metrics,
    headers: SecurityHeaders,
    verifier: Option<(Verifier, &'static Matrix)>,
) -> Router {
    let mut router = routes
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(DefaultBodyLimit::max(config.body_limit as usize));
    if let Some((verifier, matrix)) = verifier {
        router = router.layer(BearerLayer::new(verifier, matrix));
    }
    let limit = config.request_timeout;
    router
        .layer(from_fn(move |request: Request, next: Next| in_time(limit, request, next)))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(SecurityHeadersLayer::new(headers))
        .layer(
            HttpLayer::new(metrics)
                .route(|parts| parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str)),
        )
}

async fn in_time(limit: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            tracing::warn!(?limit, "a handler took too long and was dropped");
            Problem::unavailable().with_detail("the request took too long").into_response()
        }
    }
}

/// The payload of a panic may quote data, so it is the panic hook's to print, and nobody else's.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    Problem::internal().into_response()
}
