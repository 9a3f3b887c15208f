//! Tenants that are locked out as a whole, and people who act as others.

use shared_core::{InTenant, TenantId};
use shared_db::{Tx, statements};

use super::Tenants;
use crate::trail::{Recorded, Trail};
use crate::{AuditEvent, Error, Grant, SystemScope};

statements! {
    const SUSPEND: Statement<(TenantId, String, String), ()> = "
        insert into shared_security.tenant (tenant_id, suspended_at, suspended_by, reason) values ($1, now(), $2, $3)
            on conflict (tenant_id) do update set epoch = tenant.epoch + 1,
                suspended_at = coalesce(tenant.suspended_at, now()), suspended_by = $2, reason = $3";
    const REACTIVATE: Statement<(TenantId,), ()> = "
        update shared_security.tenant
        set epoch = epoch + 1, suspended_at = null, suspended_by = null, reason = null
        where tenant_id = $1 and suspended_at is not null";
}

impl Tenants {
    /// Suspends the scope's tenant for the scope's reason: its requests are answered 403, at once in this process, within a
    /// second in the others. Nothing of it is lost.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn suspend(&self, scope: &SystemScope) -> Result<(), Error> {
        let (tenant, actor) = (scope.context().tenant(), scope.context().actor());
        let door = self.db().system();
        let suspended = door.tx(async |tx| {
            tx.execute(&SUSPEND, (tenant, actor.as_str(), scope.reason())).await?;
            self.happened(tx, "tenant.suspended", scope).await
        });
        suspended.await?.committed();
        self.forget(tenant);
        Ok(())
    }

    /// Lets the scope's tenant in again.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn reactivate(&self, scope: &SystemScope) -> Result<(), Error> {
        let tenant = scope.context().tenant();
        let door = self.db().system();
        let reactivated = door.tx(async |tx| {
            tx.execute(&REACTIVATE, (tenant,)).await?;
            self.happened(tx, "tenant.reactivated", scope).await
        });
        reactivated.await?.committed();
        self.forget(tenant);
        Ok(())
    }

    /// What a token says with which the scope's actor acts as a subject of the scope's tenant. It names the subject's roles
    /// of now, so it never comes to more than the subject has, and less as soon as the subject has less; the context of
    /// every request names both (`act`, RFC 8693). Issue it for a short time. It is on record before it is returned.
    ///
    /// # Errors
    /// [`Error::NotImpersonated`] for a subject with a permission of the system, [`Error::Database`].
    pub async fn impersonate(&self, scope: &SystemScope, subject: &str) -> Result<Grant, Error> {
        let context = scope.context();
        let named = self.system_roles(scope).of(subject).await?;
        let view = self.view(context).await?;
        let permissions = named.iter().map(|role| view.roles().permissions_of(role));
        if let Some(permission) =
            permissions.into_iter().find_map(|permissions| permissions.first_of_system())
        {
            let event = AuditEvent::new("impersonation.refused").denied().within(scope);
            left_by(self, scope).record(event.target("subject", subject).because(scope.reason()));
            return Err(Error::NotImpersonated { subject: subject.to_owned(), permission });
        }
        let event = AuditEvent::new("impersonation.granted").within(scope).target("subject", subject);
        let event = event.because(scope.reason());
        let door = self.db().tenant(scope);
        door.tx(async |tx| left_by(self, scope).record_in(tx, event.clone())).await?;
        Ok(Grant::new(context.tenant(), subject).with_roles(named).with_actor(context.actor().as_str()))
    }

    /// Remembers what this transaction does, with the reason of the scope.
    async fn happened(
        &self,
        tx: &mut Tx,
        action: &'static str,
        scope: &SystemScope,
    ) -> Result<Recorded, Error> {
        let event = AuditEvent::new(action).within(scope).because(scope.reason());
        left_by(self, scope).record_by_system(tx, event).await
    }
}

fn left_by(tenants: &Tenants, scope: &SystemScope) -> Trail {
    tenants.trail.left_from(scope.address())
}
