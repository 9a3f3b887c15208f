//! What stands before the routes: limits, tokens, tenants, and the record of what was refused.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Extensions, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use shared_service::prelude::*;
use shared_service::security::{
    Audit, AuditEvent, BearerLayer, By, ClientAddress, Cors, CorsLayer, ForwardedBy, Limit, LimitLayer,
    Limiter, OnOutage, PostgresLimits, Rule, TenantsLayer,
};
use tower::{Layer, ServiceExt, service_fn};

use crate::app::App;
use crate::permissions::MATRIX;

/// The layers around the routes. Routes are listed before anything is opened, so it is made empty and filled at the start.
#[derive(Clone, Default)]
pub(crate) struct Guard(Arc<OnceLock<Layers>>);

struct Layers {
    cors: CorsLayer,
    bearer: BearerLayer,
    tenants: TenantsLayer,
    attempts: LimitLayer<PostgresLimits>,
    address: ClientAddress,
    audit: Audit,
}

impl Guard {
    /// Fills it.
    pub(crate) fn open(&self, app: &App) -> Result<(), Failure> {
        let tokens = &app.settings.tokens;
        let address = address(tokens.proxies);
        let layers = Layers {
            cors: Cors::from_origins(tokens.origins.iter().cloned())
                .methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
                .headers([AUTHORIZATION, CONTENT_TYPE])
                .layer(),
            bearer: BearerLayer::new(app.verifier.clone(), &MATRIX),
            tenants: app.tenants.layer(),
            attempts: attempts(app)?,
            address,
            audit: app.audit.clone(),
        };
        self.0.set(layers).map_err(|_| Failure::dead("the service was opened twice"))
    }

    /// Routes that ask for credentials: limited by address, before anything is computed for them.
    pub(crate) fn credentials(&self, routes: Router<App>) -> Router<App> {
        let guard = self.clone();
        routes.layer(from_fn(move |request: Request, next: Next| {
            let guard = guard.clone();
            async move {
                let Some(layers) = guard.0.get() else { return not_open() };
                let refused = layers.denial(&request);
                let Ok(response) = layers.cors.layer(layers.attempts.layer(next)).oneshot(request).await;
                if response.status() == StatusCode::TOO_MANY_REQUESTS {
                    layers.audit.record(refused.because("over a limit"));
                }
                response
            }
        }))
    }

    /// Routes for those who bring a token: it is verified, and its tenant and roles are looked at as they are now.
    pub(crate) fn tokens(&self, routes: Router<App>) -> Router<App> {
        let guard = self.clone();
        routes.layer(from_fn(move |request: Request, next: Next| {
            let guard = guard.clone();
            async move {
                let Some(layers) = guard.0.get() else { return not_open() };
                let refused = layers.denial(&request);
                let admitted =
                    layers.tenants.layer(service_fn(move |request| witnessed(request, next.clone())));
                let guarded = layers.cors.layer(layers.bearer.layer(admitted));
                let Ok(response) = guarded.oneshot(request).await;
                layers.record(refused, &response);
                response
            }
        }))
    }
}

/// Whose address a request comes from.
pub(crate) fn address(proxies: u8) -> ClientAddress {
    ClientAddress::behind(usize::from(proxies), ForwardedBy::XForwardedFor)
}

/// The address of the connection.
pub(crate) fn peer(of: &Extensions) -> Option<SocketAddr> {
    of.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0)
}

/// In the database, for all instances: credentials are asked for seldom enough. Without its answer nobody could log in anyway.
fn attempts(app: &App) -> Result<LimitLayer<PostgresLimits>, Failure> {
    let attempts = u64::from(app.settings.tokens.attempts);
    let rules = [
        Rule::new("address", &[By::Address], Limit::per_minute(attempts)),
        Rule::new("network", &[By::Network { v4: 24, v6: 48 }], Limit::per_minute(10 * attempts)),
    ];
    let limiter = Limiter::new(PostgresLimits::new(app.db.clone(), OnOutage::Refuse), rules)?;
    Ok(LimitLayer::new(limiter).address(address(app.settings.tokens.proxies), peer))
}

/// Who made a request that was answered, for the record.
#[derive(Clone)]
struct Who(Principal);

/// Calls the handler, and leaves a note of who asked.
async fn witnessed(request: Request, next: Next) -> Result<Response, Infallible> {
    let who = request.extensions().get::<Principal>().cloned();
    let mut response = next.run(request).await;
    if let Some(who) = who {
        response.extensions_mut().insert(Who(who));
    }
    Ok(response)
}

impl Layers {
    /// A refusal of this request, if it should come to one.
    fn denial(&self, request: &Request) -> AuditEvent {
        let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let event = AuditEvent::new("request.denied")
            .denied()
            .target("route", format!("{} {route}", request.method()));
        match peer(request.extensions()) {
            Some(peer) => event.from_address(self.address.find(peer.ip(), request.headers())),
            None => event,
        }
    }

    fn record(&self, mut refused: AuditEvent, response: &Response) {
        let why = match response.status() {
            StatusCode::UNAUTHORIZED => "without a valid token",
            StatusCode::FORBIDDEN => "without the permission, or of a suspended tenant",
            StatusCode::TOO_MANY_REQUESTS => "over a limit",
            _ => return,
        };
        if let Some(Who(who)) = response.extensions().get() {
            refused = refused.tenant(who.tenant()).actor(who.context().actor());
        }
        self.audit.record(refused.because(why));
    }
}

fn not_open() -> Response {
    Problem::unavailable().into_response()
}
