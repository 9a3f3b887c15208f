use std::time::Duration;

use http::{HeaderName, Method};
use tower_http::cors::{AllowOrigin, Any};
use tower_layer::Layer;

use crate::Origin;
use crate::headers::Embedders;

/// 10 minutes: what a browser may take for granted after it has asked; Chromium keeps it for 2 hours at most.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Which pages of other origins may call this service (the CORS protocol of the Fetch standard).
///
/// Origins are compared whole: none is reflected, `null` is never among them, and there is no pattern. A wildcard can't have
/// credentials, since [`Cors::public`] takes none:
///
/// ```
/// # fn main() -> Result<(), shared_security::Error> {
/// use http::{Method, header::CONTENT_TYPE};
/// use shared_security::Cors;
///
/// let pages = Cors::from_origins(["https://app.example".parse()?])
///     .methods([Method::GET, Method::POST])
///     .headers([CONTENT_TYPE])
///     .with_credentials()
///     .layer();
/// let everybody = Cors::public();
/// # let _ = (pages, everybody);
/// # Ok(())
/// # }
/// ```
///
/// ```compile_fail,E0599
/// let everybody = shared_security::Cors::public().with_credentials();
/// ```
#[derive(Clone, Debug)]
pub struct Cors {
    origins: AllowOrigin,
    methods: Vec<Method>,
    headers: Vec<HeaderName>,
    exposed: Vec<HeaderName>,
    credentials: bool,
    max_age: Duration,
}

impl Cors {
    /// Pages of these origins; `GET` and `HEAD` unless said otherwise.
    pub fn from_origins(origins: impl IntoIterator<Item = Origin>) -> Self {
        let origins: Vec<Origin> = origins.into_iter().collect();
        Self::new(AllowOrigin::predicate(move |origin, _| origins.iter().any(|known| known.is(origin))))
    }

    /// Pages of the origins that are looked up for each request: a widget's tenant has its own list.
    pub fn per_request(embedders: Embedders) -> Self {
        Self::new(AllowOrigin::async_predicate(move |origin, request| {
            let lookup = embedders.of(request);
            async move { lookup.await.iter().any(|known| known.is(&origin)) }
        }))
    }

    /// Every page, without cookies or other credentials: for public documents such as a key set.
    pub fn public() -> CorsLayer {
        let layer = tower_http::cors::CorsLayer::new();
        CorsLayer(layer.allow_origin(Any).allow_methods([Method::GET, Method::HEAD]).max_age(MAX_AGE))
    }

    fn new(origins: AllowOrigin) -> Self {
        Self {
            origins,
            methods: vec![Method::GET, Method::HEAD],
            headers: Vec::new(),
            exposed: Vec::new(),
            credentials: false,
            max_age: MAX_AGE,
        }
    }

    /// The methods that pages may use.
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = methods.into_iter().collect();
        self
    }

    /// The request headers that pages may send, beside the harmless ones.
    pub fn headers(mut self, headers: impl IntoIterator<Item = HeaderName>) -> Self {
        self.headers = headers.into_iter().collect();
        self
    }

    /// The response headers that pages may read, beside the harmless ones.
    pub fn exposed(mut self, headers: impl IntoIterator<Item = HeaderName>) -> Self {
        self.exposed = headers.into_iter().collect();
        self
    }

    /// How long a browser may remember the answer; 10 minutes unless said otherwise.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Pages may send cookies. State-changing routes need a [`CsrfLayer`](crate::CsrfLayer) then.
    pub fn with_credentials(mut self) -> Self {
        self.credentials = true;
        self
    }

    /// The layer. Put it outside of what refuses requests without a token: a preflight has none.
    pub fn layer(self) -> CorsLayer {
        CorsLayer(
            tower_http::cors::CorsLayer::new()
                .allow_origin(self.origins)
                .allow_methods(self.methods)
                .allow_headers(self.headers)
                .expose_headers(self.exposed)
                .allow_credentials(self.credentials)
                .max_age(self.max_age),
        )
    }
}

/// A tower layer that answers preflights and marks answers as [`Cors`] says.
#[derive(Clone, Debug)]
pub struct CorsLayer(tower_http::cors::CorsLayer);

impl<S> Layer<S> for CorsLayer {
    type Service = tower_http::cors::Cors<S>;

    fn layer(&self, inner: S) -> Self::Service {
        self.0.layer(inner)
    }
}
