use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{COOKIE, ORIGIN, UPGRADE};
use http::{HeaderName, Method, Request, Response};
use shared_core::Problem;
use tower_layer::Layer;
use tower_service::Service;

use crate::trail::Trail;
use crate::{AuditEvent, Guarded, Origin, Principal};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A tower layer that refuses requests which another site's page makes with the cookies of its visitor.
///
/// It looks at requests that bring cookies and either change something or open a WebSocket. They pass if the browser says that they come
/// from this origin or from the person (`sec-fetch-site`, Fetch Metadata), or if `origin` is one of those given. A request
/// with cookies and neither header is refused with 403: every browser of today sends one of them. `GET`, `HEAD`, `OPTIONS` and
/// `TRACE` pass, so they must not change anything; requests without cookies pass, since there is nothing to abuse.
///
/// No token in forms, nothing to store: what a page can't forge is what the browser itself writes.
#[derive(Clone, Debug)]
pub struct CsrfLayer {
    origins: Arc<[Origin]>,
    trail: Trail,
}

impl CsrfLayer {
    /// Beside pages of the service's own origin, pages of these may send requests with cookies. Give the own origin as well, for
    /// browsers without Fetch Metadata.
    pub fn new(origins: impl IntoIterator<Item = Origin>) -> Self {
        Self { origins: origins.into_iter().collect(), trail: Trail::default() }
    }

    /// Records in this log what was refused. A flood is summed from the hundredth of a second on.
    #[cfg(feature = "postgres")]
    pub fn with_audit(mut self, audit: crate::Audit) -> Self {
        self.trail = Trail::to(audit);
        self
    }

    fn passes<B>(&self, request: &Request<B>) -> bool {
        let headers = request.headers();
        let harmless =
            matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
                && !headers.contains_key(UPGRADE);
        if harmless || !headers.contains_key(COOKIE) {
            return true;
        }
        let only = |name: HeaderName| {
            let mut values = headers.get_all(name).iter();
            values.next().filter(|_| values.next().is_none())
        };
        let own = only(FETCH_SITE).is_some_and(|site| site == "same-origin" || site == "none");
        own || only(ORIGIN).is_some_and(|origin| self.origins.iter().any(|known| known.is(origin)))
    }
}

impl<S> Layer<S> for CsrfLayer {
    type Service = Csrf<S>;

    fn layer(&self, inner: S) -> Csrf<S> {
        Csrf { layer: self.clone(), inner }
    }
}

/// The service that [`CsrfLayer`] puts around another one.
#[derive(Clone, Debug)]
pub struct Csrf<S> {
    layer: CsrfLayer,
    inner: S,
}

impl<S, Req, Res> Service<Request<Req>> for Csrf<S>
where
    S: Service<Request<Req>, Response = Response<Res>>,
    Res: From<Bytes>,
{
    type Response = Response<Res>;
    type Error = S::Error;
    type Future = Guarded<S::Future, Res>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Req>) -> Self::Future {
        if self.layer.passes(&request) {
            return Guarded::passed(self.inner.call(request));
        }
        let event =
            AuditEvent::new("request.forged").denied().because("it comes from a page of another site");
        match request.extensions().get::<Principal>() {
            Some(principal) => {
                let trail = self.layer.trail.left_from(principal.trail().address());
                trail.record_of_anybody(event.of(principal.context()));
            }
            None => self.layer.trail.record_of_anybody(event),
        }
        Guarded::refused(&Problem::forbidden().with_detail("this request comes from a page of another site"))
    }
}
