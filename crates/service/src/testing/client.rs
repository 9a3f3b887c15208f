use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared_core::TenantId;

use super::TestService;

/// A tenant with a token.
#[derive(Clone, Debug)]
pub struct TestTenant {
    tenant: TenantId,
    token: String,
}

impl TestTenant {
    pub(super) fn new(tenant: TenantId, token: String) -> Self {
        Self { tenant, token }
    }

    /// The tenant.
    pub fn id(&self) -> TenantId {
        self.tenant
    }

    /// The token, for requests of your own.
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl<S: Clone + Send + Sync + 'static> TestService<S> {
    /// `GET`, with this tenant's token.
    pub async fn get(&self, path: &str, as_tenant: &TestTenant) -> TestResponse {
        self.send(Method::GET, path, as_tenant, None::<&()>).await
    }

    /// `POST` of JSON, with this tenant's token.
    pub async fn post(&self, path: &str, as_tenant: &TestTenant, body: impl Serialize) -> TestResponse {
        self.send(Method::POST, path, as_tenant, Some(&body)).await
    }

    /// `PUT` of JSON, with this tenant's token.
    pub async fn put(&self, path: &str, as_tenant: &TestTenant, body: impl Serialize) -> TestResponse {
        self.send(Method::PUT, path, as_tenant, Some(&body)).await
    }

    /// `DELETE`, with this tenant's token.
    pub async fn delete(&self, path: &str, as_tenant: &TestTenant) -> TestResponse {
        self.send(Method::DELETE, path, as_tenant, None::<&()>).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        tenant: &TestTenant,
        body: Option<&impl Serialize>,
    ) -> TestResponse {
        let what = format!("{method} {path}");
        let mut request =
            self.http.request(method, format!("{}{path}", self.url())).bearer_auth(&tenant.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        TestResponse { what, status, headers, body: body.to_vec() }
    }
}

/// An answer, with the questions a test asks of it. A wrong answer panics with all of it.
#[derive(Debug)]
pub struct TestResponse {
    what: String,
    status: StatusCode,
    headers: reqwest::header::HeaderMap,
    body: Vec<u8>,
}

impl TestResponse {
    /// Expects 200.
    pub fn ok(self) -> Self {
        self.status(200)
    }

    /// Expects 201.
    pub fn created(self) -> Self {
        self.status(201)
    }

    /// Expects this status.
    ///
    /// # Panics
    /// If it is another.
    pub fn status(self, expected: u16) -> Self {
        assert_eq!(self.status.as_u16(), expected, "{}: {}", self.what, self.text());
        self
    }

    /// Expects a search's answer with so many hits.
    ///
    /// # Panics
    /// If it is not, or has more or fewer.
    pub fn has_hits(self, expected: usize) -> Self {
        let found = self.json::<Value>()["items"].as_array().map(Vec::len);
        assert_eq!(found, Some(expected), "{}: {}", self.what, self.text());
        self
    }

    /// The value of a header, if it has one that is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body, as JSON.
    ///
    /// # Panics
    /// If it is not JSON, or not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", self.what, self.text()))
    }

    /// The body, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
