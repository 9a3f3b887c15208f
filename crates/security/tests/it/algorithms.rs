//! One algorithm for each policy: what confuses one with another is refused.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::EncodingKey;
use serde_json::json;
use shared_core::{Clock, Secret, TenantId};
use shared_security::VerifyError::{self, *};
use shared_security::{
    Algorithm, Grant, Issuer, Keys, Policy, SigningKey, TokenType, Verifier, VerifyingKey,
};

use crate::support::*;

static RSA: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let key = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    AsDer::<Pkcs8V1Der<'_>>::as_der(&key).unwrap().as_ref().to_vec()
});

static P256: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let random = SystemRandom::new();
    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap().as_ref().to_vec()
});

fn signing(pkcs8: &[u8]) -> SigningKey {
    SigningKey::from_pem(&Secret::new(STANDARD.encode(pkcs8))).unwrap()
}

fn policy(algorithm: Algorithm, keys: impl IntoIterator<Item = VerifyingKey>) -> Policy {
    Policy::new(ISSUER, AUDIENCE, TokenType::Access, algorithm, Keys::fixed(keys)).unwrap()
}

/// A verifier for which it is [`NOW`].
fn verifier_of(key: &SigningKey) -> Verifier {
    let policy = policy(key.algorithm(), [key.verifying_key().clone()]);
    Verifier::any_of([policy]).unwrap().with_clock(Clock::manual(NOW))
}

/// A right token of this key, but for the algorithm in its header and for its signature.
fn forged(key: &SigningKey, alg: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let header = json!({ "alg": alg, "typ": "at+jwt", "kid": key.id() });
    let message = format!("{}.{}", encode(header.to_string()), encode(claims().to_string()));
    let signature = sign(message.as_bytes());
    format!("{message}.{}", encode(signature))
}

fn by_rsa(padding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let key = RsaKeyPair::from_pkcs8(&RSA).unwrap();
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(padding, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

fn by_hmac(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let key = EncodingKey::from_secret(secret);
    let provider = &jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
    (provider.signer_factory)(&jsonwebtoken::Algorithm::HS256, &key).unwrap().try_sign(message).unwrap()
}

fn refusal(verifier: &Verifier, token: &str) -> VerifyError {
    verifier.verify(token).expect_err("the token was accepted")
}

fn one_of_each() -> Vec<SigningKey> {
    vec![key(OURS), signing(&P256), signing(&RSA), SigningKey::hmac(&Secret::new("s".repeat(32))).unwrap()]
}

#[test]
fn every_algorithm_verifies_what_it_signed() {
    for key in one_of_each() {
        let verifier = Verifier::new(ISSUER, AUDIENCE, [key.verifying_key().clone()]).unwrap();
        let token = Issuer::new(key, ISSUER, AUDIENCE).issue(&Grant::new(TenantId::new(), "user:7")).unwrap();
        assert!(verifier.verify(token.expose()).is_ok(), "{verifier:?}");
        let (message, signature) = token.expose().rsplit_once('.').unwrap();
        for wrong in
            [encode([]), encode([0; 32]), encode([0; 64]), encode([0; 256]), format!("{signature}AAAA")]
        {
            assert_eq!(refusal(&verifier, &format!("{message}.{wrong}")), BadSignature, "{verifier:?}");
        }
    }
}

/// ASVS 9.1.2: a header with another algorithm than the policy's is refused, whatever key it names.
#[test]
fn a_header_does_not_choose_the_algorithm() {
    for key in one_of_each() {
        let verifier = verifier_of(&key);
        for other in
            ["none", "HS256", "HS384", "RS256", "RS512", "PS256", "ES256", "ES256K", "EdDSA", "Ed25519"]
        {
            if other != key.algorithm().name() {
                let token = forged(&key, other, |message| by_hmac(b"whatever", message));
                assert_eq!(refusal(&verifier, &token), WrongAlgorithm, "{other} for {verifier:?}");
            }
        }
    }
}

/// ASVS 9.1.2: the public half is public, in each of the forms that somebody might feed to an HMAC.
#[test]
fn a_public_key_is_no_hmac_secret() {
    for key in [signing(&P256), signing(&RSA)] {
        let verifier = verifier_of(&key);
        let jwk = key.verifying_key().to_jwk().unwrap();
        let raw = match key.algorithm() {
            Algorithm::Es256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &P256)
                .unwrap()
                .public_key()
                .as_ref()
                .to_vec(),
            _ => RsaKeyPair::from_pkcs8(&RSA).unwrap().public_key().as_ref().to_vec(),
        };
        let base64 = STANDARD.encode(&raw);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n");
        for secret in [jwk.as_bytes(), &raw, base64.as_bytes(), pem.as_bytes(), key.id().as_bytes(), b""] {
            let token = forged(&key, "HS256", |message| by_hmac(secret, message));
            assert_eq!(refusal(&verifier, &token), WrongAlgorithm);
            let token = forged(&key, key.algorithm().name(), |message| by_hmac(secret, message));
            assert_eq!(refusal(&verifier, &token), BadSignature, "under the right name");
        }
    }
}

/// One RSA key can sign with either padding, so the padding is a part of what is compared.
#[test]
fn one_padding_is_not_taken_for_another() {
    let key = signing(&RSA);
    let verifier = verifier_of(&key);
    assert!(verifier.verify(forged(&key, "RS256", |message| by_rsa(&RSA_PKCS1_SHA256, message))).is_ok());
    let pss = |alg| forged(&key, alg, |message| by_rsa(&RSA_PSS_SHA256, message));
    assert_eq!(refusal(&verifier, &pss("PS256")), WrongAlgorithm);
    assert_eq!(refusal(&verifier, &pss("RS256")), BadSignature);
    let longer = |alg| forged(&key, alg, |message| by_rsa(&RSA_PKCS1_SHA512, message));
    assert_eq!(refusal(&verifier, &longer("RS512")), WrongAlgorithm);
    assert_eq!(refusal(&verifier, &longer("RS256")), BadSignature);
}

/// ASVS 9.1.1: signatures that a careless check of ECDSA accepts for every message.
#[test]
fn numbers_that_fit_every_message_are_no_signature() {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let key = signing(&P256);
    let verifier = verifier_of(&key);
    for r in [[0; 32], ORDER, [0xff; 32]] {
        for s in [[0; 32], ORDER, [0xff; 32]] {
            assert_eq!(refusal(&verifier, &forged(&key, "ES256", |_| [r, s].concat())), BadSignature);
        }
    }
    // The same signature as ASN.1, which is how everybody but JOSE writes it.
    let asn1 = |message: &[u8]| {
        use aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &P256).unwrap();
        key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    };
    assert_eq!(refusal(&verifier, &forged(&key, "ES256", asn1)), BadSignature);
}

/// ASVS 9.1.2: in a set with keys of several algorithms, each verifies with its own.
#[test]
fn a_key_of_another_algorithm_is_never_asked() {
    let keys = one_of_each();
    let all: Vec<_> = keys.iter().map(|key| key.verifying_key().clone()).collect();
    for key in &keys {
        let policy = policy(key.algorithm(), all.iter().cloned());
        let verifier = Verifier::any_of([policy]).unwrap();
        for other in &keys {
            let issuer = Issuer::new(other.clone(), ISSUER, AUDIENCE);
            let token = issuer.issue(&Grant::new(TenantId::new(), "user:7")).unwrap();
            let expected = (other.id() != key.id()).then_some(WrongAlgorithm);
            assert_eq!(verifier.verify(token.expose()).err(), expected, "{verifier:?}");
            // The id of another key, under the name of the right algorithm.
            if other.id() != key.id() {
                let token = forged(other, key.algorithm().name(), |message| by_hmac(&[b's'; 32], message));
                assert_eq!(refusal(&verifier, &token), WrongAlgorithm);
            }
        }
    }
    assert!(matches!(Verifier::new(ISSUER, AUDIENCE, all), Err(shared_security::Error::SeveralAlgorithms)));
}

/// ASVS 9.1.3: of two keys under one id the first is meant, and nobody tries his luck with the other.
#[test]
fn an_id_that_comes_twice_names_one_key() {
    let [first, second] = [OURS, THEIRS].map(|base64| {
        let jwk = key(base64).verifying_key().to_jwk().unwrap();
        let jwk = with(serde_json::from_str(&jwk).unwrap(), json!({ "kid": "the-same" }));
        VerifyingKey::from_jwk(&jwk.to_string()).unwrap()
    });
    let verifier = Verifier::any_of([policy(Algorithm::EdDsa, [first, second])]).unwrap();
    let verifier = verifier.with_clock(Clock::manual(NOW));
    let header = with(header(), json!({ "kid": "the-same" }));
    assert!(verifier.verify(signed_by(OURS, &header, claims())).is_ok());
    assert_eq!(refusal(&verifier, &signed_by(THEIRS, &header, claims())), BadSignature);
}
