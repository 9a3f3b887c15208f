//! All that a request goes through before its handler, beside the handler alone: a limit by address and by tenant, a token that was
//! verified before, the tenant, and a permission.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Extensions, Request, Response, StatusCode};
use shared_core::TenantId;
use shared_devkit::load::time;
use shared_security::{
    Algorithm, BearerLayer, By, ClientAddress, Grant, InProcess, Issuer, Limit, LimitLayer, Limiter,
    Principal, Rule, SigningKey, Verifier, permissions,
};
use tower::{Layer, Service, service_fn};

use bench_report::timed_line;

permissions! { static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" } }

const REQUESTS: u32 = 20_000;

pub(crate) async fn compare() {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let verifier = Verifier::new("https://id.example", "notes", [key.verifying_key().clone()]).unwrap();
    let grant = Grant::new(TenantId::new(), "user:7").with_permissions((ReadNotes, WriteNotes));
    let token = Issuer::new(key, "https://id.example", "notes").issue(&grant).unwrap();
    let bearer = format!("Bearer {}", token.expose());
    let rules = [
        Rule::new("address", &[By::Address], Limit::per_second(100_000_000)),
        Rule::new("tenant", &[By::Tenant], Limit::per_second(100_000_000)),
    ];
    let limiter = Limiter::new(InProcess::new(100_000), rules).unwrap();
    let limits = LimitLayer::new(limiter).address(ClientAddress::peer(), peer);
    let guarded = BearerLayer::new(verifier, &MATRIX).layer(limits.layer(service_fn(read)));
    timed_line(
        "limit by address and tenant, token, permission / nothing",
        "ours <= 10 µs more",
        REQUESTS,
        async || requests(guarded.clone(), &bearer, StatusCode::OK).await,
        async || requests(service_fn(plain), &bearer, StatusCode::OK).await,
    )
    .await;
}

fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get().copied()
}

async fn read(request: Request<Bytes>) -> Result<Response<Bytes>, Infallible> {
    let allowed =
        request.extensions().get::<Principal>().is_some_and(|who| who.require::<ReadNotes>().is_ok());
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = if allowed { StatusCode::OK } else { StatusCode::FORBIDDEN };
    Ok(response)
}

async fn plain(_: Request<Bytes>) -> Result<Response<Bytes>, Infallible> {
    Ok(Response::new(Bytes::new()))
}

async fn requests<S>(mut service: S, bearer: &str, expected: StatusCode) -> Duration
where
    S: Service<Request<Bytes>, Response = Response<Bytes>, Error = Infallible>,
{
    let peer = SocketAddr::from(([192, 0, 2, 7], 4711));
    time(async || {
        for _ in 0..REQUESTS {
            let mut request = Request::new(Bytes::new());
            request.headers_mut().insert(http::header::AUTHORIZATION, bearer.parse().unwrap());
            request.extensions_mut().insert(peer);
            let response = service.call(request).await.unwrap();
            assert_eq!(response.status(), expected);
        }
    })
    .await
}
