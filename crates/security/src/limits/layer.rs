use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Extensions, HeaderValue, Request, Response};
use shared_core::Problem;
use tower_layer::Layer;
use tower_service::Service;

use super::{Decision, Key, LimitStore, Limiter, Rule, Standing, fields};
use crate::refusal::response;
use crate::trail::Trail;
use crate::{AuditEvent, ClientAddress, Principal};

/// A tower layer that holds every request against a [`Limiter`].
///
/// ```
/// use axum::extract::{ConnectInfo, MatchedPath};
/// use std::net::SocketAddr;
/// use shared_security::{By, ClientAddress, ForwardedBy, InProcess, Limit, LimitLayer, Limiter, Rule};
///
/// # fn main() -> Result<(), shared_security::Error> {
/// let limiter = Limiter::new(InProcess::new(100_000), [
///     Rule::new("address", &[By::Address], Limit::per_second(10).burst(50)),
///     Rule::new("route", &[By::Address, By::Route], Limit::per_minute(60)),
/// ])?;
/// let layer = LimitLayer::new(limiter)
///     .address(ClientAddress::behind(1, ForwardedBy::XForwardedFor), |of| {
///         of.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0)
///     })
///     .route(|of| of.get::<MatchedPath>().map(MatchedPath::as_str));
/// let app: axum::Router = axum::Router::new().layer(layer);
/// # let _: axum::Router = app; Ok(()) }
/// ```
///
/// # What a request's key has
/// - The address, as [`address`](Self::address) finds it. Where a rule needs one and there is none, the answer is 500: a limit
///   that looks at nothing is none.
/// - Tenant and principal of the verified [`Principal`], where [`BearerLayer`](crate::BearerLayer) is around this layer. All
///   that bring no token are alike; so put a limiter by address in front of that layer too, which also spares it the
///   signatures of a flood.
/// - The route, as [`route`](Self::route) finds it.
///
/// # What a caller gets
/// Answers have the fields `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-11 (23 May 2026): `q` and
/// `w` of each limit, with `r`, and `t` in which as much comes back. What is denied is a
/// 429 `application/problem+json` with `Retry-After`: never less than the true wait, and up to a tenth and a second more, by
/// chance, so that not all come back at once. It is missing where no wait would help. Without an answer of the store, and a
/// choice to refuse, it is a 503.
///
/// What was taken stays taken, however the request ends. Dropping the future of a response drops the inner one.
#[derive(Debug)]
pub struct LimitLayer<S> {
    limiter: Limiter<S>,
    address: ClientAddress,
    peer: Peer,
    route: Route,
    cost: Cost,
    trail: Trail,
}

type Peer = fn(&Extensions) -> Option<SocketAddr>;
type Route = for<'a> fn(&'a Extensions) -> Option<&'a str>;
type Cost = fn(&http::Method, &http::Uri, &Extensions) -> u64;

impl<S: LimitStore> LimitLayer<S> {
    /// Holds requests against these limits, each at a cost of 1, by what a principal tells. Keep the limiter to change its
    /// limits.
    pub fn new(limiter: Limiter<S>) -> Self {
        let (peer, route): (Peer, Route) = (|_| None, |_| None);
        Self {
            limiter,
            address: ClientAddress::peer(),
            peer,
            route,
            cost: |_, _, _| 1,
            trail: Trail::default(),
        }
    }

    /// Records in this log who was refused, and by which limits. A flood is summed from the hundredth of a second on.
    #[cfg(feature = "postgres")]
    pub fn with_audit(mut self, audit: crate::Audit) -> Self {
        self.trail = Trail::to(audit);
        self
    }

    /// How to find whose address it is, and where the server has put that of the connection.
    pub fn address(mut self, address: ClientAddress, peer: fn(&Extensions) -> Option<SocketAddr>) -> Self {
        (self.address, self.peer) = (address, peer);
        self
    }

    /// Where the router has put the pattern of the route.
    pub fn route(mut self, route: for<'a> fn(&'a Extensions) -> Option<&'a str>) -> Self {
        self.route = route;
        self
    }

    /// What a request costs: 1 unless said otherwise.
    pub fn cost(mut self, cost: fn(&http::Method, &http::Uri, &Extensions) -> u64) -> Self {
        self.cost = cost;
        self
    }

    async fn check(&self, request: &Request<()>) -> Result<Decision, Problem> {
        let mut key = Key::new();
        let peer = (self.peer)(request.extensions());
        let address = peer.map(|peer| self.address.find(peer.ip(), request.headers()));
        match address {
            Some(address) => key = key.address(address),
            None if self.limiter.rules().iter().any(Rule::needs_address) => {
                tracing::error!("a limit by address got a request without one: see `LimitLayer::address`");
                return Err(Problem::internal());
            }
            None => {}
        }
        if let Some(principal) = request.extensions().get::<Principal>() {
            key = key.tenant(principal.tenant()).principal(principal.subject());
        }
        if let Some(route) = (self.route)(request.extensions()) {
            key = key.route(route);
        }
        let cost = (self.cost)(request.method(), request.uri(), request.extensions());
        let decision = self.limiter.check(&key, cost).await;
        if !decision.allowed() {
            self.happened(&decision, request.extensions().get::<Principal>(), address);
        }
        Ok(decision)
    }

    /// A refusal, for those who look after the service.
    fn happened(&self, decision: &Decision, who: Option<&Principal>, address: Option<IpAddr>) {
        let limits: Vec<&str> = decision.denied_by().map(Standing::name).collect();
        let mut event = AuditEvent::new("limit.exceeded").denied().detail("limits", limits.join(" "));
        if decision.is_outage() {
            event = event.because("the store of the limits did not answer");
        }
        if let Some(who) = who {
            event = event.of(who.context());
        }
        if let Some(address) = address {
            event = event.from_address(address);
        }
        self.trail.record_of_anybody(event);
    }
}

// By hand, since a derive would ask the same of the store.
impl<S> Clone for LimitLayer<S> {
    fn clone(&self) -> Self {
        let Self { limiter, address, peer, route, cost, trail } = self;
        let (limiter, address, trail) = (limiter.clone(), address.clone(), trail.clone());
        Self { limiter, address, peer: *peer, route: *route, cost: *cost, trail }
    }
}

impl<S, I> Layer<I> for LimitLayer<S> {
    type Service = Limited<S, I>;

    fn layer(&self, inner: I) -> Limited<S, I> {
        Limited { layer: self.clone(), inner }
    }
}

/// The service that [`LimitLayer`] puts around another one.
#[derive(Debug)]
pub struct Limited<S, I> {
    layer: LimitLayer<S>,
    inner: I,
}

impl<S, I: Clone> Clone for Limited<S, I> {
    fn clone(&self) -> Self {
        Self { layer: self.layer.clone(), inner: self.inner.clone() }
    }
}

impl<S, I, Req, Res> Service<Request<Req>> for Limited<S, I>
where
    S: LimitStore,
    I: Service<Request<Req>, Response = Response<Res>> + Clone + Send + 'static,
    I::Future: Send,
    Req: Send + 'static,
    Res: From<Bytes>,
{
    type Response = Response<Res>;
    type Error = I::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Res>, I::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Req>) -> Self::Future {
        // The clone waits to be ready; the one that is ready takes the request.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let layer = self.layer.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            // Without its body, which need not be shareable between threads.
            let head = Request::from_parts(parts, ());
            let decision = match layer.check(&head).await {
                Ok(decision) => decision,
                Err(problem) => return Ok(response(&problem)),
            };
            let mut answer = match decision.allowed() {
                true => {
                    let (parts, ()) = head.into_parts();
                    inner.call(Request::from_parts(parts, body)).await?
                }
                false => refused(&decision),
            };
            fields::add(answer.headers_mut(), &decision);
            Ok(answer)
        })
    }
}

fn refused<B: From<Bytes>>(decision: &Decision) -> Response<B> {
    let problem = match (decision.is_outage(), decision.retry_after()) {
        (true, _) => Problem::unavailable(),
        (false, Some(_)) => Problem::too_many_requests().with_detail("over a limit; try again later"),
        (false, None) => Problem::too_many_requests().with_detail("this costs more than a limit ever admits"),
    };
    let mut answer = response(&problem);
    if let Some(wait) = decision.retry_after() {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(jittered(wait)));
    }
    answer
}

/// Whole seconds, never fewer than the wait has.
fn jittered(wait: Duration) -> u64 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    seconds.saturating_add(rand::random_range(0..=1 + seconds / 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trap 12.
    #[test]
    fn nobody_is_told_to_come_too_early_nor_all_at_the_same_time() {
        for wait in [0, 1, 999, 1_000, 1_001, 90_000] {
            let told: Vec<u64> = (0..200).map(|_| jittered(Duration::from_millis(wait))).collect();
            let least = wait.div_ceil(1_000);
            assert!(
                told.iter().all(|told| (least..=least + 1 + least / 10).contains(told)),
                "{wait}: {told:?}"
            );
            assert!(told.iter().any(|other| *other != told[0]), "{wait}: {told:?}");
        }
    }
}
