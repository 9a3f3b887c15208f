use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use shared_core::{CorrelationId, Problem};
use tower_layer::Layer;
use tower_service::Service;

use crate::{Guarded, Matrix, Principal, Verifier, challenge};

/// A tower layer that turns `Authorization: Bearer` into a [`Principal`] among the request's extensions.
///
/// - A valid token: the request goes on with its principal, and the current span gets the field `tenant_id`, if it
///   has one. A [`CorrelationId`] among the extensions, and the running trace, become part of its context.
/// - No token, or another scheme: the request goes on without a principal, so that public routes live beside others;
///   a handler that asks for one answers 401.
/// - A bad token: 401 at once. A header that comes twice, or that has no token in it: 400 (RFC 6750, section 3.1).
///
/// Tokens in query parameters and in bodies are not looked at: they end up in logs.
#[derive(Clone, Debug)]
pub struct BearerLayer {
    verifier: Verifier,
    matrix: &'static Matrix,
}

impl BearerLayer {
    /// Believes this verifier, in a service with these permissions.
    pub fn new(verifier: Verifier, matrix: &'static Matrix) -> Self {
        Self { verifier, matrix }
    }

    fn principal<B>(&self, request: &Request<B>) -> Result<Option<Principal>, Problem> {
        let Some(token) = bearer_token(request.headers())? else { return Ok(None) };
        let verified = self.verifier.verify(token).inspect_err(|reason| {
            tracing::info!(%reason, "a bearer token was refused");
        })?;
        let conversation = request.extensions().get::<CorrelationId>().cloned();
        let principal = Principal::new(verified, self.matrix, conversation);
        tracing::Span::current().record("tenant_id", tracing::field::display(principal.tenant()));
        Ok(Some(principal))
    }
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

/// Among a request's extensions: a bearer layer has looked at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked;

/// The service that [`BearerLayer`] puts around another one.
#[derive(Clone, Debug)]
pub struct Bearer<S> {
    layer: BearerLayer,
    inner: S,
}

impl<S, Req, Res> Service<Request<Req>> for Bearer<S>
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

    fn call(&mut self, mut request: Request<Req>) -> Self::Future {
        match self.layer.principal(&request) {
            Ok(principal) => {
                let extensions = request.extensions_mut();
                extensions.insert(Checked);
                principal.and_then(|principal| extensions.insert(principal));
                Guarded::passed(self.inner.call(request))
            }
            Err(problem) => Guarded::refused(&problem),
        }
    }
}
