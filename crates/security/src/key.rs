use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::CryptoProvider;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::jwk::{EllipticCurve, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use shared_core::Secret;
use shared_core::schema::{Kind, Value};

use crate::Error;

/// The one algorithm: of verifier, issuer and keys. A token's header is compared with it and never decides.
pub(crate) const ALGORITHM: Algorithm = Algorithm::EdDSA;

/// Named, and not asked for by `jsonwebtoken`'s own functions: those take the one of the process, and panic when
/// another crate of the program switches on the second backend.
static CRYPTO: &CryptoProvider = &DEFAULT_PROVIDER;

const PUBLIC_KEY_BYTES: usize = 32;

/// An Ed25519 private key that signs tokens. `Debug` shows its id, and the memory is overwritten when it is dropped.
#[derive(Clone)]
pub struct SigningKey {
    key: EncodingKey,
    public: VerifyingKey,
}

impl SigningKey {
    /// Reads a key in PKCS#8 form: PEM, or for one-line settings its base64 alone.
    ///
    /// # Errors
    /// [`Error::SigningKey`] if it is anything else.
    pub fn from_pem(text: &Secret) -> Result<Self, Error> {
        let key = EncodingKey::from_ed_pem(pem(text.expose(), "PRIVATE KEY").expose().as_bytes());
        let key = key.map_err(|_| Error::SigningKey)?;
        let public =
            (CRYPTO.key_utils.ed_pub_components_from_private_key)(key.as_bytes(), &EllipticCurve::Ed25519)
                .map_err(|_| Error::SigningKey)?;
        Ok(Self { key, public: VerifyingKey::from_bytes(&public).ok_or(Error::SigningKey)? })
    }

    /// The public half, which verifies what this key signs.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signer = (CRYPTO.signer_factory)(&ALGORITHM, &self.key).map_err(Error::Signing)?;
        signer.try_sign(message).map_err(|error| Error::Signing(error.into()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id)
    }
}

impl Value for SigningKey {
    const KIND: Kind = Kind::Secret;

    fn parse(text: &str) -> Option<Self> {
        Self::from_pem(&Secret::new(text)).ok()
    }
}

/// An Ed25519 public key that verifies tokens.
#[derive(Clone)]
pub struct VerifyingKey {
    id: String,
    key: DecodingKey,
}

impl VerifyingKey {
    /// The id by which tokens name it (`kid`): its thumbprint of RFC 7638, so that nobody has to hand one out.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn from_bytes(public: &[u8]) -> Option<Self> {
        (public.len() == PUBLIC_KEY_BYTES)
            .then(|| Some(Self { id: thumbprint(public)?, key: DecodingKey::from_ed_der(public) }))?
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &Vec<u8>) -> bool {
        (CRYPTO.verifier_factory)(&ALGORITHM, &self.key)
            .is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
    }
}

impl FromStr for VerifyingKey {
    type Err = Error;

    /// Reads a key in SPKI form: PEM, or for one-line settings its base64 alone.
    fn from_str(text: &str) -> Result<Self, Error> {
        let key = DecodingKey::from_ed_pem(pem(text, "PUBLIC KEY").expose().as_bytes());
        let key = key.map_err(|_| Error::VerifyingKey)?;
        let public = key.try_get_as_bytes().map_err(|_| Error::VerifyingKey)?;
        Self::from_bytes(public).ok_or(Error::VerifyingKey)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.id)
    }
}

shared_core::setting!(VerifyingKey, "an Ed25519 public key in SPKI form, as PEM or its base64 alone");

/// Puts the lines around base64 that make it PEM.
fn pem(text: &str, label: &str) -> Secret {
    let text = text.trim();
    if text.starts_with("-----") {
        Secret::new(text)
    } else {
        Secret::new(format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n"))
    }
}

/// RFC 7638, over the members that RFC 8037 names for an Ed25519 key.
fn thumbprint(public: &[u8]) -> Option<String> {
    let x = URL_SAFE_NO_PAD.encode(public);
    let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    let digest = (CRYPTO.key_utils.compute_digest)(jwk.as_bytes(), ThumbprintHash::SHA256).ok()?;
    Some(URL_SAFE_NO_PAD.encode(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and the thumbprint of RFC 8037, appendix A.3.
    #[test]
    fn the_id_is_the_thumbprint_of_the_standard() {
        let public = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let key = VerifyingKey::from_bytes(&public).unwrap();
        assert_eq!(key.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
