use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, Request, Response};
use pin_project_lite::pin_project;
use shared_core::{CorrelationId, Problem};
use tower_layer::Layer;
use tower_service::Service;

use crate::metrics::METRICS;
use crate::trail::Trail;
use crate::{
    AuditEvent, ClientAddress, Matrix, Principal, Verified, Verifier, VerifyError, challenge, refusal,
};

#[cfg(test)]
mod tests;

/// A tower layer that turns `Authorization: Bearer` into a [`Principal`] among the request's extensions.
///
/// - A valid token: the request goes on with its principal, and the current span gets the field `tenant_id`, if it
///   has one. A [`CorrelationId`] among the extensions, and the running trace, become part of its context.
/// - No token, or another scheme: the request goes on without a principal, so that public routes live beside others;
///   a handler that asks for one answers 401.
/// - A bad token: 401 at once; but if its key is not known, only after the keys' source was asked, which bounds how often.
///   A header that comes twice, or that has no token in it: 400 (RFC 6750, section 3.1).
///
/// So a client that sends a stale token with everything is refused everywhere. Routes that must not mind, such as those where it gets
/// the next one, stand outside of the layer: merge them behind it.
///
/// Tokens in query parameters and in bodies are not looked at: they end up in logs.
#[derive(Clone, Debug)]
pub struct BearerLayer {
    verifier: Verifier,
    matrix: &'static Matrix,
    trail: Trail,
    address: ClientAddress,
    peer: fn(&Extensions) -> Option<SocketAddr>,
}

impl BearerLayer {
    /// Believes this verifier, in a service with these permissions.
    pub fn new(verifier: Verifier, matrix: &'static Matrix) -> Self {
        let trail = Trail::default();
        Self { verifier, matrix, trail, address: ClientAddress::peer(), peer: |_| None }
    }

    /// Records in this log which tokens are refused and why, and what is denied to the principals of others: permissions, rules,
    /// tenants that are not theirs. A flood of tokens that are refused is summed from the hundredth of a second on.
    #[cfg(feature = "postgres")]
    pub fn with_audit(mut self, audit: crate::Audit) -> Self {
        self.trail = Trail::to(audit);
        self
    }

    /// How to find from where a request comes, for what is recorded of it, and where the server has put the address of the
    /// connection. Without it, nothing is recorded of that.
    pub fn address(mut self, address: ClientAddress, peer: fn(&Extensions) -> Option<SocketAddr>) -> Self {
        (self.address, self.peer) = (address, peer);
        self
    }

    /// What is recorded of this request.
    fn trail<B>(&self, request: &Request<B>) -> Trail {
        let peer = (self.peer)(request.extensions());
        self.trail.left_from(peer.map(|peer| self.address.find(peer.ip(), request.headers())))
    }

    /// The one way by which refusals go on record.
    fn refused<B>(&self, request: &Request<B>, reason: &str) {
        refused(&self.trail(request), request.extensions().get(), reason);
    }

    /// Lets a request on with the principal of its token.
    fn admit<B>(&self, mut request: Request<B>, token: Option<Verified>) -> Request<B> {
        let trail = self.trail(&request);
        let conversation = request.extensions().get::<CorrelationId>().cloned();
        let extensions = request.extensions_mut();
        #[cfg(feature = "axum")]
        extensions.insert(Checked(trail.clone()));
        if let Some(token) = token {
            let principal = Principal::recorded(token, self.matrix, conversation, trail);
            tracing::Span::current().record("tenant_id", tracing::field::display(principal.tenant()));
            extensions.insert(principal);
        }
        request
    }
}

fn refused(trail: &Trail, conversation: Option<&CorrelationId>, reason: &str) {
    let mut event = AuditEvent::new("token.refused").denied().because(reason);
    if let Some(conversation) = conversation {
        event = event.correlation(conversation.clone());
    }
    trail.record_of_anybody(event);
}

impl<S> Layer<S> for BearerLayer {
    type Service = Bearer<S>;

    fn layer(&self, inner: S) -> Bearer<S> {
        Bearer { layer: self.clone(), inner }
    }
}

/// The token of a request, if it has one. The scheme has no case, and one space or more follow it (RFC 9110,
/// section 11.4); what the token is made of is the verifier's to judge.
fn bearer_token(headers: &HeaderMap) -> Result<Option<&[u8]>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(challenge::unclear("the header authorization comes more than once"));
    }
    let value = value.as_bytes();
    let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, token) = value.split_at(end);
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Ok(None);
    }
    match token.iter().position(|byte| *byte != b' ') {
        Some(start) => Ok(Some(&token[start..])),
        None => Err(challenge::unclear("the header authorization has no token in it")),
    }
}

/// Among a request's extensions: a bearer layer has looked at it, and leaves this trail.
#[cfg(feature = "axum")]
#[derive(Clone, Debug)]
pub(crate) struct Checked(Trail);

#[cfg(feature = "axum")]
impl Checked {
    /// It had no token, and would have needed one.
    pub(crate) fn without_token(&self, conversation: Option<&CorrelationId>) -> Problem {
        refused(&self.0, conversation, "there is none");
        challenge::missing()
    }
}

/// The service that [`BearerLayer`] puts around another one.
#[derive(Clone, Debug)]
pub struct Bearer<S> {
    layer: BearerLayer,
    inner: S,
}

impl<S, Req, Res> Service<Request<Req>> for Bearer<S>
where
    S: Service<Request<Req>, Response = Response<Res>> + Clone,
    Res: From<Bytes>,
{
    type Response = Response<Res>;
    type Error = S::Error;
    type Future = BearerFuture<S, Req, Res>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Req>) -> Self::Future {
        let token = match bearer_token(request.headers()) {
            Ok(Some(token)) => token,
            Ok(None) => return self.pass(request, None),
            Err(problem) => {
                self.layer.refused(&request, "the header is not clear");
                return BearerFuture::refused(&problem);
            }
        };
        match self.layer.verifier.decide(token) {
            Ok(verified) => self.pass(request, Some(verified)),
            Err(VerifyError::UnknownKey) => self.look(token.to_vec(), request),
            Err(reason) => {
                METRICS.token_refused(reason);
                self.layer.refused(&request, &reason.to_string());
                BearerFuture::refused(&reason.into())
            }
        }
    }
}

impl<S> Bearer<S> {
    fn pass<Req, Res>(&mut self, request: Request<Req>, token: Option<Verified>) -> BearerFuture<S, Req, Res>
    where
        S: Service<Request<Req>, Response = Response<Res>>,
    {
        let request = self.layer.admit(request, token);
        BearerFuture { state: State::Passed { answer: self.inner.call(request) } }
    }

    /// Asks the source of the keys, as an issuer's new key is known there first.
    fn look<Req, Res>(&mut self, token: Vec<u8>, request: Request<Req>) -> BearerFuture<S, Req, Res>
    where
        S: Service<Request<Req>, Response = Response<Res>> + Clone,
    {
        // The service that was found ready is the one to be called; its clone may not be.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let verifier = self.layer.verifier.clone();
        let look = Box::pin(async move { verifier.decide_after_fetch(&token).await });
        let held = Some(Held { layer: self.layer.clone(), inner, request });
        BearerFuture { state: State::Looking { look, held } }
    }
}

/// A request that waits for its token's key.
struct Held<S, Req> {
    layer: BearerLayer,
    inner: S,
    request: Request<Req>,
}

type Look = Pin<Box<dyn Future<Output = Result<Verified, VerifyError>> + Send>>;

pin_project! {
    /// The response of [`Bearer`]: the inner service's, or a refusal. Dropping it drops the inner one.
    pub struct BearerFuture<S, Req, Res>
    where
        S: Service<Request<Req>>,
    {
        #[pin]
        state: State<S, Req, Res>,
    }
}

pin_project! {
    #[project = Step]
    enum State<S, Req, Res>
    where
        S: Service<Request<Req>>,
    {
        // The inner service works on it.
        Passed { #[pin] answer: S::Future },
        // It never reaches the inner service.
        Refused { response: Option<Response<Res>> },
        // The source of the keys is asked.
        Looking { look: Look, held: Option<Held<S, Req>> },
    }
}

impl<S: Service<Request<Req>>, Req, Res: From<Bytes>> BearerFuture<S, Req, Res> {
    fn refused(problem: &Problem) -> Self {
        Self { state: State::refusal(problem) }
    }
}

impl<S: Service<Request<Req>>, Req, Res: From<Bytes>> State<S, Req, Res> {
    fn refusal(problem: &Problem) -> Self {
        Self::Refused { response: Some(refusal::response(problem)) }
    }
}

impl<S, Req, Res> Future for BearerFuture<S, Req, Res>
where
    S: Service<Request<Req>, Response = Response<Res>>,
    Res: From<Bytes>,
{
    type Output = Result<Response<Res>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                Step::Passed { answer } => return answer.poll(cx),
                // A future is not polled after it is ready; whoever does so waits.
                Step::Refused { response } => {
                    return response.take().map_or(Poll::Pending, |refusal| Poll::Ready(Ok(refusal)));
                }
                Step::Looking { look, held } => {
                    let verified = ready!(look.as_mut().poll(cx));
                    let Some(Held { layer, mut inner, request }) = held.take() else { return Poll::Pending };
                    match verified {
                        Ok(token) => State::Passed { answer: inner.call(layer.admit(request, Some(token))) },
                        Err(reason) => {
                            METRICS.token_refused(reason);
                            layer.refused(&request, &reason.to_string());
                            State::refusal(&reason.into())
                        }
                    }
                }
            };
            state.set(next);
        }
    }
}
