use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use jsonwebtoken::jwk::JwkSet;

use crate::claims::encode;
use crate::{Keys, VerifyingKey};

/// 5 minutes: how long others may believe a key that was withdrawn, and how long a new one stays unknown to them.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(300);

/// The public keys as a document for others: a JWK Set (RFC 7517), with the headers that let them keep it for 5 minutes.
///
/// Secrets of HS256 are not in it, nor is any private half: the document is made of public numbers. Cheap to clone.
///
/// With the feature `axum` it is a service: `Router::new().route_service("/.well-known/jwks.json", Jwks::new(keys))`.
#[derive(Clone, Debug)]
pub struct Jwks {
    keys: Keys,
    written: Arc<ArcSwapOption<Document>>,
}

/// The document of one epoch.
#[derive(Debug)]
struct Document {
    epoch: u64,
    body: Bytes,
    etag: HeaderValue,
}

impl Jwks {
    /// Publishes these keys, also when they change.
    pub fn new(keys: Keys) -> Self {
        Self { keys, written: Arc::default() }
    }

    /// Answers a request: 200 with the document, 304 to who has it, 405 to anything but GET and HEAD.
    pub fn respond<B, R: From<Bytes>>(&self, request: &Request<B>) -> Response<R> {
        let mut response = Response::new(R::from(Bytes::new()));
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let document = self.document();
        let headers = response.headers_mut();
        let age = HeaderValue::try_from(format!("public, max-age={}", MAX_AGE.as_secs()));
        headers.extend(age.map(|age| (CACHE_CONTROL, age)));
        headers.insert(ETAG, document.etag.clone());
        if has(request.headers(), &document.etag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
        if request.method() == Method::GET {
            *response.body_mut() = R::from(document.body.clone());
        }
        response
    }

    fn document(&self) -> Arc<Document> {
        let keys = self.keys.current();
        match self.written.load_full() {
            Some(written) if written.epoch == keys.epoch() => written,
            _ => {
                let written = Arc::new(Document::new(keys.iter(), keys.epoch()));
                self.written.store(Some(Arc::clone(&written)));
                written
            }
        }
    }
}

impl Document {
    fn new<'k>(keys: impl Iterator<Item = &'k VerifyingKey>, epoch: u64) -> Self {
        let mut keys: Vec<_> = keys.filter_map(VerifyingKey::jwk).collect();
        // In one order, so that every instance gives the same document the same tag.
        keys.sort_by(|one, other| one.common.key_id.cmp(&other.common.key_id));
        // Texts alone: there is nothing in it that can fail.
        let body = serde_json::to_vec(&JwkSet { keys }).unwrap_or_default();
        let etag = format!("\"{}\"", encode(digest(&SHA256, &body)));
        let etag = HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("\"\""));
        Self { epoch, body: body.into(), etag }
    }
}

/// Whether the caller has this document (RFC 9110, section 13.1.2).
fn has(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let given = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = given.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.trim_start_matches("W/").as_bytes() == etag.as_bytes())
}

#[cfg(feature = "axum")]
impl<B> tower_service::Service<Request<B>> for Jwks {
    type Response = Response<axum_core::body::Body>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        std::future::ready(Ok(self.respond(&request)))
    }
}
