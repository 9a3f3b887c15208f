use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rsa::PublicKey as RsaPublicKey;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    VerificationAlgorithm,
};
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;

use super::Algorithm;
use crate::claims::encode;

/// The numbers of a public key, big-endian: what RFC 7518 and RFC 8037 put into a JWK.
#[derive(PartialEq, Eq)]
pub(super) enum Public {
    Ed25519([u8; 32]),
    P256 { x: [u8; 32], y: [u8; 32] },
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl Public {
    /// Reads the form SubjectPublicKeyInfo, in its one canonical encoding.
    pub(super) fn from_spki(der: &[u8]) -> Option<Self> {
        let is = |algorithm: &'static dyn VerificationAlgorithm| {
            let key = ParsedPublicKey::new(algorithm, der).ok()?;
            let canonical: Result<PublicKeyX509Der<'_>, Unspecified> = key.as_der();
            (canonical.ok()?.as_ref() == der).then_some(())
        };
        if is(&ED25519).is_some() {
            return der.last_chunk().copied().map(Self::Ed25519);
        }
        if is(&ECDSA_P256_SHA256_FIXED).is_some() {
            return Self::from_point(der.last_chunk::<65>()?);
        }
        is(&RSA_PKCS1_2048_8192_SHA256)?;
        Self::from_rsa(&RsaPublicKey::from_der(der).ok()?)
    }

    /// Reads a point of P-256 in the uncompressed form of SEC 1.
    pub(super) fn from_point(point: &[u8]) -> Option<Self> {
        let (4, coordinates) = point.split_first()? else { return None };
        let (x, y) = coordinates.split_first_chunk()?;
        Some(Self::P256 { x: *x, y: y.try_into().ok()? })
    }

    pub(super) fn from_rsa(key: &RsaPublicKey) -> Option<Self> {
        // Named, and not asked for by `jsonwebtoken`'s own functions: those take the provider of the process, and panic
        // when another crate of the program switches on the second backend.
        let components = DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key;
        let (n, e) = components(key.as_ref()).ok()?;
        Some(Self::Rsa { n, e })
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::EdDsa,
            Self::P256 { .. } => Algorithm::Es256,
            Self::Rsa { .. } => Algorithm::Rs256,
        }
    }

    /// The key made ready to verify, if it is a good one.
    pub(super) fn parse(&self) -> Option<ParsedPublicKey> {
        match self {
            Self::Ed25519(x) => ParsedPublicKey::new(&ED25519, x).ok(),
            Self::P256 { x, y } => {
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [&[4], x.as_slice(), y].concat()).ok()
            }
            Self::Rsa { n, e } if is_strong(n, e) => {
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()
            }
            Self::Rsa { .. } => None,
        }
    }

    /// RFC 7638: over the members that are required, in alphabetical order.
    pub(super) fn thumbprint(&self) -> String {
        thumbprint(&match self {
            Self::Ed25519(x) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, encode(x)),
            Self::P256 { x, y } => {
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, encode(x), encode(y))
            }
            Self::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, encode(e), encode(n)),
        })
    }
}

pub(super) fn thumbprint(required: &str) -> String {
    encode(digest(&SHA256, required.as_bytes()))
}

/// 2048 to 8192 bits: less can be factored, more costs every verification too much. The exponent is odd, from 65537
/// (FIPS 186-5) to 32 bits.
fn is_strong(n: &[u8], e: &[u8]) -> bool {
    let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    let exponent = e.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    (2048..=8192).contains(&bits)
        && e.len() <= 4
        && exponent >= 65537
        && exponent & 1 == 1
        && !has_the_fingerprint_of_roca(n)
}

/// CVE-2017-15361: a library of smart cards made primes whose product is a power of 65537 to every small modulus, which
/// betrays it, and which makes it easy to factor. Of other keys fewer than one in 2²⁷ look like that.
fn has_the_fingerprint_of_roca(n: &[u8]) -> bool {
    const LARGEST: u32 = 167;
    let is_prime = |number: u32| (2..number).all(|divisor| !number.is_multiple_of(divisor));
    (3..=LARGEST).filter(|number| is_prime(*number)).all(|prime| {
        let rest = n.iter().fold(0, |rest, byte| (rest << 8 | u32::from(*byte)) % prime);
        let mut powers = std::iter::successors(Some(1), |power| Some(power * 65537 % prime));
        powers.by_ref().take(prime as usize).any(|power| power == rest)
    })
}
