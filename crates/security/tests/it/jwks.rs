//! The document with our public keys, as others fetch it.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use shared_security::{Algorithm, Jwks, Keys, SigningKey, VerifyingKey};
use tower::ServiceExt;

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn ask(jwks: &Jwks, method: &str, if_none_match: &str) -> Answer {
    let router: Router = Router::new().route_service("/.well-known/jwks.json", jwks.clone());
    let mut request = Request::builder().method(method).uri("/.well-known/jwks.json");
    if !if_none_match.is_empty() {
        request = request.header("if-none-match", if_none_match);
    }
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

fn keys() -> [SigningKey; 4] {
    [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256, Algorithm::Hs256]
        .map(|algorithm| SigningKey::generate(algorithm).unwrap())
}

fn jwks(keys: &[SigningKey]) -> Jwks {
    Jwks::new(Keys::fixed(keys.iter().map(|key| key.verifying_key().clone())))
}

/// ASVS 13.3.1: of every kind the public half, and of secrets nothing.
#[tokio::test]
async fn the_document_has_public_halves_alone() {
    let keys = keys();
    let answer = ask(&jwks(&keys), "GET", "").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/jwk-set+json"));
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    let listed = document["keys"].as_array().unwrap();
    assert_eq!(listed.len(), 3);
    for jwk in listed {
        let read = VerifyingKey::from_jwk(&jwk.to_string()).unwrap();
        assert!(keys.iter().any(|key| key.id() == read.id() && key.algorithm() == read.algorithm()));
        let allowed = ["kty", "crv", "x", "y", "n", "e", "use", "alg", "kid"];
        assert!(jwk.as_object().unwrap().keys().all(|name| allowed.contains(&name.as_str())), "{jwk}");
    }
    assert!(!answer.body.contains(keys[3].id()), "not even the secret's thumbprint");
}

#[tokio::test]
async fn who_has_the_document_gets_no_body() {
    let keys = keys();
    let jwks = jwks(&keys);
    let first = ask(&jwks, "GET", "").await;
    let etag = first.header("etag").to_owned();
    assert_eq!(first.header("cache-control"), "public, max-age=300");
    for tags in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".to_owned()] {
        let again = ask(&jwks, "GET", &tags).await;
        assert_eq!(
            (again.status, again.body.as_str(), again.header("etag")),
            (304, "", etag.as_str()),
            "{tags}"
        );
        assert_eq!(again.header("cache-control"), "public, max-age=300");
    }
    assert_eq!(ask(&jwks, "GET", "\"other\"").await.status, 200);
    let mut turned = keys;
    turned.reverse();
    assert_eq!(ask(&self::jwks(&turned), "GET", "").await.header("etag"), etag, "whatever their order is");
}

#[tokio::test]
async fn it_is_only_read() {
    let jwks = jwks(&keys());
    let head = ask(&jwks, "HEAD", "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = ask(&jwks, method, "").await;
        assert_eq!((answer.status, answer.header("allow"), answer.body.as_str()), (405, "GET, HEAD", ""));
    }
}
