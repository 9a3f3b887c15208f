//! Keys of other issuers: a JWK, and a document of them.

use std::collections::HashSet;

use serde_json::Value;
use shared_security::{Algorithm, VerifyingKey};

/// A document with a key of each kind (those of RFC 8037, RFC 7515 and RFC 7517).
pub fn document() -> String {
    format!(
        r#"{{"keys":[{},
            {{"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","kid":"p256","key_ops":["verify"],
             "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}},
            {{"kty":"RSA","kid":"rsa","e":"AQAB","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}}]}}"#,
        key()
    )
}

/// A key that is right.
pub fn key() -> String {
    r#"{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#.to_owned()
}

/// The first byte says what the others are: a key, or a document.
pub fn any(bytes: &[u8]) {
    match bytes {
        [0, key @ ..] => any_key(key),
        document => any_document(document),
    }
}

/// A key that is read is the one that any parser reads, and is written as it was read.
pub fn any_key(json: &[u8]) {
    let Ok(text) = std::str::from_utf8(json) else { return };
    if let Ok(key) = VerifyingKey::from_jwk(text) {
        let said: Value = serde_json::from_str(text).expect("it was read");
        is_public_and_said(&key, &[said]);
    }
}

/// A document that is read has at most 100 keys of different ids, all of which it has said.
pub fn any_document(json: &[u8]) {
    let Ok(keys) = VerifyingKey::from_jwk_set(json) else { return };
    let said: Value = serde_json::from_slice(json).expect("it was read");
    let said = said["keys"].as_array().expect("it was read");
    let ids: HashSet<&str> = keys.iter().map(VerifyingKey::id).collect();
    assert!(ids.len() == keys.len() && (1..=100.min(said.len())).contains(&keys.len()));
    for key in &keys {
        is_public_and_said(key, said);
    }
}

fn is_public_and_said(key: &VerifyingKey, said: &[Value]) {
    assert_ne!(key.algorithm(), Algorithm::Hs256);
    let written = key.to_jwk().expect("it is public");
    let again = VerifyingKey::from_jwk(&written).expect("it was written");
    assert_eq!((again.id(), again.algorithm()), (key.id(), key.algorithm()));
    let written: Value = serde_json::from_str(&written).expect("it was written");
    let is_it = |one: &Value| {
        let same = |name: &str| one.get(name) == written.get(name);
        let named = one.get("kid").is_none_or(|id| id.is_null() || *id == written["kid"]);
        named && one.get("d").is_none() && ["kty", "crv", "x", "y", "n", "e"].into_iter().all(same)
    };
    assert!(said.iter().any(is_it), "{written} was never said");
}
