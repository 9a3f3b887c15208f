//! Keys of every kind: how they are named, read and refused.

use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared_core::Secret;
use shared_security::{Algorithm, Error, SigningKey, VerifyingKey};

use crate::support::*;

const PAIRS: [Algorithm; 3] = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256];

fn jwk(json: Value) -> Result<VerifyingKey, Error> {
    VerifyingKey::from_jwk(&json.to_string())
}

/// The key of RFC 7638, section 3.1.
fn rsa() -> Value {
    json!({ "kty": "RSA", "e": "AQAB", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw" })
}

/// The key of RFC 9449, section 4.1.
fn p256() -> Value {
    json!({ "kty": "EC", "crv": "P-256", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs", "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA" })
}

/// The key of RFC 8037, appendix A.2.
fn ed25519() -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
}

/// ASVS 11.2.1: RFC 7638, section 3.1; RFC 9449, section 6.1; RFC 8037, appendix A.3.
#[test]
fn ids_are_the_thumbprints_of_the_standards() {
    let id = |key| jwk(key).unwrap().id().to_owned();
    assert_eq!(id(rsa()), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_eq!(id(p256()), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    assert_eq!(id(ed25519()), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let named = jwk(with(ed25519(), json!({ "kid": "2026-11" }))).unwrap();
    assert_eq!(named.id(), "2026-11", "other issuers have ids of their own");
}

#[test]
fn what_a_key_signs_its_public_half_verifies_and_nothing_else() {
    for algorithm in PAIRS {
        let (ours, theirs) =
            (SigningKey::generate(algorithm).unwrap(), SigningKey::generate(algorithm).unwrap());
        assert_eq!(ours.algorithm(), algorithm);
        let public = VerifyingKey::from_jwk(&ours.verifying_key().to_jwk().unwrap()).unwrap();
        assert_eq!((public.id(), public.algorithm()), (ours.id(), algorithm));
        assert_ne!(ours.id(), theirs.id());
    }
}

/// Keys made by OpenSSL, as an operator would.
#[test]
fn keys_of_openssl_are_read_as_pem_and_as_one_line() {
    let kinds: [(&[&str], Algorithm); 3] = [
        (&["-algorithm", "ed25519"], Algorithm::EdDsa),
        (&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], Algorithm::Es256),
        (&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], Algorithm::Rs256),
    ];
    for (arguments, algorithm) in kinds {
        let pem = openssl(&[&["genpkey"], arguments].concat(), "");
        let key = SigningKey::from_pem(&Secret::new(&pem)).unwrap();
        let public: VerifyingKey = openssl(&["pkey", "-pubout"], &pem).parse().unwrap();
        assert_eq!((key.algorithm(), key.id()), (algorithm, public.id()));
        let line: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        assert_eq!(SigningKey::from_pem(&Secret::new(line)).unwrap().id(), key.id());
    }
}

fn openssl(arguments: &[&str], input: &str) -> String {
    use std::io::Write;
    use std::process::Stdio;
    let mut openssl = Command::new("openssl");
    openssl.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = openssl.spawn().expect("openssl is installed");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// ASVS 11.2.3.
#[test]
fn weak_keys_are_refused() {
    let short = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], "");
    assert!(matches!(SigningKey::from_pem(&Secret::new(&short)), Err(Error::SigningKey)));
    let public = openssl(&["pkey", "-pubout"], &short).parse::<VerifyingKey>();
    assert!(matches!(public, Err(Error::VerifyingKey)));

    for exponent in [vec![1], vec![3], vec![0x01, 0x00, 0x02], vec![1; 5], vec![0, 1, 0, 1], Vec::new()] {
        assert!(jwk(with(rsa(), json!({ "e": encode(&exponent) }))).is_err(), "{exponent:?}");
    }
    for bits in [1024, 2047, 8193] {
        let mut n = vec![0xff; usize::div_ceil(bits, 8)];
        n[0] >>= n.len() * 8 - bits;
        assert!(jwk(with(rsa(), json!({ "n": encode(n) }))).is_err(), "{bits} bits");
    }
    assert!(matches!(SigningKey::hmac(&Secret::new("x".repeat(31))), Err(Error::ShortSecret)));
    assert!(SigningKey::hmac(&Secret::new("x".repeat(32))).is_ok());
}

/// CVE-2017-15361: 65537 to the power of 128, which has 2049 bits, is what such keys look like to every small modulus.
#[test]
fn keys_of_broken_smart_cards_are_refused() {
    let mut n = vec![1_u8];
    for _ in 0..128 {
        // Times 65537: shifted by two bytes, and added.
        let mut product = n.clone();
        product.extend([0, 0]);
        let mut carry = 0;
        let longer = product.len() - n.len();
        for at in (0..product.len()).rev() {
            let sum =
                u16::from(product[at]) + u16::from(if at < longer { 0 } else { n[at - longer] }) + carry;
            product[at] = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        n = product;
    }
    assert!(jwk(with(rsa(), json!({ "n": encode(&n) }))).is_err());
    *n.last_mut().unwrap() += 4;
    assert!(jwk(with(rsa(), json!({ "n": encode(&n) }))).is_ok(), "it is the fingerprint that was refused");
}

#[test]
fn a_jwk_that_says_no_is_refused() {
    for no in [
        json!({ "use": "enc" }),
        json!({ "use": "" }),
        json!({ "key_ops": ["sign"] }),
        json!({ "key_ops": [] }),
        json!({ "alg": "ES256" }),
        json!({ "alg": "RS384" }),
        json!({ "alg": "none" }),
        json!({ "kid": "" }),
        json!({ "kid": "x".repeat(256) }),
        json!({ "kid": 7 }),
        json!({ "kty": "oct", "k": encode([7; 32]) }),
        json!({ "kty": "EC" }),
        json!({ "n": null }),
        json!({ "n": "AQAB=" }),
        json!({ "d": "AQAB" }),
    ] {
        assert!(matches!(jwk(with(rsa(), no.clone())), Err(Error::Jwk)), "{no}");
    }
    for yes in [
        json!({ "use": "sig" }),
        json!({ "key_ops": ["verify"] }),
        json!({ "alg": "RS256" }),
        json!({ "x5t": "AQAB", "unknown": { "deep": [1] } }),
    ] {
        assert!(jwk(with(rsa(), yes.clone())).is_ok(), "{yes}");
    }
    for no in [
        json!({ "crv": "P-384" }),
        json!({ "crv": "secp256k1" }),
        json!({ "x": encode([7; 32]) }),
        json!({ "y": "AA" }),
    ] {
        assert!(jwk(with(p256(), no.clone())).is_err(), "{no}");
    }
    for no in [json!({ "crv": "X25519" }), json!({ "crv": "Ed448" }), json!({ "x": encode([7; 31]) })] {
        assert!(jwk(with(ed25519(), no.clone())).is_err(), "{no}");
    }
}

/// ASVS 13.3.1: the secret of HS256 and private halves never become a JWK.
#[test]
fn a_jwk_has_the_public_half_alone() {
    for algorithm in PAIRS {
        let text = SigningKey::generate(algorithm).unwrap().verifying_key().to_jwk().unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((json["use"].as_str(), json["alg"].as_str()), (Some("sig"), Some(algorithm.name())));
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(json.get(private).is_none(), "{text}");
        }
    }
    assert_eq!(SigningKey::generate(Algorithm::Hs256).unwrap().verifying_key().to_jwk(), None);
}

#[test]
fn only_the_form_that_was_asked_for() {
    let raw = STANDARD.encode([0x30; 32]);
    for text in ["", "x", OURS, raw.as_str(), "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----"]
    {
        assert!(matches!(text.parse::<VerifyingKey>(), Err(Error::VerifyingKey)), "{text}");
    }
    for text in ["", "x", OURS_PUBLIC, raw.as_str()] {
        assert!(matches!(SigningKey::from_pem(&Secret::new(text)), Err(Error::SigningKey)), "{text}");
    }
    assert_eq!("ES256".parse::<Algorithm>().unwrap(), Algorithm::Es256);
    assert!(matches!("none".parse::<Algorithm>(), Err(Error::Algorithm)));
}

proptest! {
    #[test]
    fn any_text_is_answered(text in ".{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(text.parse::<VerifyingKey>().is_err());
        prop_assert!(STANDARD.encode(&bytes).parse::<VerifyingKey>().is_err());
        prop_assert!(SigningKey::from_pem(&Secret::new(STANDARD.encode(&bytes))).is_err());
        prop_assert!(VerifyingKey::from_jwk(&text).is_err());
    }
}
