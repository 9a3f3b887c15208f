//! A client of the service's own HTTP API, with a tenant's token, as any other program would be.

use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use shared_service::core::{Backoff, Failure, Id, TenantId, trace};
use shared_service::security::{Grant, Issuer, Token};
use time::OffsetDateTime;
use tracing::{Instrument, field::Empty, info_span};

use crate::service::{
    Both, Document, Found, ReadDocuments, Stored, Upload, WriteDocuments, document_id, tenant_id,
};

/// Tries of a request whose answer says that now is a bad moment: with the waits between them, some seconds.
const TRIES: u32 = 6;

/// The way to the service, and the key that its tenants' tokens are signed with: the program is its own identity provider.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    issuer: Issuer,
}

impl Client {
    pub(crate) fn new(base: String, issuer: Issuer) -> Result<Self, Failure> {
        // The environment's proxies have no business between a program and itself.
        Ok(Self { http: reqwest::Client::builder().no_proxy().build()?, base, issuer })
    }

    /// Acts as a tenant, with a token that lasts ten minutes.
    pub(crate) fn tenant(&self, name: &str) -> Result<TenantClient, Failure> {
        let id = tenant_id(name);
        let grant =
            Grant::new(id, format!("uploader of {name}")).with_permissions((ReadDocuments, WriteDocuments));
        let token = self.issuer.issue(&grant)?;
        Ok(TenantClient { client: self.clone(), id, token })
    }

    /// Asks without any token, and tells the status.
    pub(crate) async fn without_token(&self, path: &str) -> Result<StatusCode, Failure> {
        Ok(self.http.get(format!("{}{path}", self.base)).send().await?.status())
    }
}

/// A client with a tenant's token.
#[derive(Clone, Debug)]
pub(crate) struct TenantClient {
    client: Client,
    pub(crate) id: TenantId,
    token: Token,
}

impl TenantClient {
    /// Uploads a document; what is there already stays as it is.
    pub(crate) async fn upload(&self, upload: &Upload) -> Result<Stored, Failure> {
        let path = format!("/documents/{}", document_id(self.id, &upload.path));
        let body = serde_json::to_vec(upload)?;
        read(self.send(Method::PUT, &path, &[], Some(body)).await?).await
    }

    pub(crate) async fn search(&self, text: &str, k: u16) -> Result<Found, Failure> {
        let query = [("text", text), ("k", &k.to_string())];
        read(self.send(Method::GET, "/search", &query, None).await?).await
    }

    pub(crate) async fn status(&self) -> Result<Both, Failure> {
        read(self.send(Method::GET, "/status", &[], None).await?).await
    }

    /// The status with which a document of whatever tenant is answered.
    pub(crate) async fn try_read(&self, document: Id<Document>) -> Result<StatusCode, Failure> {
        Ok(self.send(Method::GET, &format!("/documents/{document}"), &[], None).await?.status())
    }

    /// The token lasts for some time yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.token.expires_at() > OffsetDateTime::now_utc() + time::Duration::MINUTE
    }

    /// Every request is repeatable, so an answer that says "later" is asked again later.
    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Response, Failure> {
        let span = info_span!("http.client", otel.name = %method, otel.kind = "client",
            http.request.method = %method, http.response.status_code = Empty);
        let backoff = Backoff::default();
        let mut tries = 1;
        loop {
            let sent = self.attempt(&method, path, query, &body).instrument(span.clone()).await;
            let again = match &sent {
                Ok(response) => is_later(response.status()),
                Err(error) => error.is_connect() || error.is_request(),
            };
            if !again || tries == TRIES {
                let response = sent?;
                span.record("http.response.status_code", i64::from(response.status().as_u16()));
                return Ok(response);
            }
            tokio::time::sleep(backoff.delay(tries)).await;
            tries += 1;
        }
    }

    async fn attempt(
        &self,
        method: &Method,
        path: &str,
        query: &[(&str, &str)],
        body: &Option<Vec<u8>>,
    ) -> reqwest::Result<Response> {
        let url = format!("{}{path}", self.client.base);
        let mut request =
            self.client.http.request(method.clone(), url).query(query).bearer_auth(self.token.expose());
        if let Some(position) = trace::current() {
            request = request.header("traceparent", position.to_string());
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.clone());
        }
        request.send().await
    }
}

fn is_later(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::GATEWAY_TIMEOUT
    )
}

/// The body of a good answer; else what the problem says.
async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Failure> {
    let status = response.status();
    let body = response.bytes().await?;
    if status.is_success() {
        return Ok(serde_json::from_slice(&body)?);
    }
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let words = problem["detail"].as_str().or(problem["title"].as_str()).unwrap_or("without a reason");
    Err(Failure::new(format!("the service answered {status}: {words}")))
}
