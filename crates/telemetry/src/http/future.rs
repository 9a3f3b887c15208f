//! The future of a response.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;
use tracing::instrument::Instrumented;

use super::request::Observed;

pin_project! {
    /// The inner service's future, run in the request's span. Dropped before it is done, it counts the request as
    /// cancelled.
    pub struct ResponseFuture<F> {
        #[pin]
        inner: Instrumented<F>,
        observed: Option<Observed>,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn new(inner: Instrumented<F>, observed: Observed) -> Self {
        Self { inner, observed: Some(observed) }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut result = ready!(this.inner.poll(cx));
        if let Some(observed) = this.observed.take() {
            match &mut result {
                Ok(response) => observed.answered(response),
                Err(_) => observed.failed(),
            }
        }
        Poll::Ready(result)
    }
}
