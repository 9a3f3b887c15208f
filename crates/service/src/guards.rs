//! What of `shared-security` runs beside a service, as far as it was asked for.

use shared_core::Failure;
use shared_db::Db;
use shared_security::audit::{Sealer, Writer};
use shared_security::{
    Audit, Matrix, RevocationConfig, RevocationWorker, Revocations, Tenants, Upkeep, Verifier,
};

use crate::launch::missing;
use crate::settings::Parts;

/// What a service was asked to look after.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) matrix: Option<&'static Matrix>,
    pub(crate) audited: bool,
    pub(crate) tenants: bool,
    pub(crate) revocations: Option<RevocationConfig>,
}

/// The audit log: who writes, who seals, and who removes what is over.
struct Log {
    writer: Writer,
    sealer: Sealer,
    upkeep: Upkeep,
}

/// What runs for it. Dropping it ends all of it at once.
#[derive(Default)]
pub(crate) struct Guards {
    log: Option<Log>,
    worker: Option<RevocationWorker>,
    pub(crate) revocations: Option<Revocations>,
    pub(crate) tenants: Option<Tenants>,
    #[cfg(feature = "jwks")]
    jwks: Option<shared_security::JwksClient>,
}

impl Guards {
    /// Starts what was asked for, the audit log first: it hears of everything that comes after it.
    pub(crate) async fn start(db: &Db, asked: Asked, parts: &Parts) -> Result<Self, Failure> {
        let mut guards = Self::default();
        if asked.audited {
            let config = parts.audit.as_ref().ok_or_else(|| missing("shared_security::audit::Config"))?;
            let writer = Writer::start(db.clone(), config);
            db.on_crossing(writer.audit().crossings())?;
            let sealer = Sealer::start(db.clone(), config).await?;
            guards.log = Some(Log { writer, sealer, upkeep: Upkeep::start(db.clone(), config) });
        }
        if let Some(config) = asked.revocations {
            let (revocations, worker) = Revocations::over_postgres(db.clone(), config).await?;
            let revocations = match guards.audit() {
                Some(audit) => revocations.with_audit(audit),
                None => revocations,
            };
            (guards.revocations, guards.worker) = (Some(revocations), Some(worker));
        }
        if asked.tenants {
            let matrix = asked
                .matrix
                .ok_or_else(|| Failure::dead("tenants without permissions; call `permissions`"))?;
            let config = parts.tenants.clone().ok_or_else(|| missing("shared_security::TenantsConfig"))?;
            let tenants = Tenants::start(db.clone(), matrix, config).await?;
            guards.tenants = Some(match guards.audit() {
                Some(audit) => tenants.with_audit(audit),
                None => tenants,
            });
        }
        Ok(guards)
    }

    pub(crate) fn audit(&self) -> Option<Audit> {
        self.log.as_ref().map(|log| log.writer.audit())
    }

    /// Who verifies: by the keys of another issuer where the settings have one, and by those of the settings otherwise.
    pub(crate) async fn verifier(&mut self, parts: &Parts) -> Result<Verifier, Failure> {
        let verifier = match self.of_another_issuer(parts).await? {
            Some(verifier) => verifier,
            None => parts.security.as_ref().ok_or_else(|| missing("shared_security::Config"))?.verifier()?,
        };
        Ok(self.revoking(verifier))
    }

    pub(crate) fn revoking(&self, verifier: Verifier) -> Verifier {
        match &self.revocations {
            Some(revocations) => verifier.with_revocations(revocations.clone()),
            None => verifier,
        }
    }

    #[cfg(feature = "jwks")]
    async fn of_another_issuer(&mut self, parts: &Parts) -> Result<Option<Verifier>, Failure> {
        let Some(issuer) = &parts.issuer else { return Ok(None) };
        let (verifier, client) = issuer.connect().await?;
        self.jwks = Some(client);
        Ok(Some(verifier))
    }

    #[cfg(not(feature = "jwks"))]
    async fn of_another_issuer(&mut self, _: &Parts) -> Result<Option<Verifier>, Failure> {
        Ok(None)
    }

    /// Ends it when nothing happens any more that it looks after, the audit log last; returns how many events were lost.
    pub(crate) async fn stop(self) -> u64 {
        #[cfg(feature = "jwks")]
        if let Some(client) = self.jwks {
            client.stop().await;
        }
        if let Some(tenants) = self.tenants {
            tenants.stop().await;
        }
        if let Some(worker) = self.worker {
            worker.stop().await;
        }
        match self.log {
            Some(Log { writer, sealer, upkeep }) => {
                upkeep.stop().await;
                let lost = writer.stop().await.lost;
                // Now everything is there that it can seal.
                sealer.stop().await;
                lost
            }
            None => 0,
        }
    }
}
