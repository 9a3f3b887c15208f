use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::ParsedPublicKey;

use super::public::Public;
use super::{Algorithm, pem};
use crate::Error;

/// A key that verifies tokens: a public one, or for HS256 the secret itself. Cheap to clone; it was parsed when it was
/// read, so that verifying does not.
#[derive(Clone)]
pub struct VerifyingKey(Arc<Inner>);

struct Inner {
    id: String,
    algorithm: Algorithm,
    check: Check,
}

pub(super) enum Check {
    Public { public: Public, parsed: ParsedPublicKey },
    Secret(Box<hmac::Key>),
}

impl VerifyingKey {
    /// The id by which tokens name it (`kid`): its thumbprint of RFC 7638, so that nobody has to hand one out. Keys of
    /// other issuers keep the id that their JWK has.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The one algorithm of tokens that it verifies.
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// A public key under its thumbprint, or under the id that its issuer gave it.
    pub(super) fn new(public: Public, id: Option<String>) -> Option<Self> {
        let id = id.unwrap_or_else(|| public.thumbprint());
        let (algorithm, parsed) = (public.algorithm(), public.parse()?);
        Some(Self(Arc::new(Inner { id, algorithm, check: Check::Public { public, parsed } })))
    }

    pub(super) fn secret(id: String, key: hmac::Key) -> Self {
        Self(Arc::new(Inner { id, algorithm: Algorithm::Hs256, check: Check::Secret(Box::new(key)) }))
    }

    /// Whether both are the same key under the same id.
    #[cfg(any(feature = "jwks", feature = "postgres"))]
    pub(crate) fn is(&self, other: &Self) -> bool {
        let same = match (&self.0.check, &other.0.check) {
            (Check::Public { public: one, .. }, Check::Public { public: other, .. }) => one == other,
            // Their id is the thumbprint of the secret.
            (Check::Secret(_), Check::Secret(_)) => true,
            _ => false,
        };
        same && self.id() == other.id()
    }

    pub(super) fn check(&self) -> &Check {
        &self.0.check
    }

    /// Whether the signature is this key's over the message; for HS256 in constant time.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.0.check {
            Check::Public { parsed, .. } => parsed.verify_sig(message, signature).is_ok(),
            Check::Secret(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}

impl FromStr for VerifyingKey {
    type Err = Error;

    /// Reads a public key in SPKI form: PEM, or for one-line settings its base64 alone.
    fn from_str(text: &str) -> Result<Self, Error> {
        let read = || Self::new(Public::from_spki(&pem::decode(text, "PUBLIC KEY")?)?, None);
        read().ok_or(Error::VerifyingKey)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({} {})", self.0.algorithm, self.0.id)
    }
}

shared_core::setting!(
    VerifyingKey,
    "an Ed25519, P-256 or RSA public key (2048 bits or more) in SPKI form, as PEM or its base64 alone"
);
