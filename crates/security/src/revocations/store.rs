use std::fmt;

use shared_core::{AssumedTenant, TenantId};
use shared_db::{Db, TenantTx};

use super::view::{Entry, Kind};
use super::{Revocation, RevocationConfig, Revocations, postgres};
use crate::{AuditEvent, Error};

/// Where revocations are kept for all instances.
#[derive(Clone)]
pub(super) enum Store {
    Postgres(Db),
    #[cfg(feature = "redis")]
    Redis(shared_db::redis::Redis),
}

/// A revocation as a store has it.
pub(super) struct Stored {
    pub(super) entry: Entry,
    pub(super) kind: Kind,
    pub(super) name: String,
}

/// What a read has found.
pub(super) struct Found {
    pub(super) stored: Vec<Stored>,
    /// There is more than fits: everything issued until then is refused.
    pub(super) all_until: Option<i64>,
}

impl Store {
    /// Writes them, and remembers who did it: in the database in the same transaction.
    pub(super) async fn write(
        &self,
        revocations: &Revocations,
        tenant: TenantId,
        what: &[Revocation],
        event: AuditEvent,
    ) -> Result<(), Error> {
        let trail = &revocations.1;
        match self {
            Self::Postgres(db) => {
                let proof = AssumedTenant::new(tenant, "whoever revokes has proved it");
                let door = db.tenant(&proof);
                let written = door.tx(async |tx| {
                    revocations.write_in(tx, what).await?;
                    trail.record_in(tx, event.clone())
                });
                let written = written.await;
                // It holds here all the same.
                if written.is_err() {
                    trail.record(event.failed());
                }
                written
            }
            #[cfg(feature = "redis")]
            Self::Redis(redis) => {
                trail.record(event);
                super::redis::write(redis, tenant, what, &revocations.0.config).await
            }
        }
    }

    /// What was written since `cursor`, which an empty text is the beginning of, and which moves on. If there is more than
    /// fits, everything issued until `all` is refused.
    pub(super) async fn read(
        &self,
        cursor: &mut String,
        config: &RevocationConfig,
        all: i64,
    ) -> Result<Found, Error> {
        match self {
            Self::Postgres(db) => postgres::read(db, cursor, config, all).await,
            #[cfg(feature = "redis")]
            Self::Redis(redis) => super::redis::read(redis, cursor, config, all).await,
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres(_) => "Postgres",
            #[cfg(feature = "redis")]
            Self::Redis(_) => "Redis",
        })
    }
}

impl Revocations {
    /// Writes them where the transaction writes, if the store is this database: they hold if it commits.
    pub(crate) async fn write_in(&self, tx: &mut TenantTx, what: &[Revocation]) -> Result<(), Error> {
        match &self.0.store {
            Some(Store::Postgres(_)) if !what.is_empty() => {
                postgres::write_in(tx, what, &self.0.config).await
            }
            _ => Ok(()),
        }
    }

    /// After the commit: makes them hold here, and tells a store that is not the database of the transaction.
    pub(crate) async fn apply(&self, tenant: TenantId, what: &[Revocation]) -> Result<(), Error> {
        self.apply_here(tenant, what);
        match &self.0.store {
            #[cfg(feature = "redis")]
            Some(Store::Redis(redis)) if !what.is_empty() => {
                super::redis::write(redis, tenant, what, &self.0.config).await
            }
            _ => Ok(()),
        }
    }
}
