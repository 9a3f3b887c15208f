//! What pages in a browser may do.

use reqwest::Method;
use reqwest::header::HeaderMap;
use shared_service::testing::TestService;

use crate::client::service;

const ORIGIN: &str = "access-control-allow-origin";

/// ASVS 3.4.2: origins are listed; no other one may read an answer, or send what needs a preflight.
#[tokio::test]
async fn pages_of_listed_origins_may_call_and_no_others() {
    let origins = [("AUTH_TOKENS_ORIGINS", "https://app.acme.example".to_owned())];
    let app = TestService::start_with(service(), origins).await;
    let asks = async |method: Method, path: &str, origin: &str| -> HeaderMap {
        let request = reqwest::Client::new().request(method, format!("{}{path}", app.url()));
        let request = request.header("origin", origin).header("access-control-request-method", "POST");
        request.send().await.unwrap().headers().clone()
    };
    for path in ["/api/auth/login", "/auth/verify", "/api/auth/logout"] {
        for method in [Method::OPTIONS, Method::POST] {
            let listed = asks(method.clone(), path, "https://app.acme.example").await;
            let allowed = listed.get(ORIGIN).map(|origin| origin.to_str().unwrap());
            assert_eq!(allowed, Some("https://app.acme.example"), "{method} {path}");
            assert!(!asks(method.clone(), path, "https://evil.example").await.contains_key(ORIGIN));
        }
    }
}

/// ASVS 3.4.4 and 14.3.2: an answer is data, and nobody keeps it; but for the keys.
#[tokio::test]
async fn answers_carry_the_headers_of_an_api() {
    let app = TestService::start(service()).await;
    let headers =
        async |path: &str| reqwest::get(format!("{}{path}", app.url())).await.unwrap().headers().clone();
    let me = headers("/api/auth/me").await;
    assert_eq!(me["cache-control"], "no-store");
    assert_eq!(me["x-content-type-options"], "nosniff");
    assert!(me["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    assert_eq!(headers("/api/auth/jwks").await["cache-control"], "public, max-age=300");
}
