//! How a layer answers in place of the service that it guards.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use pin_project_lite::pin_project;
use shared_core::Problem;

/// The problem as a response (RFC 9457).
pub(crate) fn response<B: From<Bytes>>(problem: &Problem) -> Response<B> {
    let mut response = Response::new(B::from(Bytes::from(problem.to_json())));
    *response.status_mut() =
        StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    for (name, value) in problem.headers() {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    response
}

pin_project! {
    /// The response of a guarded service: the inner one's, or a refusal. Dropping it drops the inner one.
    pub struct Guarded<F, B> {
        // One of the two: the inner service works on it, or the request never reached it.
        #[pin]
        passed: Option<F>,
        refused: Option<Response<B>>,
    }
}

impl<F, B: From<Bytes>> Guarded<F, B> {
    pub(crate) fn passed(inner: F) -> Self {
        Self { passed: Some(inner), refused: None }
    }

    pub(crate) fn refused(problem: &Problem) -> Self {
        Self { passed: None, refused: Some(response(problem)) }
    }
}

impl<F, B, E> Future for Guarded<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match (this.passed.as_pin_mut(), this.refused.take()) {
            (Some(passed), _) => passed.poll(cx),
            (None, Some(refusal)) => Poll::Ready(Ok(refusal)),
            // A future is not polled after it is ready; whoever does so waits.
            (None, None) => Poll::Pending,
        }
    }
}
