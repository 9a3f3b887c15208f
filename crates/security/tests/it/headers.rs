//! What browsers are told, seen on responses of an axum router.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, header};
use axum::routing::{get, post};
use http_body_util::BodyExt;
use shared_core::Secret;
use shared_security::headers::{
    Csp, Embedders, FrameOptions, Nonce, ReferrerPolicy, SecurityHeaders, SecurityHeadersLayer,
};
use shared_security::{Cors, CsrfLayer, HostCookie, Origin, SameSite};
use tower::ServiceExt;

fn origin(text: &str) -> Origin {
    text.parse().unwrap()
}

async fn send(app: Router, request: Request<Body>) -> (u16, HeaderMap, String) {
    let response = app.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

async fn headers_of(headers: SecurityHeaders) -> HeaderMap {
    let app = Router::new().route("/", get(async || "hello")).layer(SecurityHeadersLayer::new(headers));
    send(app, Request::get("/").body(Body::empty()).unwrap()).await.1
}

fn listed(headers: &HeaderMap) -> Vec<String> {
    let mut list: Vec<_> = headers
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "content-type" | "content-length"))
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    list.sort();
    list
}

/// ASVS 3.4.1, 3.4.3, 3.4.4, 3.4.5, 3.4.6, 3.4.8.
#[tokio::test]
async fn the_preset_for_data_lets_nothing_run_frame_or_cache_it() {
    assert_eq!(
        listed(&headers_of(SecurityHeaders::api()).await),
        [
            "cache-control: no-store",
            "content-security-policy: default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "cross-origin-opener-policy: same-origin",
            "cross-origin-resource-policy: same-origin",
            "origin-agent-cluster: ?1",
            "referrer-policy: no-referrer",
            "strict-transport-security: max-age=31536000; includeSubDomains",
            "x-content-type-options: nosniff",
            "x-dns-prefetch-control: off",
            "x-download-options: noopen",
            "x-frame-options: DENY",
            "x-permitted-cross-domain-policies: none",
            "x-xss-protection: 0",
        ]
    );
}

/// The thirteen effects of helmet 8 at its defaults: twelve headers, and `x-powered-by` removed.
#[tokio::test]
async fn the_preset_for_movers_is_helmets_default() {
    let app = Router::new()
        .route("/", get(async || ([("x-powered-by", "Express")], "hello")))
        .layer(SecurityHeadersLayer::new(SecurityHeaders::helmet_compatible()));
    let (_, headers, _) = send(app, Request::get("/").body(Body::empty()).unwrap()).await;
    assert_eq!(
        listed(&headers),
        [
            "content-security-policy: default-src 'self'; base-uri 'self'; font-src 'self' https: data:; \
             form-action 'self'; frame-ancestors 'self'; img-src 'self' data:; object-src 'none'; script-src 'self'; \
             script-src-attr 'none'; style-src 'self' https: 'unsafe-inline'; upgrade-insecure-requests",
            "cross-origin-opener-policy: same-origin",
            "cross-origin-resource-policy: same-origin",
            "origin-agent-cluster: ?1",
            "referrer-policy: no-referrer",
            "strict-transport-security: max-age=31536000; includeSubDomains",
            "x-content-type-options: nosniff",
            "x-dns-prefetch-control: off",
            "x-download-options: noopen",
            "x-frame-options: SAMEORIGIN",
            "x-permitted-cross-domain-policies: none",
            "x-xss-protection: 0",
        ]
    );
}

/// ASVS 3.4.3: the nonce in the page is the policy's, and no two responses share one.
#[tokio::test]
async fn each_page_has_a_nonce_of_its_own() {
    let app = Router::new()
        .route("/", get(async |nonce: Nonce| nonce.to_string()))
        .layer(SecurityHeadersLayer::new(SecurityHeaders::web_strict()));
    let mut seen = std::collections::HashSet::new();
    for _ in 0..100 {
        let (_, headers, nonce) = send(app.clone(), Request::get("/").body(Body::empty()).unwrap()).await;
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert_eq!(policy.matches(&format!("'nonce-{nonce}'")).count(), 2, "{policy}");
        assert!(nonce.len() == 22 && seen.insert(nonce));
    }
}

#[tokio::test]
async fn a_page_that_wants_a_nonce_without_a_policy_fails_closed() {
    let app = Router::new().route("/", get(async |nonce: Nonce| nonce.to_string()));
    assert_eq!(send(app, Request::get("/").body(Body::empty()).unwrap()).await.0, 500);
}

/// ASVS 3.4.5, 3.4.7.
#[tokio::test]
async fn each_header_changes_by_its_name() {
    let headers = SecurityHeaders::web_strict()
        .without(header::STRICT_TRANSPORT_SECURITY)
        .frame_options(FrameOptions::SameOrigin)
        .referrer_policy(ReferrerPolicy::SameOrigin)
        .content_security_policy(Csp::nothing().report_to("/csp").unwrap())
        .content_security_policy_report_only(Csp::strict());
    let sent = headers_of(headers).await;
    assert!(!sent.contains_key(header::STRICT_TRANSPORT_SECURITY));
    assert_eq!(
        (&sent["x-frame-options"], &sent["referrer-policy"]),
        (&HeaderValue::from_static("SAMEORIGIN"), &HeaderValue::from_static("same-origin"))
    );
    assert_eq!(sent["reporting-endpoints"], "csp=\"/csp\"");
    assert!(sent["content-security-policy"].to_str().unwrap().ends_with("report-uri /csp; report-to csp"));
    assert!(sent["content-security-policy-report-only"].to_str().unwrap().contains("'nonce-"));
}

#[tokio::test]
async fn a_handlers_own_header_stays() {
    let app = Router::new()
        .route("/", get(async || ([("cache-control", "max-age=300")], "keys")))
        .layer(SecurityHeadersLayer::new(SecurityHeaders::api()));
    let (_, headers, _) = send(app, Request::get("/").body(Body::empty()).unwrap()).await;
    assert_eq!(headers["cache-control"], "max-age=300");
    assert_eq!(headers.get_all("cache-control").iter().count(), 1);
}

/// A shop of two tenants: each has its own list of domains.
fn embedders() -> Embedders {
    Embedders::new(|request| {
        let of_a: Arc<[Origin]> = [origin("https://a.example"), origin("https://www.a.example")].into();
        let list = if request.uri.path().starts_with("/a/") { of_a } else { Arc::from([]) };
        async move {
            tokio::task::yield_now().await; // as a cache that is being filled would
            list
        }
    })
}

fn widget() -> Router {
    Router::new()
        .route("/{tenant}/widget", get(async || "widget"))
        .layer(SecurityHeadersLayer::new(SecurityHeaders::widget(embedders())))
        .layer(Cors::per_request(embedders()).layer())
}

/// ASVS 3.4.2, 3.4.6.
#[tokio::test]
async fn a_widget_is_embedded_and_called_by_its_tenants_domains_alone() {
    for (path, asking, framed_by, allowed) in [
        ("/a/widget", "https://a.example", "frame-ancestors https://a.example https://www.a.example;", true),
        ("/a/widget", "https://b.example", "frame-ancestors https://a.example https://www.a.example;", false),
        ("/b/widget", "https://a.example", "frame-ancestors 'none';", false),
        ("/a/widget", "null", "frame-ancestors https://a.example https://www.a.example;", false),
    ] {
        let request = Request::get(path).header("origin", asking).body(Body::empty()).unwrap();
        let (_, headers, _) = send(widget(), request).await;
        assert!(headers["content-security-policy"].to_str().unwrap().contains(framed_by), "{path}");
        assert!(!headers.contains_key("x-frame-options"), "it would forbid what the policy allows");
        let answer = headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!(answer, allowed.then_some(asking), "{path} {asking}");
    }
}

/// ASVS 3.4.2: origins are compared whole; none is reflected.
#[tokio::test]
async fn only_listed_origins_are_answered() {
    let cors = Cors::from_origins([origin("https://app.example")]).methods([Method::POST]).with_credentials();
    let app = Router::new().route("/", post(async || "done")).layer(cors.layer());
    for (asking, allowed) in [
        ("https://app.example", true),
        ("https://app.example.evil.example", false),
        ("https://evil-app.example", false),
        ("http://app.example", false),
        ("https://app.example:8443", false),
        ("HTTPS://APP.EXAMPLE", false),
        ("null", false),
    ] {
        let preflight = Request::builder()
            .method(Method::OPTIONS)
            .uri("/")
            .header("origin", asking)
            .header("access-control-request-method", "POST")
            .body(Body::empty())
            .unwrap();
        let (_, headers, _) = send(app.clone(), preflight).await;
        let answer = headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!(answer, allowed.then_some(asking), "{asking}");
        assert!(headers["vary"].to_str().unwrap().contains("origin"), "caches keep the origins apart");
    }
}

/// ASVS 3.4.2.
#[tokio::test]
async fn public_documents_are_for_everybody_and_take_no_credentials() {
    let app = Router::new().route("/", get(async || "keys")).layer(Cors::public());
    let (_, headers, _) =
        send(app, Request::get("/").header("origin", "https://any.example").body(Body::empty()).unwrap())
            .await;
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert!(!headers.contains_key("access-control-allow-credentials"));
}

static SESSION: HostCookie = HostCookie::new("session").same_site(SameSite::Strict);

/// ASVS 3.3.1, 3.3.2, 3.3.3, 3.3.4.
#[test]
fn a_session_cookie_is_bound_to_its_host_and_hidden_from_scripts() {
    let cookie = SESSION.set(&Secret::new("abc.DEF-_"), Some(std::time::Duration::from_secs(60))).unwrap();
    assert_eq!(cookie, "__Host-session=abc.DEF-_; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=60");
    assert!(cookie.is_sensitive(), "layers that log headers leave it out");
    assert_eq!(SESSION.clear(), "__Host-session=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
}

/// ASVS 3.3.5: what a browser would cut off or misread is refused; and no value ends its cookie or its header.
#[test]
fn a_cookie_holds_what_it_can_hold() {
    for value in ["a;b", "a b", "a\r\nset-cookie: b=c", "a\"", "a,b", "ü", "a\0", &"a".repeat(4096)] {
        assert!(SESSION.set(&Secret::new(value), None).is_err());
    }
}

#[test]
fn a_cookie_is_read_by_its_whole_name_and_only_once() {
    let read = |lines: &[&'static str]| {
        let mut headers = HeaderMap::new();
        lines.iter().for_each(|line| {
            headers.append("cookie", HeaderValue::from_static(line));
        });
        SESSION.read(&headers).map(|value| value.map(|value| value.expose().to_owned()))
    };
    assert_eq!(read(&[]).unwrap(), None);
    assert_eq!(read(&["a=1; __Host-session=x=y; b=2"]).unwrap().as_deref(), Some("x=y"));
    assert_eq!(read(&["session=1; __host-session=2; __Host-session2=3; x__Host-session=4"]).unwrap(), None);
    assert_eq!(read(&["__Host-session=1; __Host-session=2"]).unwrap_err().status(), 400);
    assert_eq!(read(&["__Host-session=1", "__Host-session=2"]).unwrap_err().status(), 400);
}

/// ASVS 3.5.1, 3.5.2: a form of another site changes nothing, with any browser; and a WebSocket is guarded like a change.
#[tokio::test]
async fn another_sites_page_cannot_use_a_visitors_cookies() {
    let app = Router::new()
        .route("/", post(async || "changed").get(async || "shown"))
        .layer(CsrfLayer::new([origin("https://app.example")]));
    let cookie = ("cookie", "__Host-session=x");
    let site = |site| ("sec-fetch-site", site);
    let from = |origin| ("origin", origin);
    let (own, evil) = (from("https://app.example"), from("https://evil.example"));
    for (what, method, headers, status) in [
        ("a form of another site", "POST", vec![cookie, site("cross-site"), evil], 403),
        ("a sibling domain", "POST", vec![cookie, site("same-site"), from("https://evil.app.example")], 403),
        ("a sandboxed frame", "POST", vec![cookie, site("cross-site"), from("null")], 403),
        ("an old browser, another site", "POST", vec![cookie, evil], 403),
        ("neither header", "POST", vec![cookie], 403),
        ("one good and one bad origin", "POST", vec![cookie, own, evil], 403),
        ("two fetch sites", "POST", vec![cookie, site("same-origin"), site("cross-site")], 403),
        ("a web socket of another site", "GET", vec![cookie, ("upgrade", "websocket"), evil], 403),
        ("its own page", "POST", vec![cookie, site("same-origin")], 200),
        ("its own page, old browser", "POST", vec![cookie, own], 200),
        ("a friend", "POST", vec![cookie, site("cross-site"), own], 200),
        ("typed by the person", "POST", vec![cookie, site("none")], 200),
        ("no cookies", "POST", vec![evil], 200),
        ("a link from another site", "GET", vec![cookie, site("cross-site")], 200),
    ] {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let (answer, ..) = send(app.clone(), request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer, status, "{what}");
    }
}
