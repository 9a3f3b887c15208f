//! What is opened at the start.

use std::sync::Arc;

use shared_service::prelude::*;
use shared_service::security::{
    Algorithm, Audit, Issuer, Jwks, KeyRing, Keys, LoginGuard, PasswordConfig, Passwords, Policy,
    RevocationConfig, RevocationWorker, Revocations, Sealer, Sessions, Tenants, TokenType, Verifier,
    WhenStale,
};

use crate::guard::Guard;
use crate::permissions::MATRIX;
use crate::settings::{Settings, TokenConfig};

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
    _tasks: Arc<Tasks>,
}

/// What runs beside the requests. It ends with the last clone of the state.
struct Tasks {
    _ring: KeyRing,
    _revocations: RevocationWorker,
}

impl App {
    /// Opens everything, and hands the guard of the routes what it was waiting for.
    pub(crate) async fn open(start: Start<Settings>, guard: Guard) -> Result<Self, Failure> {
        let audit = start.audit()?;
        let Start { settings, db, .. } = start;
        let tokens = &settings.tokens;
        let sealer = Sealer::new(tokens.master_keys.iter().cloned())?;
        let ring = KeyRing::open(db.clone(), sealer, settings.keys.clone()).await?;
        let mut revoked = RevocationConfig::new(WhenStale::Refuse);
        // With the verifier's leeway, and as much again for clocks.
        revoked.longest_token = tokens.lifetime + Duration::from_secs(60);
        let (revocations, worker) = Revocations::over_postgres(db.clone(), revoked).await?;
        let own = verifier(tokens, [&tokens.audience], &ring.keys(), &revocations)?;
        let all = tokens.audiences.iter().chain([&tokens.audience]);
        let app = Self {
            passwords: Passwords::new(PasswordConfig::default())?,
            logins: LoginGuard::new(db.clone()),
            sessions: Sessions::new(db.clone(), revocations.clone(), settings.sessions.clone())?,
            tenants: Tenants::start(db.clone(), &MATRIX, settings.tenants.clone()).await?,
            issuer: Issuer::new(ring.signing_keys(), &tokens.issuer, &tokens.audience)
                .with_lifetime(tokens.lifetime),
            any_audience: verifier(tokens, all, &ring.keys(), &revocations)?,
            jwks: Jwks::new(ring.keys()),
            _tasks: Arc::new(Tasks { _ring: ring, _revocations: worker }),
            verifier: own,
            audit,
            revocations,
            db,
            settings: settings.clone(),
        };
        guard.open(&app)?;
        Ok(app)
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
