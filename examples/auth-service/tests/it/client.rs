//! A client that logs in, and tells what it got.

use std::time::Duration;

use auth_service::{App, Settings};
use reqwest::Method;
use serde_json::{Value, json};
use shared_service::Service;
use shared_service::core::TenantId;
use shared_service::testing::TestService;

use crate::contract;

pub(crate) const PASSWORD: &str = "a staple of horses, hush-hush";

/// The service under test.
pub(crate) async fn start() -> TestService<App> {
    TestService::start(service()).await
}

pub(crate) fn service() -> Service<Settings, App> {
    auth_service::service()
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// Expects this status, and gives the body.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        if status >= 400 {
            assert_eq!(self.headers["content-type"], "application/problem+json");
            assert_eq!(self.body["status"], status);
            assert!(self.body["title"].is_string());
        }
        self.body
    }
}

/// Sends JSON, with a token or without.
pub(crate) async fn send(url: &str, method: Method, path: &str, token: &str, body: Option<Value>) -> Answer {
    let operation = method.as_str().to_lowercase();
    let mut request = reqwest::Client::new().request(method, format!("{url}{path}"));
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    contract::check(&operation, path, status, &body);
    Answer { status, headers, body }
}

/// Somebody with an account, and what they have got from the service.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) url: String,
    pub(crate) tenant: TenantId,
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) session: String,
}

impl User {
    /// Founds a tenant, and logs in.
    pub(crate) async fn owner(url: &str, email: &str) -> Self {
        let new = json!({ "tenant_name": "Acme", "email": email, "password": PASSWORD });
        Self::registered(url, email, new).await
    }

    /// Joins this user's tenant in a role, and logs in.
    pub(crate) async fn invites(&self, email: &str, role: &str) -> Self {
        let invitation = self.post("/api/auth/invitations", json!({ "role": role })).await.is(201);
        let new = json!({ "invitation": invitation["invitation"], "email": email, "password": PASSWORD });
        Self::registered(&self.url, email, new).await
    }

    async fn registered(url: &str, email: &str, new: Value) -> Self {
        let made = send(url, Method::POST, "/api/auth/register", "", Some(new)).await.is(201);
        let mut user = Self {
            url: url.to_owned(),
            tenant: made["tenant"].as_str().unwrap().parse().unwrap(),
            id: text(&made["user"]["id"]),
            email: email.to_owned(),
            access: String::new(),
            refresh: String::new(),
            session: String::new(),
        };
        user.login().await;
        user
    }

    /// Logs in anew; the session before goes on.
    pub(crate) async fn login(&mut self) {
        let pair = self.tries(PASSWORD).await.is(200);
        self.take(&pair);
    }

    /// Tries to log in.
    pub(crate) async fn tries(&self, password: &str) -> Answer {
        let shown = json!({ "tenant": self.tenant, "email": self.email, "password": password });
        send(&self.url, Method::POST, "/api/auth/login", "", Some(shown)).await
    }

    pub(crate) fn take(&mut self, pair: &Value) {
        assert_eq!(pair["token_type"], "Bearer");
        (self.access, self.refresh, self.session) =
            (text(&pair["access_token"]), text(&pair["refresh_token"]), text(&pair["session"]));
    }

    /// Shows a refresh token.
    pub(crate) async fn refreshes(&self, token: &str) -> Answer {
        let shown = json!({ "refresh_token": token });
        send(&self.url, Method::POST, "/api/auth/refresh", "", Some(shown)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(&self.url, Method::GET, path, &self.access, None).await
    }

    /// Waits until the tenant's audit log tells of this.
    pub(crate) async fn reads_of(&self, action: &str) {
        let told = async {
            while !self.get("/api/auth/audit").await.is(200).to_string().contains(action) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), told).await.expect(action);
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        send(&self.url, Method::POST, path, &self.access, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        send(&self.url, Method::PUT, path, &self.access, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        send(&self.url, Method::DELETE, path, &self.access, None).await
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
