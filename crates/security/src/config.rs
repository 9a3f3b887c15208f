use std::time::Duration;

use shared_core::schema::Profile;
use shared_core::{Config as Schema, Secret};

use crate::{Error, Issuer, SigningKey, Verifier, VerifyingKey};

mod issuer_keys;
mod jwks;
mod key_ring;

pub use issuer_keys::IssuerKeys;
pub use jwks::JwksConfig;
pub use key_ring::KeyRingConfig;

/// The development key, public since it stands here: profile `production` refuses its public half, wherever it
/// comes from, and without that half nobody believes it.
const DEVELOPMENT_KEY: &str = "MC4CAQAwBQYDK2VwBCIEINogfDq+4N72VcKwAB073Uyaat0i+bL7e7HXTcIVkYKL";

/// Whose tokens a program believes, and with what it signs its own.
///
/// In development nothing has to be set. In production issuer, audience and keys have to be; the signing key only
/// where tokens are issued. A program that issues by a key ring in the database has [`IssuerKeys`] beside it.
#[derive(Clone, Debug, Schema)]
pub struct Config {
    /// What the program runs for.
    pub profile: Profile,
    /// The public keys whose tokens are accepted, separated by commas: Ed25519, P-256, or RSA of 2048 bits or
    /// more, each as PEM or its base64 alone. To rotate, add the new one everywhere, then sign with it, and remove the old one when its last token has expired.
    #[config(
        default = "MCowBQYDK2VwAyEAl/1eCrd2Y1sosZj7ZAFAu6NCppT74FwaKXp46vNLsd0=",
        not_in_production = "the development key"
    )]
    pub keys: Vec<VerifyingKey>,
    /// The private key that signs tokens, for programs that issue them: in PKCS#8 form, as PEM or its base64
    /// alone. Its public half is one of the keys. Default: the development key, where that is accepted.
    #[config(
        expected = "an Ed25519, P-256 or RSA private key (2048 bits or more) in PKCS#8 form, as PEM or its base64 alone"
    )]
    pub signing_key: Option<SigningKey>,
    /// Who issues the tokens: the claim `iss`.
    #[config(default = "development", not_in_production = "the issuer of development")]
    pub issuer: String,
    /// For whom the tokens are issued: the claim `aud`. Services with an audience each don't accept each other's.
    #[config(default = "development", not_in_production = "the audience of development")]
    pub audience: String,
    /// How long an issued token is valid. 10 minutes: it can't be called back, so it must not live long.
    #[config(default = "10m", min = "1s", max = "1d")]
    pub lifetime: Duration,
    /// How far the clocks of issuer and verifier may differ. 30 s is more than NTP leaves.
    #[config(default = "30s", max = "5m")]
    pub leeway: Duration,
}

impl Config {
    /// The verifier of these settings.
    ///
    /// # Errors
    /// [`Error::DevelopmentKey`] if it is among the keys in profile `production`, however it is written, and
    /// [`Error::IncompletePolicy`] if the issuer, the audience or the list of keys is empty.
    pub fn verifier(&self) -> Result<Verifier, Error> {
        if self.profile == Profile::Production && self.accepts(&development_key()?) {
            return Err(Error::DevelopmentKey);
        }
        let verifier = Verifier::new(&self.issuer, &self.audience, self.keys.iter().cloned())?;
        Ok(verifier.with_leeway(self.leeway))
    }

    /// The issuer of these settings, whose tokens the [`verifier`](Self::verifier) of the same settings accepts.
    ///
    /// # Errors
    /// [`Error::NoSigningKey`], [`Error::UnlistedSigningKey`], and those of the verifier.
    pub fn issuer(&self) -> Result<Issuer, Error> {
        self.verifier()?;
        let key = match &self.signing_key {
            Some(key) if self.accepts(key) => key.clone(),
            Some(_) => return Err(Error::UnlistedSigningKey),
            None => Some(development_key()?).filter(|key| self.accepts(key)).ok_or(Error::NoSigningKey)?,
        };
        Ok(Issuer::new(key, &self.issuer, &self.audience).with_lifetime(self.lifetime))
    }

    fn accepts(&self, key: &SigningKey) -> bool {
        self.keys.iter().any(|accepted| accepted.id() == key.verifying_key().id())
    }
}

fn development_key() -> Result<SigningKey, Error> {
    SigningKey::from_pem(&Secret::new(DEVELOPMENT_KEY))
}
