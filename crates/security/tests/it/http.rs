//! The layer around an axum router: what callers of an API get.

use axum::Router;
use axum::body::Body;
use axum::http::{self, Request};
use axum::routing::get as route;
use http_body_util::BodyExt;
use serde_json::Value;
use shared_core::{Context, CorrelationId, InTenant, TenantId};
use shared_security::{BearerLayer, Grant, May, Principal};
use tower::{Layer, ServiceExt};
use tracing::Instrument;

use crate::log::Log;
use crate::support::*;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) challenge: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) body: String,
}

impl Answer {
    /// Asserts a problem as RFC 9457 wants it, and returns its detail.
    fn problem(&self, status: u16) -> String {
        assert_eq!(
            (self.status, self.content_type.as_deref()),
            (status, Some("application/problem+json")),
            "{}",
            self.body
        );
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], status);
        problem["detail"].as_str().unwrap_or_default().to_owned()
    }

    fn challenge(&self) -> &str {
        self.challenge.as_deref().unwrap_or_default()
    }
}

fn routes() -> Router {
    Router::new()
        .route("/public", route(async || "hello"))
        .route("/who", route(async |who: Principal| format!("{} of {}", who.subject(), who.tenant())))
        .route("/notes", route(async |may: May<ReadNotes>| format!("notes of {}", may.context().tenant())))
        .route("/write", route(async |_: May<ReadNotes>, _: May<WriteNotes>| "written"))
        .route("/logged", route(async |_: Principal| tracing::info!("in the handler")))
        .route("/context", route(async |may: May<ReadNotes>| serde_json::to_string(may.context()).unwrap()))
}

fn app() -> Router {
    routes().layer(BearerLayer::new(verifier(), &MATRIX))
}

async fn answer(app: Router, request: Request<Body>) -> Answer {
    let response = app.oneshot(request).await.unwrap();
    let header = |name| Some(response.headers().get(name)?.to_str().unwrap().to_owned());
    let (challenge, content_type) = (header("www-authenticate"), header("content-type"));
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Answer { status, challenge, content_type, body: String::from_utf8(body.to_vec()).unwrap() }
}

fn request(path: &str, authorization: &[&str]) -> Request<Body> {
    let builder = Request::get(path);
    let builder =
        authorization.iter().fold(builder, |builder, value| builder.header("authorization", *value));
    builder.body(Body::empty()).unwrap()
}

pub(crate) async fn get(path: &str, authorization: &[&str]) -> Answer {
    answer(app(), request(path, authorization)).await
}

fn bearer(tenant: TenantId) -> String {
    let token = issuer().issue(&Grant::new(tenant, "user:7").with_permissions(ReadNotes)).unwrap();
    format!("Bearer {}", token.expose())
}

#[tokio::test]
async fn a_token_opens_its_own_tenant() {
    let tenant = TenantId::new();
    assert_eq!(get("/notes", &[&bearer(tenant)]).await.body, format!("notes of {tenant}"));
    assert_eq!(get("/who", &[&bearer(tenant)]).await.body, format!("user:7 of {tenant}"));
    assert_eq!(get("/public", &[&bearer(tenant)]).await.body, "hello");
}

#[tokio::test]
async fn without_a_token_public_routes_alone_answer() {
    assert_eq!(get("/public", &[]).await.body, "hello");
    for path in ["/who", "/notes"] {
        let answer = get(path, &[]).await;
        assert_eq!(answer.problem(401), "this needs a bearer token");
        // No error code: nothing was wrong with what was not sent (RFC 6750, section 3.1).
        assert_eq!(answer.challenge(), "Bearer");
    }
}

#[tokio::test]
async fn a_foreign_or_broken_token_is_refused_everywhere_and_not_explained() {
    let token = bearer(TenantId::new());
    let foreign = format!("Bearer {}", signed_by(THEIRS, header(), claims()));
    let broken = format!("{}x", token);
    for bad in
        [&foreign, &broken, "Bearer nonsense", "Bearer a b", &format!("Bearer {}", "x".repeat(1024 * 1024))]
    {
        for path in ["/notes", "/public"] {
            let answer = get(path, &[bad]).await;
            assert_eq!(answer.problem(401), "the token is not valid", "{bad}");
            assert_eq!(
                answer.challenge(),
                r#"Bearer error="invalid_token", error_description="the token is not valid""#
            );
        }
    }
}

#[tokio::test]
async fn an_expired_token_is_refused_and_said_to_be_expired() {
    let expired = with(claims(), serde_json::json!({ "iat": 1_000_000_000, "exp": 1_000_000_600 }));
    let answer = get("/notes", &[&format!("Bearer {}", signed(header(), expired))]).await;
    assert_eq!(answer.problem(401), "the token has expired");
    assert_eq!(
        answer.challenge(),
        r#"Bearer error="invalid_token", error_description="the token has expired""#
    );
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let answer = get("/write", &[&bearer(TenantId::new())]).await;
    assert_eq!(answer.problem(403), "this needs the permission notes:write");
    assert_eq!(answer.challenge(), r#"Bearer error="insufficient_scope", scope="notes:write""#);
}

#[tokio::test]
async fn the_scheme_has_no_case_and_spaces_may_follow_it() {
    let token = bearer(TenantId::new());
    for scheme in ["bearer", "BEARER", "Bearer  "] {
        assert_eq!(get("/notes", &[&token.replacen("Bearer", scheme, 1)]).await.status, 200, "{scheme}");
    }
}

#[tokio::test]
async fn another_scheme_is_no_bearer_token() {
    let token = bearer(TenantId::new());
    for other in ["Basic dXNlcjpwYXNz", &token.replacen(' ', "\t", 1), &token.replacen(' ', "", 1), ""] {
        assert_eq!(get("/notes", &[other]).await.challenge(), "Bearer", "{other}");
        assert_eq!(get("/public", &[other]).await.status, 200, "{other}");
    }
}

#[tokio::test]
async fn two_headers_or_none_in_the_header_are_a_bad_request() {
    let token = bearer(TenantId::new());
    for unclear in
        [&[token.as_str(), token.as_str()][..], &[&token, "Basic dXNlcjpwYXNz"], &["Bearer"], &["Bearer "]]
    {
        let answer = get("/public", unclear).await;
        answer.problem(400);
        assert!(
            answer.challenge().starts_with(r#"Bearer error="invalid_request""#),
            "{}",
            answer.challenge()
        );
    }
}

#[tokio::test]
async fn a_route_without_the_layer_fails_closed() {
    let answer = answer(routes(), request("/notes", &[&bearer(TenantId::new())])).await;
    answer.problem(500);
}

#[tokio::test]
async fn the_context_continues_the_conversation_of_the_request() {
    let (tenant, conversation) = (TenantId::new(), CorrelationId::new());
    let mut request = request("/context", &[&bearer(tenant)]);
    request.extensions_mut().insert(conversation.clone());
    let context: Context = serde_json::from_str(&answer(app(), request).await.body).unwrap();
    assert_eq!((context.tenant(), context.correlation()), (tenant, &conversation));
    assert_eq!(context.actor().as_str(), "user:7");
}

#[tokio::test]
async fn the_span_of_the_request_learns_the_tenant() {
    let (tenant, log) = (TenantId::new(), Log::default());
    let _logging = log.install();
    let app = app().layer(axum::middleware::from_fn(async |request, next: axum::middleware::Next| {
        let span = tracing::info_span!("request", tenant_id = tracing::field::Empty);
        next.run(request).instrument(span).await
    }));
    assert_eq!(answer(app, request("/logged", &[&bearer(tenant)])).await.status, 200);
    assert!(log.text().contains(&format!("request{{tenant_id={tenant}}}")), "{}", log.text());
}

/// The layer needs nothing of axum: any service over `http`'s types will do.
#[tokio::test]
async fn the_layer_goes_around_any_http_service() {
    let inner = tower::service_fn(async |request: Request<()>| {
        let tenant = request.extensions().get::<Principal>().map(Principal::tenant);
        Ok::<_, std::convert::Infallible>(http::Response::new(format!("{tenant:?}").into_bytes()))
    });
    let service = BearerLayer::new(verifier(), &MATRIX).layer(inner);
    let tenant = TenantId::new();
    let request = Request::get("/").header("authorization", bearer(tenant)).body(()).unwrap();
    let response = service.clone().oneshot(request).await.unwrap();
    assert_eq!(response.into_body(), format!("{:?}", Some(tenant)).into_bytes());
    let request = Request::get("/").header("authorization", "Bearer x").body(()).unwrap();
    assert_eq!(service.oneshot(request).await.unwrap().status(), 401);
}
