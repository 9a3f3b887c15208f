use std::time::Duration;

use serde::Deserialize;

use super::fetch::Fetch;
use crate::Error;

/// What is read of a provider's description of itself.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// Where an OpenID provider has its keys.
pub(super) async fn jwks_url(issuer: &str, timeout: Duration) -> Result<String, Error> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let body = Fetch::new(&url, timeout)?.body().await?;
    let metadata: Metadata = serde_json::from_slice(&body).map_err(|_| Error::Discovery)?;
    // Another name would be another issuer, whose keys this one could then use as its own (section 4.3).
    if metadata.issuer != issuer { Err(Error::Discovery) } else { Ok(metadata.jwks_uri) }
}
