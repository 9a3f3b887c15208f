use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters, EllipticCurveKeyType,
    Jwk, KeyAlgorithm, KeyOperations, OctetKeyPairParameters, OctetKeyPairType, PublicKeyUse,
    RSAKeyParameters, RSAKeyType,
};
use serde_json::Value;
use shared_core::MAX_TEXT;

use super::verifying::Check;
use super::{Algorithm, VerifyingKey, public::Public};
use crate::Error;
use crate::claims::encode;

impl VerifyingKey {
    /// Reads a public key from a JWK (RFC 7517). Its `kid` becomes the id; without one, the thumbprint is.
    ///
    /// # Errors
    /// [`Error::Jwk`] for a kind of key that tokens are not signed with here, a weak key, one that is not for signatures,
    /// and one that comes with its private half or is a secret: whoever could read it can sign.
    pub fn from_jwk(json: &str) -> Result<Self, Error> {
        serde_json::from_str(json).ok().and_then(Self::from_value).ok_or(Error::Jwk)
    }

    /// The key, if tokens can be verified with it and it says nothing against that.
    pub(crate) fn from_value(json: Value) -> Option<Self> {
        // `d` is the private half of every kind of key pair.
        if json.get("d").is_some() {
            return None;
        }
        let Jwk { common, algorithm } = serde_json::from_value(json).ok()?;
        let public = public(&algorithm)?;
        let for_signatures = common.public_key_use.is_none_or(|purpose| purpose == PublicKeyUse::Signature);
        let for_verifying = common.key_operations.is_none_or(|all| all.contains(&KeyOperations::Verify));
        let for_us = common.key_algorithm.is_none_or(|algorithm| algorithm == named(public.algorithm()));
        let well_named = common.key_id.as_ref().is_none_or(|id| (1..=MAX_TEXT).contains(&id.len()));
        (for_signatures && for_verifying && for_us && well_named)
            .then(|| Self::new(public, common.key_id))
            .flatten()
    }

    /// The key as a JWK (RFC 7517), for others to verify with. A secret has none.
    pub fn to_jwk(&self) -> Option<String> {
        serde_json::to_string(&self.jwk()?).ok()
    }

    pub(crate) fn jwk(&self) -> Option<Jwk> {
        let Check::Public { public, .. } = self.check() else { return None };
        let algorithm = match public {
            Public::Ed25519(x) => AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
                key_type: OctetKeyPairType::OctetKeyPair,
                curve: EllipticCurve::Ed25519,
                x: encode(x),
            }),
            Public::P256 { x, y } => AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters {
                key_type: EllipticCurveKeyType::EC,
                curve: EllipticCurve::P256,
                x: encode(x),
                y: encode(y),
            }),
            Public::Rsa { n, e } => AlgorithmParameters::RSA(RSAKeyParameters {
                key_type: RSAKeyType::RSA,
                n: encode(n),
                e: encode(e),
            }),
        };
        let common = CommonParameters {
            public_key_use: Some(PublicKeyUse::Signature),
            key_algorithm: Some(named(self.algorithm())),
            key_id: Some(self.id().to_owned()),
            ..CommonParameters::default()
        };
        Some(Jwk { common, algorithm })
    }
}

fn named(algorithm: Algorithm) -> KeyAlgorithm {
    match algorithm {
        Algorithm::EdDsa => KeyAlgorithm::EdDSA,
        Algorithm::Es256 => KeyAlgorithm::ES256,
        Algorithm::Rs256 => KeyAlgorithm::RS256,
        Algorithm::Hs256 => KeyAlgorithm::HS256,
    }
}

fn public(parameters: &AlgorithmParameters) -> Option<Public> {
    match parameters {
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            Some(Public::Ed25519(number(&key.x)?.try_into().ok()?))
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            Some(Public::P256 { x: number(&key.x)?.try_into().ok()?, y: number(&key.y)?.try_into().ok()? })
        }
        AlgorithmParameters::RSA(key) => Some(Public::Rsa { n: number(&key.n)?, e: number(&key.e)? }),
        _ => None,
    }
}

fn number(base64: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(base64).ok()
}
