//! What surrounds the routes of every service.

use std::any::Any;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http::Extensions;
use shared_core::{Failure, Problem};
use shared_security::headers::{SecurityHeaders, SecurityHeadersLayer};
use shared_security::{
    Audit, BearerLayer, ClientAddress, CorsLayer, LimitLayer, LimitStore, Limiter, Matrix, Tenants, Verifier,
};
use shared_telemetry::{HttpLayer, Metrics};
use tower_http::catch_panic::CatchPanicLayer;

use crate::Config;

/// What a service has around its routes beside what every service has.
pub(crate) struct Around {
    /// Routes that nobody has to be known for.
    pub(crate) public: Router,
    pub(crate) limits: Vec<Limits>,
    pub(crate) verifier: Option<(Verifier, &'static Matrix)>,
    pub(crate) audit: Option<Audit>,
    pub(crate) address: ClientAddress,
    pub(crate) tenants: Option<Tenants>,
    pub(crate) cors: Option<CorsLayer>,
    pub(crate) headers: SecurityHeaders,
}

/// A layer of limits, whatever its store.
pub(crate) struct Limits {
    needs_principal: bool,
    around: Box<dyn FnOnce(Router) -> Router + Send>,
}

impl Limits {
    pub(crate) fn new<L: LimitStore>(
        limiter: Limiter<L>,
        address: ClientAddress,
        audit: Option<Audit>,
    ) -> Self {
        let needs_principal = limiter.needs_principal();
        let layer = LimitLayer::new(limiter)
            .address(address, peer)
            .route(|of| of.get::<MatchedPath>().map(MatchedPath::as_str));
        let layer = match audit {
            Some(audit) => layer.with_audit(audit),
            None => layer,
        };
        Self { needs_principal, around: Box::new(|router| router.layer(layer)) }
    }

    /// Refuses those that count by who was verified.
    pub(crate) fn of_anybody(self) -> Result<Self, Failure> {
        match self.needs_principal {
            true => Err(Failure::dead("public routes are limited by tenant or principal, and have neither")),
            false => Ok(self),
        }
    }

    /// Puts them around these routes.
    pub(crate) fn around(self, routes: Router) -> Router {
        (self.around)(routes)
    }
}

/// The address of the connection.
fn peer(of: &Extensions) -> Option<SocketAddr> {
    of.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0)
}

/// From the outside to the inside: span and correlation id, security headers, CORS, panics, time-out, limits by address, token,
/// tenant, limits by principal, body limit, route. Public routes have neither token nor tenant.
pub(crate) fn layered(routes: Router, config: &Config, metrics: &Metrics, around: Around) -> Router {
    let Around { public, limits, verifier, audit, address, tenants, cors, headers } = around;
    let (inner, outer): (Vec<_>, Vec<_>) = limits.into_iter().partition(|limits| limits.needs_principal);
    let mut router = routes
        .fallback(async || Problem::not_found())
        .layer(DefaultBodyLimit::max(config.body_limit as usize));
    router = inner.into_iter().fold(router, |router, limits| limits.around(router));
    if let Some(tenants) = tenants {
        router = router.layer(tenants.layer());
    }
    if let Some((verifier, matrix)) = verifier {
        let layer = BearerLayer::new(verifier, matrix);
        router = router.layer(match audit {
            Some(audit) => layer.with_audit(audit).address(address, peer),
            None => layer,
        });
    }
    router = router
        .merge(public.layer(DefaultBodyLimit::max(config.body_limit as usize)))
        .method_not_allowed_fallback(async || Problem::method_not_allowed());
    router = outer.into_iter().fold(router, |router, limits| limits.around(router));
    let limit = config.request_timeout;
    router = router
        .layer(from_fn(move |request: Request, next: Next| in_time(limit, request, next)))
        .layer(CatchPanicLayer::custom(panicked));
    if let Some(cors) = cors {
        router = router.layer(cors);
    }
    router.layer(SecurityHeadersLayer::new(headers)).layer(
        HttpLayer::new(metrics).route(|parts| parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str)),
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
