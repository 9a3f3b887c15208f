//! The layer around an axum router: what callers of an API get.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, MatchedPath};
use axum::http::{Request, Response};
use axum::routing::get;
use http_body_util::BodyExt;
use shared_devkit::Proxy;
use shared_security::{
    BearerLayer, By, ClientAddress, ForwardedBy, Grant, Limit, LimitLayer, LimitStore, Limiter, OnOutage,
    RedisLimits, Rule,
};
use tower::{Layer, ServiceExt};

use super::{HOUR, limiter, tenant};
use crate::support::*;

fn app<S: LimitStore>(limiter: Limiter<S>) -> Router {
    let layer = LimitLayer::new(limiter)
        .address(ClientAddress::behind(1, ForwardedBy::XForwardedFor), |of| {
            of.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0)
        })
        .route(|of| of.get::<MatchedPath>().map(MatchedPath::as_str))
        .cost(|_, uri, _| if uri.path().ends_with("/export") { 5 } else { 1 });
    Router::new()
        .route("/notes/{id}", get(async || "a note"))
        .route("/export", get(async || "all notes"))
        .route_layer(layer)
}

fn request(path: &str, address: &str) -> Request<Body> {
    let peer: SocketAddr = "10.0.0.1:4711".parse().unwrap();
    let request = Request::get(path).header("x-forwarded-for", format!("6.6.6.6, {address}"));
    request.extension(ConnectInfo(peer)).body(Body::empty()).unwrap()
}

async fn ask(app: &Router, path: &str, address: &str) -> Response<Body> {
    app.clone().oneshot(request(path, address)).await.unwrap()
}

fn field<'r>(response: &'r Response<Body>, name: &str) -> Option<&'r str> {
    Some(response.headers().get(name)?.to_str().unwrap())
}

async fn body(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn callers_are_told_their_limits_and_who_is_over_them_when_to_come_back() {
    let (limiter, _) = limiter([
        Rule::new("address", &[By::Address], Limit::per(3, HOUR)),
        Rule::new("route", &[By::Address, By::Route], Limit::per(2, HOUR)),
    ]);
    let app = app(limiter);
    let first = ask(&app, "/notes/1", "192.0.2.1").await;
    assert_eq!(first.status(), 200);
    assert_eq!(field(&first, "ratelimit-policy"), Some(r#""address";q=3;w=3600, "route";q=2;w=3600"#));
    assert_eq!(field(&first, "ratelimit"), Some(r#""address";r=2;t=2400, "route";r=1;t=1800"#));
    assert_eq!(field(&first, "retry-after"), None);
    assert_eq!(body(first).await, "a note");

    assert_eq!(ask(&app, "/notes/2", "192.0.2.1").await.status(), 200);
    let over = ask(&app, "/notes/3", "192.0.2.1").await;
    assert_eq!(
        (over.status().as_u16(), field(&over, "content-type")),
        (429, Some("application/problem+json"))
    );
    assert_eq!(field(&over, "ratelimit"), Some(r#""route";r=0;t=1800"#));
    let wait: u64 = field(&over, "retry-after").unwrap().parse().unwrap();
    assert!((1800..=1981).contains(&wait), "{wait}");
    let problem: serde_json::Value = serde_json::from_str(&body(over).await).unwrap();
    assert_eq!(
        (&problem["status"], &problem["detail"]),
        (&429.into(), &"over a limit; try again later".into())
    );

    assert_eq!(ask(&app, "/notes/3", "192.0.2.2").await.status(), 200, "another address");
    let never = ask(&app, "/export", "192.0.2.2").await;
    assert_eq!((never.status().as_u16(), field(&never, "retry-after")), (429, None));
}

/// Header injection through a key: nothing of it comes back.
#[tokio::test]
async fn nothing_of_a_key_is_told() {
    let (limiter, _) = limiter([Rule::new("all", &[By::Route, By::Principal], Limit::per(1, HOUR))]);
    let app = app(limiter);
    let hostile = "/notes/%0d%0aset-cookie:%20x=1%22;q=9";
    for status in [200, 429] {
        let answer = ask(&app, hostile, "192.0.2.1").await;
        assert_eq!(answer.status(), status);
        assert_eq!(field(&answer, "set-cookie"), None);
        assert_eq!(field(&answer, "ratelimit-policy"), Some(r#""all";q=1;w=3600"#));
        assert!(!format!("{:?} {}", answer.headers().clone(), body(answer).await).contains("q=9"));
    }
}

/// ASVS 2.4.1.
#[tokio::test]
async fn tenant_and_principal_are_those_of_the_verified_token() {
    let (limiter, _) = limiter([
        Rule::new("user", &[By::Tenant, By::Principal], Limit::per(2, HOUR)),
        Rule::new("tenant", &[By::Tenant], Limit::per(3, HOUR)),
    ]);
    let app = Router::new().route("/", get(async || "")).layer(LimitLayer::new(limiter));
    let app = BearerLayer::new(verifier(), &MATRIX).layer(app);
    let ask = async |number, user: &str| {
        let token = issuer().issue(&Grant::new(tenant(number), user)).unwrap();
        let request = Request::get("/").header("authorization", format!("Bearer {}", token.expose()));
        let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        response.status().as_u16()
    };
    assert_eq!([ask(1, "a").await, ask(1, "a").await, ask(1, "a").await], [200, 200, 429]);
    assert_eq!([ask(1, "b").await, ask(1, "b").await], [200, 429], "the tenant's");
    assert_eq!(ask(2, "a").await, 200);
}

/// A limit that has nothing to look at is none: it fails closed.
#[tokio::test]
async fn a_limit_by_address_without_an_address_is_an_error_of_the_program() {
    let (limiter, _) = limiter([Rule::new("address", &[By::Address], Limit::per(3, HOUR))]);
    let app = Router::new().route("/", get(async || "")).layer(LimitLayer::new(limiter));
    let response = app.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 500);
}

#[tokio::test]
async fn without_an_answer_of_the_store_it_is_unavailable_or_goes_on() {
    let server = shared_devkit::Redis::exclusive().await.unwrap();
    let proxy = Proxy::to(server.url()).await.unwrap();
    let redis = shared_db::redis::Redis::connect(&shared_db::redis::Config::new(proxy.url(server.url())))
        .await
        .unwrap();
    proxy.black_hole();
    for (choice, status) in [(OnOutage::Refuse, 503), (OnOutage::Allow, 200)] {
        let store = RedisLimits::new(redis.clone(), choice);
        let limiter = Limiter::new(store, [Rule::new("all", &[], Limit::per(1, HOUR))]).unwrap();
        let answer = ask(&app(limiter), "/notes/1", "192.0.2.1").await;
        assert_eq!((answer.status().as_u16(), field(&answer, "ratelimit")), (status, None));
        assert_eq!(field(&answer, "retry-after").is_some(), status == 503);
    }
}
