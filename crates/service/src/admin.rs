//! Probes and metrics, on a port of their own.

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use shared_core::Problem;
use shared_telemetry::{Health, Metrics, Probe};

pub(crate) fn routes(health: Health, metrics: Metrics) -> Router {
    let (live, ready) = (health.clone(), health.clone());
    Router::new()
        .route("/live", get(async move || probe(live.live())))
        .route("/ready", get(async move || probe(ready.ready())))
        .route("/health", get(async move || probe(health.report())))
        .route("/metrics", get(async move || exposition(&metrics)))
        .fallback(async || Problem::not_found())
}

fn probe(probe: Probe) -> Response {
    let mut response = Response::new(Body::from(probe.body.to_string()));
    *response.status_mut() =
        http::StatusCode::from_u16(probe.status).unwrap_or(http::StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

fn exposition(metrics: &Metrics) -> Response {
    match metrics.render() {
        Ok(exposition) => ([(CONTENT_TYPE, exposition.content_type)], exposition.text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics can't be rendered");
            Problem::internal().into_response()
        }
    }
}
