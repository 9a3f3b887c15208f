//! What is opened at the start.

use std::sync::Arc;

use axum::http::Method;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use shared_service::prelude::*;
use shared_service::security::{
    Algorithm, Audit, By, Cors, CorsLayer, Error, Issuer, Jwks, KeyRing, Keys, Limit, Limiter, LoginGuard,
    OnOutage, PasswordConfig, Passwords, Policy, PostgresLimits, Revocations, Rule, Sessions, Tenants,
    TokenType, Verifier,
};

use crate::settings::{Settings, TokenConfig};

/// The verifier's leeway, and as much again for clocks.
const LEEWAY: Duration = Duration::from_secs(60);

/// What handlers work with. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub(crate) db: Db,
    pub(crate) settings: Arc<Settings>,
    pub(crate) passwords: Passwords,
    pub(crate) logins: LoginGuard,
    pub(crate) sessions: Sessions,
    pub(crate) revocations: Revocations,
    pub(crate) tenants: Tenants,
    pub(crate) issuer: Issuer,
    /// Believes what users of this service show.
    pub(crate) verifier: Verifier,
    /// Believes every token that was issued here, for whatever service.
    pub(crate) any_audience: Verifier,
    pub(crate) jwks: Jwks,
    pub(crate) audit: Audit,
    /// Makes and rotates the keys, until the last clone of the state is gone.
    _ring: Arc<KeyRing>,
}

impl App {
    pub(crate) async fn open(start: Start<Settings>) -> Result<Self, Failure> {
        let (audit, revocations, tenants) = (start.audit()?, start.revocations()?, start.tenants()?);
        let Start { settings, db, .. } = start;
        let tokens = &settings.tokens;
        let ring = settings.keys.open(db.clone(), tokens.lifetime + LEEWAY).await?.with_audit(audit.clone());
        let sessions = Sessions::new(db.clone(), revocations.clone(), settings.sessions.clone())?;
        let all = tokens.audiences.iter().chain([&tokens.audience]);
        Ok(Self {
            passwords: Passwords::new(PasswordConfig::default())?,
            logins: LoginGuard::new(db.clone()).with_audit(audit.clone()),
            sessions: sessions.with_audit(audit.clone()),
            issuer: Issuer::new(ring.signing_keys(), &tokens.issuer, &tokens.audience)
                .with_lifetime(tokens.lifetime),
            verifier: verifier(tokens, [&tokens.audience], &ring.keys(), &revocations)?,
            any_audience: verifier(tokens, all, &ring.keys(), &revocations)?,
            jwks: Jwks::new(ring.keys()),
            _ring: Arc::new(ring),
            settings: settings.clone(),
            audit,
            revocations,
            tenants,
            db,
        })
    }

    /// The pages that may call this service.
    pub(crate) fn cors(&self) -> CorsLayer {
        Cors::from_origins(self.settings.tokens.origins.iter().cloned())
            .methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
            .headers([AUTHORIZATION, CONTENT_TYPE])
            .layer()
    }

    /// How often credentials may be tried, counted in the database for all instances: they are asked for seldom enough. Without its
    /// answer nobody could log in anyway.
    pub(crate) fn attempts(&self) -> Result<Limiter<PostgresLimits>, Error> {
        let attempts = u64::from(self.settings.tokens.attempts);
        let rules = [
            Rule::new("address", &[By::Address], Limit::per_minute(attempts)),
            Rule::new("network", &[By::Network { v4: 24, v6: 48 }], Limit::per_minute(10 * attempts)),
        ];
        // Behind it wait the same database and a hash of a password: a login that is late is better than one that is refused.
        let store = PostgresLimits::new(self.db.clone(), OnOutage::Refuse).timeout(Duration::from_secs(2));
        Limiter::new(store, rules)
    }
}

/// Believes our own tokens for these audiences. A policy for each algorithm, so that the keys of the one before go on when the
/// setting changes.
fn verifier<'a>(
    tokens: &TokenConfig,
    audiences: impl IntoIterator<Item = &'a String>,
    keys: &Keys,
    revocations: &Revocations,
) -> Result<Verifier, Failure> {
    let mut policies = Vec::new();
    for audience in audiences {
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
            policies.push(Policy::new(&tokens.issuer, audience, TokenType::Access, algorithm, keys.clone())?);
        }
    }
    Ok(Verifier::any_of(policies)?.with_revocations(revocations.clone()))
}
