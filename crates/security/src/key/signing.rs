use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use shared_core::Secret;
use shared_core::schema::{Kind, Value};
use zeroize::Zeroizing;

use super::public::{Public, thumbprint};
use super::{Algorithm, VerifyingKey, pem};
use crate::Error;
use crate::claims::encode;

/// A hash's length: a shorter secret is easier to guess than the hash to break (RFC 7518, section 3.2).
const MIN_SECRET: usize = 32;

/// A private key that signs tokens. Cheap to clone. `Debug` shows its id; its memory is overwritten when the last clone is
/// dropped, and so is what it was read from on the way.
#[derive(Clone)]
pub struct SigningKey(Arc<Inner>);

struct Inner {
    private: Private,
    public: VerifyingKey,
}

/// The library's own memory, which it overwrites before it frees it.
enum Private {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Secret(Box<hmac::Key>),
}

impl SigningKey {
    /// Makes a new key. RSA keys have 3072 bits, which are as hard to break as the other kinds (NIST SP 800-57), and take
    /// up to seconds to find: not for a task that others wait for.
    ///
    /// # Errors
    /// [`Error::Generate`] if the cryptographic library refuses.
    pub fn generate(algorithm: Algorithm) -> Result<Self, Error> {
        let private = match algorithm {
            Algorithm::EdDsa => Ed25519KeyPair::generate().map(Private::Ed25519),
            Algorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Private::P256),
            Algorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa3072).map(Private::Rsa),
            Algorithm::Hs256 => {
                let mut secret = Zeroizing::new([0; MIN_SECRET]);
                rand::fill(secret.as_mut_slice()).map_err(|_| Error::Generate)?;
                return Ok(Self::of_secret(secret.as_slice()));
            }
        };
        private.ok().and_then(Self::of_private).ok_or(Error::Generate)
    }

    /// Reads a private key in PKCS#8 form: PEM, or for one-line settings its base64 alone. Its kind decides the algorithm:
    /// Ed25519, P-256, or RSA of 2048 bits or more.
    ///
    /// # Errors
    /// [`Error::SigningKey`] if it is anything else.
    pub fn from_pem(text: &Secret) -> Result<Self, Error> {
        let pkcs8 = pem::decode(text.expose(), "PRIVATE KEY").ok_or(Error::SigningKey)?;
        Self::from_pkcs8(&pkcs8).ok_or(Error::SigningKey)
    }

    /// The key of HS256: the bytes of a secret, 32 or more, drawn at random and known to this program alone.
    ///
    /// # Errors
    /// [`Error::ShortSecret`] if it has fewer.
    pub fn hmac(secret: &Secret) -> Result<Self, Error> {
        let secret = secret.expose().as_bytes();
        if secret.len() < MIN_SECRET { Err(Error::ShortSecret) } else { Ok(Self::of_secret(secret)) }
    }

    /// The one algorithm that it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.0.public.algorithm()
    }

    /// The id by which tokens name it (`kid`): the thumbprint of its public half.
    pub fn id(&self) -> &str {
        self.0.public.id()
    }

    /// The half that verifies what this key signs.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.0.public
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match &self.0.private {
            Private::Ed25519(key) => key.try_sign(message).map(|signature| signature.as_ref().to_vec()),
            Private::P256(key) => {
                key.sign(&SystemRandom::new(), message).map(|signature| signature.as_ref().to_vec())
            }
            Private::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let signed = key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature);
                signed.map(|()| signature)
            }
            Private::Secret(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
        }
        .map_err(|_| Error::Signing)
    }

    pub(crate) fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        let private = Ed25519KeyPair::from_pkcs8(pkcs8)
            .map(Private::Ed25519)
            .or_else(|_| EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map(Private::P256))
            .or_else(|_| RsaKeyPair::from_pkcs8(pkcs8).map(Private::Rsa));
        Self::of_private(private.ok()?)
    }

    fn of_private(private: Private) -> Option<Self> {
        let public = match &private {
            Private::Ed25519(key) => Public::Ed25519(key.public_key().as_ref().try_into().ok()?),
            Private::P256(key) => Public::from_point(key.public_key().as_ref())?,
            Private::Rsa(key) => Public::from_rsa(key.public_key())?,
            Private::Secret(_) => return None,
        };
        let public = VerifyingKey::new(public, None)?;
        Some(Self(Arc::new(Inner { private, public })))
    }

    fn of_secret(secret: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let encoded = Zeroizing::new(encode(secret));
        // In one piece: a text that grows leaves a copy behind.
        let required = Zeroizing::new([r#"{"k":""#, &encoded, r#"","kty":"oct"}"#].concat());
        let public = VerifyingKey::secret(thumbprint(&required), key.clone());
        Self(Arc::new(Inner { private: Private::Secret(Box::new(key)), public }))
    }
}

impl SigningKey {
    /// For its way into the database, sealed. A secret has none.
    pub(crate) fn to_pkcs8(&self) -> Option<Zeroizing<Vec<u8>>> {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
        let copy = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
        match &self.0.private {
            Private::Ed25519(key) => key.to_pkcs8v1().ok().map(|document| copy(document.as_ref())),
            Private::P256(key) => key.to_pkcs8v1().ok().map(|document| copy(document.as_ref())),
            Private::Rsa(key) => {
                let document: Pkcs8V1Der<'_> = key.as_der().ok()?;
                Some(copy(document.as_ref()))
            }
            Private::Secret(_) => None,
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({} {})", self.algorithm(), self.id())
    }
}

impl Value for SigningKey {
    const KIND: Kind = Kind::Secret;

    fn parse(text: &str) -> Option<Self> {
        Self::from_pem(&Secret::new(text)).ok()
    }
}
