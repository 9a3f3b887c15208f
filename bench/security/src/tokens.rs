//! Verification beside plain jsonwebtoken on the same backend, which checks less: no type, no `crit`, no names that come
//! twice, no sizes. Both have parsed their key, and decode the same claims.

use jsonwebtoken::{DecodingKey, TokenData, Validation, decode};
use serde::Deserialize;
use shared_core::{Secret, TenantId};
use shared_security::{Algorithm, Grant, Issuer, SigningKey, Verifier};

use bench_report::line;

const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "notes";
const SECRET: &str = "32 bytes, drawn for a benchmark.";

/// What a service written with jsonwebtoken would decode.
#[derive(Deserialize)]
#[expect(dead_code, reason = "decoding them is what is measured")]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: u64,
    iat: u64,
    jti: String,
    tenant: String,
    scope: String,
}

pub(crate) async fn compare() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256, Algorithm::Hs256] {
        cold(algorithm).await;
    }
    for algorithm in [Algorithm::EdDsa, Algorithm::Hs256] {
        cached(algorithm).await;
    }
}

async fn cold(algorithm: Algorithm) {
    let side = Side::of(algorithm);
    let (name, goal) = match algorithm {
        Algorithm::Hs256 => ("verify HS256, cold / jsonwebtoken", "<= 0.5"),
        Algorithm::Rs256 => ("verify RS256, cold / jsonwebtoken", "<= 1.0"),
        Algorithm::Es256 => ("verify ES256, cold / jsonwebtoken", "<= 1.0"),
        _ => ("verify EdDSA, cold / jsonwebtoken", "<= 1.0"),
    };
    let operations = if algorithm == Algorithm::Hs256 { 20_000 } else { 2000 };
    let ours = side.verifier.clone().with_cache(0);
    line(name, goal, operations, || ours.verify(&side.token).unwrap(), || side.by_peer()).await;
}

async fn cached(algorithm: Algorithm) {
    let side = Side::of(algorithm);
    let (name, goal) = match algorithm {
        Algorithm::Hs256 => ("verify HS256, cached / cold", ""),
        _ => ("verify EdDSA, cached / cold", "<= 0.033"),
    };
    let cold = side.verifier.clone().with_cache(0);
    line(
        name,
        goal,
        2000,
        || side.verifier.verify(&side.token).unwrap(),
        || cold.verify(&side.token).unwrap(),
    )
    .await;
}

/// A token, and both ways of verifying it.
struct Side {
    token: String,
    verifier: Verifier,
    peers_key: DecodingKey,
    validation: Validation,
}

impl Side {
    fn of(algorithm: Algorithm) -> Self {
        let key = match algorithm {
            Algorithm::Hs256 => SigningKey::hmac(&Secret::new(SECRET)).unwrap(),
            _ => SigningKey::generate(algorithm).unwrap(),
        };
        let peers_key = match key.verifying_key().to_jwk() {
            Some(jwk) => DecodingKey::from_jwk(&serde_json::from_str(&jwk).unwrap()).unwrap(),
            None => DecodingKey::from_secret(SECRET.as_bytes()),
        };
        let mut validation = Validation::new(algorithm.name().parse().unwrap());
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        let verifier = Verifier::new(ISSUER, AUDIENCE, [key.verifying_key().clone()]).unwrap();
        let grant =
            Grant::new(TenantId::new(), "user:018f2b6e").with_permissions(["notes:read", "notes:write"]);
        let token = Issuer::new(key, ISSUER, AUDIENCE).issue(&grant).unwrap().expose().to_owned();
        Self { token, verifier, peers_key, validation }
    }

    fn by_peer(&self) -> TokenData<Claims> {
        decode(&self.token, &self.peers_key, &self.validation).unwrap()
    }
}
