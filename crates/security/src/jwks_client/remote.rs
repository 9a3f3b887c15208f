use std::time::Duration;

use shared_core::Config as Schema;

use super::{JwksClient, JwksConfig};
use crate::{Algorithm, Error, Policy, TokenType, Verifier};

/// Another issuer whose access tokens are believed, by the keys that it publishes: an identity provider, or the
/// platform's own issuer from within another service.
#[derive(Clone, Debug, Schema)]
pub struct RemoteIssuer {
    /// Who issues the tokens: the claim `iss`, and for discovery the address of the provider.
    pub issuer: String,
    /// For whom the tokens are issued: the claim `aud`.
    pub audience: String,
    /// The one algorithm that its tokens are signed with. Keys of another one are never used.
    #[config(default = "EdDSA")]
    pub algorithm: Algorithm,
    /// Where its JWKS is. Default: where the provider says (OpenID Connect Discovery).
    pub jwks_url: Option<String>,
    /// How far the clocks of issuer and verifier may differ. 30 s is more than NTP leaves.
    #[config(default = "30s", max = "5m")]
    pub leeway: Duration,
    /// How its keys are kept up to date.
    pub jwks: JwksConfig,
}

impl RemoteIssuer {
    /// Fetches its keys, goes on doing so, and verifies by them. The verifier believes nobody once the client is stopped
    /// or dropped.
    ///
    /// # Errors
    /// Those of [`JwksClient::start`] and [`JwksClient::discover`]; [`Error::IncompletePolicy`].
    pub async fn connect(&self) -> Result<(Verifier, JwksClient), Error> {
        let client = match &self.jwks_url {
            Some(url) => JwksClient::start(url, self.jwks.clone()).await?,
            None => JwksClient::discover(&self.issuer, self.jwks.clone()).await?,
        };
        let policy =
            Policy::new(&self.issuer, &self.audience, TokenType::Access, self.algorithm, client.keys())?;
        Ok((Verifier::any_of([policy])?.with_leeway(self.leeway), client))
    }
}
