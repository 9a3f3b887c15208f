use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::{CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::csp::Written;
use super::embedders::Lookup;
use super::{Csp, Directive, Nonce, SecurityHeaders, Source};
use crate::Origin;

const POWERED_BY: HeaderName = HeaderName::from_static("x-powered-by");
const REPORTING: HeaderName = HeaderName::from_static("reporting-endpoints");

/// A tower layer that adds [`SecurityHeaders`] to every response, refusals included. Put it outside of what refuses.
#[derive(Clone, Debug)]
pub struct SecurityHeadersLayer(Arc<Prepared>);

#[derive(Debug)]
struct Prepared {
    headers: SecurityHeaders,
    policy: Option<Written>,
    report_only: Option<Written>,
    reporting: Option<HeaderValue>,
    needs_nonce: bool,
}

impl SecurityHeadersLayer {
    /// Adds these.
    pub fn new(headers: SecurityHeaders) -> Self {
        let policies = || headers.policy.iter().chain(&headers.report_only);
        Self(Arc::new(Prepared {
            policy: headers.policy.as_ref().map(Written::of),
            report_only: headers.report_only.as_ref().map(Written::of),
            reporting: policies().find_map(Csp::reporting_endpoints),
            needs_nonce: policies().any(Csp::needs_nonce),
            headers,
        }))
    }
}

impl Prepared {
    /// Nothing that a handler has set is replaced.
    fn add_to(&self, response: &mut HeaderMap, nonce: Option<&Nonce>, ancestors: Option<&[Origin]>) {
        response.remove(POWERED_BY);
        for (name, value) in &self.headers.fixed {
            response.entry(name).or_insert_with(|| value.clone());
        }
        if let Some(value) = self.policy(nonce, ancestors) {
            response.entry(CONTENT_SECURITY_POLICY).or_insert(value);
        }
        if let Some(policy) = &self.report_only {
            response.entry(CONTENT_SECURITY_POLICY_REPORT_ONLY).or_insert_with(|| policy.value(nonce));
        }
        if let Some(value) = &self.reporting {
            response.entry(REPORTING).or_insert_with(|| value.clone());
        }
    }

    fn policy(&self, nonce: Option<&Nonce>, ancestors: Option<&[Origin]>) -> Option<HeaderValue> {
        match (&self.headers.policy, ancestors) {
            (Some(policy), Some(origins)) => {
                let sources = origins.iter().cloned().map(Source::Origin);
                let policy = policy.clone().with(Directive::FrameAncestors, sources).ok()?;
                Some(Written::of(&policy).value(nonce))
            }
            _ => Some(self.policy.as_ref()?.value(nonce)),
        }
    }
}

impl<S> Layer<S> for SecurityHeadersLayer {
    type Service = SecurityHeadersService<S>;

    fn layer(&self, inner: S) -> SecurityHeadersService<S> {
        SecurityHeadersService { prepared: self.0.clone(), inner }
    }
}

/// The service that [`SecurityHeadersLayer`] puts around another one.
#[derive(Clone, Debug)]
pub struct SecurityHeadersService<S> {
    prepared: Arc<Prepared>,
    inner: S,
}

impl<S, Req, Res> Service<Request<Req>> for SecurityHeadersService<S>
where
    S: Service<Request<Req>, Response = Response<Res>>,
{
    type Response = Response<Res>;
    type Error = S::Error;
    type Future = SecurityHeadersFuture<S::Future, Res>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Req>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        // Without randomness the policy of a page is the strictest, and its scripts do not run.
        let nonce = if self.prepared.needs_nonce { Nonce::new() } else { None };
        nonce.clone().and_then(|nonce| parts.extensions.insert(nonce));
        let embedders = self.prepared.headers.embedders.as_ref().map(|embedders| embedders.of(&parts));
        SecurityHeadersFuture {
            inner: self.inner.call(Request::from_parts(parts, body)),
            response: None,
            embedders,
            nonce,
            prepared: self.prepared.clone(),
        }
    }
}

pin_project! {
    /// The response of [`SecurityHeadersService`]. Dropping it drops the inner one.
    pub struct SecurityHeadersFuture<F, B> {
        #[pin]
        inner: F,
        // The inner service's answer, while the embedders are looked up.
        response: Option<Response<B>>,
        embedders: Option<Lookup>,
        nonce: Option<Nonce>,
        prepared: Arc<Prepared>,
    }
}

impl<F, B, E> Future for SecurityHeadersFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = match this.response.take() {
            Some(response) => response,
            None => ready!(this.inner.poll(cx))?,
        };
        let ancestors = match this.embedders {
            None => None,
            Some(lookup) => match lookup.as_mut().poll(cx) {
                Poll::Ready(origins) => Some(origins),
                Poll::Pending => {
                    *this.response = Some(response);
                    return Poll::Pending;
                }
            },
        };
        this.prepared.add_to(response.headers_mut(), this.nonce.as_ref(), ancestors.as_deref());
        Poll::Ready(Ok(response))
    }
}
