//! The layer that lets a principal in as its tenant is now.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::Tenants;
use crate::Principal;
use crate::refusal::response;

/// A tower layer, inside of [`BearerLayer`](crate::BearerLayer), that asks [`Tenants::admit`] at each request with a
/// principal: the roles of its token count as they are now, and a suspended tenant is answered 403.
///
/// Requests without a principal pass: they are public, or end at the handler's `May`.
#[derive(Clone, Debug)]
pub struct TenantsLayer {
    tenants: Tenants,
}

impl Tenants {
    /// The layer that admits principals.
    pub fn layer(&self) -> TenantsLayer {
        TenantsLayer { tenants: self.clone() }
    }
}

impl<S> Layer<S> for TenantsLayer {
    type Service = Admitting<S>;

    fn layer(&self, inner: S) -> Admitting<S> {
        Admitting { tenants: self.tenants.clone(), inner }
    }
}

/// The service that [`TenantsLayer`] puts around another one.
#[derive(Clone, Debug)]
pub struct Admitting<S> {
    tenants: Tenants,
    inner: S,
}

impl<S, Req, Res> Service<Request<Req>> for Admitting<S>
where
    S: Service<Request<Req>, Response = Response<Res>> + Clone + Send + 'static,
    S::Future: Send,
    Req: Send + 'static,
    Res: From<Bytes>,
{
    type Response = Response<Res>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Res>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Req>) -> Self::Future {
        let Some(principal) = request.extensions_mut().remove::<Principal>() else {
            return Box::pin(self.inner.call(request));
        };
        let tenants = self.tenants.clone();
        // The one that is ready goes along; its clone gets ready for the next request.
        let next = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, next);
        Box::pin(async move {
            match tenants.admit(principal).await {
                Ok(principal) => {
                    request.extensions_mut().insert(principal);
                    inner.call(request).await
                }
                Err(problem) => Ok(response(&problem)),
            }
        })
    }
}
