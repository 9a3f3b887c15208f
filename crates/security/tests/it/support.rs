//! Keys, tokens made by hand, and databases. Whoever makes one has the logs of the run searched for secrets from then on.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use shared_core::{Clock, Secret, TenantId};
use shared_db::{bootstrap, fingerprint};
use shared_devkit::{Postgres, TestDatabase, secrecy};
use shared_security::{Issuer, MIGRATIONS, SigningKey, Verifier, permissions};
use time::OffsetDateTime;
use time::macros::datetime;

permissions! { pub(crate) static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" } }

pub(crate) const ISSUER: &str = "https://id.example";
pub(crate) const AUDIENCE: &str = "notes";
pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-21 12:00:00 UTC);

pub(crate) const OURS: &str = "MC4CAQAwBQYDK2VwBCIEIFet8Um7EKuGr1tJQYrcrLjHRGAmhGzIX0ONiCyF8aQ3";
pub(crate) const OURS_PUBLIC: &str = "MCowBQYDK2VwAyEAxDjikCxA+enuR63JBah3ou62YroAhDh8Twltt8JNZ6M=";
pub(crate) const THEIRS: &str = "MC4CAQAwBQYDK2VwBCIEIC4AbejTlv9p3UC5SzMZ4sPsG2RpVX5x1sN2Qr3h3UC6";

pub(crate) fn key(base64: &str) -> SigningKey {
    secrecy::watch();
    SigningKey::from_pem(&Secret::new(base64)).unwrap()
}

pub(crate) fn issuer() -> Issuer {
    Issuer::new(key(OURS), ISSUER, AUDIENCE)
}

pub(crate) fn verifier() -> Verifier {
    Verifier::new(ISSUER, AUDIENCE, [key(OURS).verifying_key().clone()]).unwrap()
}

/// A verifier for which it is [`NOW`].
pub(crate) fn verifier_now() -> Verifier {
    verifier().with_clock(Clock::manual(NOW))
}

/// A header that is right.
pub(crate) fn header() -> Value {
    json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": key(OURS).verifying_key().id() })
}

/// Claims that are right at [`NOW`].
pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "user:7", "jti": "token-1", "scope": "notes:read",
        "iat": NOW.unix_timestamp(), "exp": NOW.unix_timestamp() + 600,
        "tenant": TenantId::new().to_string(),
    })
}

/// The same JSON with some members put in place of others; `null` takes one out.
pub(crate) fn with(mut json: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => json.as_object_mut().unwrap().remove(name),
            value => json.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    json
}

/// A token with our signature around whatever is given.
pub(crate) fn signed(header: impl ToString, claims: impl ToString) -> String {
    signed_by(OURS, header, claims)
}

pub(crate) fn signed_by(key: &str, header: impl ToString, claims: impl ToString) -> String {
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
    token(header, claims, Algorithm::EdDSA, &EncodingKey::from_ed_pem(pem.as_bytes()).unwrap())
}

pub(crate) fn token(
    header: impl ToString,
    claims: impl ToString,
    algorithm: Algorithm,
    key: &EncodingKey,
) -> String {
    let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signer = (DEFAULT_PROVIDER.signer_factory)(&algorithm, key).unwrap();
    let signature = signer.try_sign(message.as_bytes()).unwrap();
    format!("{message}.{}", encode(signature))
}

pub(crate) fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

pub(crate) fn decode(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).unwrap()
}

/// A database with the tables of this crate: a copy of one that is migrated once.
pub(crate) async fn database() -> TestDatabase {
    secrecy::watch();
    let server = Postgres::shared().await.unwrap();
    let migrate = async |url: String| bootstrap(&shared_db::Config::new(url), &[MIGRATIONS]).await.map(drop);
    server.database(&fingerprint(&[shared_db::MIGRATIONS, MIGRATIONS]), migrate).await.unwrap()
}
