//! Tokens: whole ones, and headers and claims with a right signature around them.

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use shared_core::Secret;
use shared_security::{SigningKey, Verified, Verifier};

const SECRET: &str = "a secret of 32 bytes for a fuzzer";

static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::hmac(&Secret::new(SECRET)).expect("it has 32 bytes"));

/// Who believes that key.
pub static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    Verifier::new("issuer", "audience", [KEY.verifying_key().clone()]).expect("nothing is missing")
});

/// A header that is right.
pub fn header() -> String {
    format!(r#"{{"alg":"HS256","typ":"at+jwt","kid":"{}"}}"#, KEY.id())
}

/// Claims that are right until the year 9999.
pub fn claims() -> String {
    r#"{"iss":"issuer","aud":["audience"],"sub":"user:7","jti":"1","iat":0,"exp":253402300799,"scope":"a:b","roles":["r"],"act":{"sub":"s"},"tenant":"018f2b6e-0000-7000-8000-000000000000","x":[{"y":1.5}]}"#.to_owned()
}

/// The first byte says what the others are: a token, its header, or its claims.
pub fn any(bytes: &[u8]) {
    match bytes {
        [0, header @ ..] => any_header(header),
        [1, claims @ ..] => any_claims(claims),
        token => any_token(token),
    }
}

/// Nobody guesses a signature.
pub fn any_token(bytes: &[u8]) {
    assert!(VERIFIER.verify(bytes).is_err());
}

/// A header that is accepted is one that any parser reads as ours.
pub fn any_header(header: &[u8]) {
    if verify(header, claims().as_bytes()).is_some() {
        let json: Value = serde_json::from_slice(header).expect("it was accepted");
        assert_eq!((&json["alg"], &json["kid"]), (&"HS256".into(), &KEY.id().into()));
        let typ = json["typ"].as_str().expect("it was accepted").to_ascii_lowercase();
        assert!(["at+jwt", "application/at+jwt"].contains(&typ.as_str()));
        for refused in ["crit", "jwk", "jku", "x5c", "x5u", "b64", "zip", "cty"] {
            assert!(json.get(refused).is_none());
        }
    }
}

/// Claims that are accepted say to any parser what they say to us.
pub fn any_claims(claims: &[u8]) {
    let Some(verified) = verify(header().as_bytes(), claims) else { return };
    let json: Value = serde_json::from_slice(claims).expect("they were accepted");
    assert_eq!(json["iss"], "issuer");
    assert!(
        json["aud"] == "audience"
            || json["aud"].as_array().is_some_and(|all| all.contains(&"audience".into()))
    );
    assert_eq!((&json["sub"], &json["jti"]), (&verified.subject().into(), &verified.token_id().into()));
    let tenant: Option<shared_core::TenantId> =
        json["tenant"].as_str().and_then(|tenant| tenant.parse().ok());
    assert_eq!(tenant, Some(verified.tenant()));
    assert_eq!(json["exp"].as_i64(), Some(verified.expires_at().unix_timestamp()));
    assert_eq!(json["act"]["sub"].as_str(), verified.actor());
    assert_eq!(
        json["scope"].as_str().unwrap_or_default().split(' ').filter(|name| !name.is_empty()).count(),
        verified.scopes().count()
    );
    assert_eq!(json["roles"].as_array().map_or(0, Vec::len), verified.roles().count());
}

fn verify(header: &[u8], claims: &[u8]) -> Option<Verified> {
    VERIFIER.verify(signed(header, claims)).ok()
}

/// A token with a right signature around these.
pub fn signed(header: &[u8], claims: &[u8]) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let message = format!("{}.{}", encode(header), encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", encode(signature.as_ref()))
}
