use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode, Url, redirect};

use crate::key::jwk_set;
use crate::{Error, VerifyingKey};

/// 64 KiB: 100 RSA keys of 4096 bits fill less.
const MAX_BODY: usize = 64 * 1024;

/// A document that is fetched again and again.
pub(super) struct Fetch {
    url: Url,
    client: Client,
}

impl Fetch {
    pub(super) fn new(url: &str, timeout: Duration) -> Result<Self, Error> {
        let url = Url::parse(url).ok().filter(is_safe).ok_or(Error::JwksUrl)?;
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(timeout)
            .connect_timeout(timeout)
            .pool_max_idle_per_host(1)
            .build();
        let client = client.map_err(|error| failed("the client could not be made", error))?;
        Ok(Self { url, client })
    }

    pub(super) async fn keys(&self) -> Result<Vec<VerifyingKey>, Error> {
        jwk_set::read(&self.body().await?).map_err(refused)
    }

    /// The body of a good answer, of which no more is read than there may be.
    pub(super) async fn body(&self) -> Result<Vec<u8>, Error> {
        let answer = self.client.get(self.url.clone()).header("accept", "application/json").send().await;
        let answer = answer.map_err(|error| failed("no answer", error))?;
        if answer.status() != StatusCode::OK {
            return Err(refused("an answer other than 200"));
        }
        read(answer).await
    }
}

async fn read(mut answer: Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| failed("the answer broke off", error))? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(refused("the document is larger than 64 KiB"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Keys that somebody on the way could exchange are worth nothing. This machine is not on the way.
fn is_safe(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let has_login = !url.username().is_empty() || url.password().is_some();
    !has_login && !host.is_empty() && (url.scheme() == "https" || url.scheme() == "http" && is_here)
}

fn refused(reason: &'static str) -> Error {
    Error::JwksFetch { reason, source: None }
}

fn failed(reason: &'static str, error: reqwest::Error) -> Error {
    Error::JwksFetch { reason, source: Some(Box::new(error.without_url())) }
}
