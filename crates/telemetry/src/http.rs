//! HTTP servers: one span, one correlation id and one measurement per request.

mod future;
mod instruments;
mod request;

use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;
use tracing::Instrument;

use crate::Metrics;
pub use future::ResponseFuture;
use instruments::Instruments;
use request::Observed;

type Route = Arc<dyn for<'a> Fn(&'a Parts) -> Option<&'a str> + Send + Sync>;

/// The outermost layer of a server: opens the request's span, continues the caller's trace, gives the request its
/// [`CorrelationId`](shared_core::CorrelationId) (an extension of the request, and a header of the response), and
/// measures.
///
/// ```
/// # use axum::{Router, extract::MatchedPath, routing::get};
/// # fn app(telemetry: &shared_telemetry::Telemetry) -> Router {
/// use shared_telemetry::HttpLayer;
///
/// Router::new().route("/notes/{id}", get(async || "a note")).layer(
///     HttpLayer::new(&telemetry.metrics()).route(|parts| parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str)),
/// )
/// # }
/// ```
///
/// # Which layer sees the route
/// A router learns the route when it routes. `Router::layer` of axum runs after that, for requests that match no
/// route too; a layer wrapped around the whole router from outside runs before it, and finds none. Without a route the
/// span is named with the method alone: a path names nothing, because there are as many as clients care to invent.
///
/// # What is measured
/// The time until the head of the response is there; a body that streams on after it is not part of it. A request
/// whose future is dropped before, because its client went away, is measured with `error.type = "cancelled"`.
#[derive(Clone)]
pub struct HttpLayer {
    instruments: Arc<Instruments>,
    route: Route,
}

impl HttpLayer {
    /// A layer that knows no routes.
    pub fn new(metrics: &Metrics) -> Self {
        Self { instruments: Arc::new(Instruments::new(metrics.meter())), route: Arc::new(|_| None) }
    }

    /// Learns the matched route, such as `/notes/{id}`, from the head of a request.
    #[must_use]
    pub fn route<F>(mut self, route: F) -> Self
    where
        F: for<'a> Fn(&'a Parts) -> Option<&'a str> + Send + Sync + 'static,
    {
        self.route = Arc::new(route);
        self
    }
}

impl<S> Layer<S> for HttpLayer {
    type Service = HttpService<S>;

    fn layer(&self, inner: S) -> HttpService<S> {
        HttpService { inner, layer: self.clone() }
    }
}

/// What [`HttpLayer`] makes of a service.
#[derive(Clone)]
pub struct HttpService<S> {
    inner: S,
    layer: HttpLayer,
}

impl<S, B, R> Service<Request<B>> for HttpService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let observed = Observed::begin(&mut parts, &*self.layer.route, Arc::clone(&self.layer.instruments));
        let span = observed.span().clone();
        let inner = span.in_scope(|| self.inner.call(Request::from_parts(parts, body)));
        ResponseFuture::new(inner.instrument(span), observed)
    }
}
