//! Keys that sign tokens, and their halves that verify them.

use std::fmt;
use std::str::FromStr;

use crate::Error;

mod jwk;
pub(crate) mod jwk_set;
mod pem;
mod public;
mod signing;
mod verifying;

pub use signing::SigningKey;
pub use verifying::VerifyingKey;

/// How a token is signed (RFC 7518, section 3.1, and RFC 8037). It belongs to the key: a key signs and verifies with one
/// algorithm, so that what a token says about it can only be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// Ed25519. The default: small keys and signatures, and nothing to get wrong.
    #[default]
    EdDsa,
    /// ECDSA over P-256 with SHA-256, for clients that know no EdDSA.
    Es256,
    /// RSA with PKCS#1 padding and SHA-256, which every client knows.
    Rs256,
    /// HMAC with SHA-256: whoever can verify can sign, so it is for one program alone, and never in a JWKS.
    Hs256,
}

impl Algorithm {
    /// The name in a token's header (`alg`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::Hs256 => "HS256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let all = [Self::EdDsa, Self::Es256, Self::Rs256, Self::Hs256];
        all.into_iter().find(|algorithm| algorithm.name() == text).ok_or(Error::Algorithm)
    }
}

shared_core::setting!(Algorithm, "EdDSA, ES256, RS256 or HS256");

#[cfg(test)]
mod tests {
    use shared_core::Secret;

    use super::*;

    const ALL: [Algorithm; 4] = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256, Algorithm::Hs256];

    #[test]
    fn a_signature_is_good_for_its_key_and_its_message() {
        for algorithm in ALL {
            let (ours, theirs) =
                (SigningKey::generate(algorithm).unwrap(), SigningKey::generate(algorithm).unwrap());
            let signature = ours.sign(b"message").unwrap();
            assert!(ours.verifying_key().verifies(b"message", &signature), "{algorithm}");
            assert!(!ours.verifying_key().verifies(b"another", &signature), "{algorithm}");
            assert!(!theirs.verifying_key().verifies(b"message", &signature), "{algorithm}");
            let (last, rest) = signature.split_last().unwrap();
            assert!(!ours.verifying_key().verifies(b"message", rest), "{algorithm}: truncated");
            let longer = [rest, &[*last, 0]].concat();
            assert!(!ours.verifying_key().verifies(b"message", &longer), "{algorithm}: longer");
        }
    }

    /// ASVS 9.1.1: a signature whose numbers are zero, the order of the group, or beyond it.
    #[test]
    fn degenerate_signatures_are_refused() {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let order = [
            0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
            0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
        ];
        for r in [[0; 32], order, [0xff; 32]] {
            for s in [[0; 32], order, [0xff; 32]] {
                assert!(!key.verifying_key().verifies(b"message", &[r, s].concat()));
            }
        }
        let key = SigningKey::generate(Algorithm::Rs256).unwrap();
        for byte in [0, 1, 0xff] {
            assert!(!key.verifying_key().verifies(b"message", &[byte; 384]));
        }
    }

    #[test]
    fn a_private_key_is_the_same_after_storing_it() {
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
            let key = SigningKey::generate(algorithm).unwrap();
            let again = SigningKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
            assert_eq!(again.id(), key.id());
            assert!(key.verifying_key().verifies(b"message", &again.sign(b"message").unwrap()));
        }
        assert!(SigningKey::hmac(&Secret::new("x".repeat(32))).unwrap().to_pkcs8().is_none());
    }
}
