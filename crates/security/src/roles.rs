//! The roles of tenants: made, changed, handed out, and taken back.

mod definition;
mod refusal;
mod set;
pub(crate) mod statements;

use shared_core::{AssumedTenant, Context, InTenant};
use shared_db::{Tenant, TenantTx};

pub use definition::{RoleDefinition, StoredRole};
pub use refusal::RoleRefusal;
pub(crate) use set::{MAX_ROLES, RoleSet};
use statements::{
    ASSIGN, ASSIGNED, CHANGE, CREATE, DELETE, FORGET, GIVE_BACK, ROLES, UNASSIGN, UNASSIGN_ALL, UPDATE,
    WITHDRAW,
};

use crate::claims::is_name;
use crate::{AuditEvent, Error, Permissions, Tenants};

/// 100 roles of one subject: what fits into a token with room to spare.
const MAX_ASSIGNED: usize = 100;

/// The roles of one tenant, as somebody may deal with them. From [`Tenants::roles`] or [`Tenants::system_roles`].
///
/// Nobody hands out, takes away, or puts into a role what he does not have himself; and permissions of the system no tenant
/// hands out at all. What a call changed holds from its return on in this process, and within a second in the others, also
/// for tokens that were issued before.
///
/// A future that is dropped has either done all or nothing; which of them is unknown if its COMMIT was on its way.
#[derive(Clone, Debug)]
pub struct Roles {
    tenants: Tenants,
    context: Context,
    /// What may be handed out; everything, by the system.
    limit: Option<Permissions>,
}

impl Roles {
    pub(crate) fn new(tenants: Tenants, context: Context, limit: Option<Permissions>) -> Self {
        Self { tenants, context, limit }
    }

    /// The tenant's own roles, by name; at most 1,000.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn list(&self) -> Result<Vec<StoredRole>, Error> {
        Ok(self.door().all(&ROLES, (MAX_ROLES as i64,)).await?)
    }

    /// Makes a role; it is at version 1.
    ///
    /// # Errors
    /// [`Error::Role`] with why it was refused, [`Error::Database`].
    pub async fn create(&self, role: &RoleDefinition) -> Result<(), Error> {
        self.door()
            .tx(async |tx| {
                let roles = self.changing(tx).await?;
                if roles.find(&role.name).is_some() {
                    return Err(refused(&role.name, RoleRefusal::Taken));
                }
                if roles.len() >= MAX_ROLES {
                    return Err(refused(&role.name, RoleRefusal::TooMany { max: MAX_ROLES, of: "roles" }));
                }
                self.check(&roles, role)?;
                tx.one(&CREATE, (role.name.as_str(), &role.permissions, &role.inherits)).await?;
                self.refuse_too_deep(tx, &role.name).await?;
                self.report(tx, "role.created", &role.name, None)
            })
            .await
    }

    /// Makes another of the role that is at this version, and returns its new version.
    ///
    /// # Errors
    /// [`Error::Role`] with why it was refused: [`RoleRefusal::Stale`] if somebody else was faster. [`Error::Database`].
    pub async fn change(&self, role: &RoleDefinition, version: i64) -> Result<i64, Error> {
        self.door()
            .tx(async |tx| {
                let roles = self.changing(tx).await?;
                self.at_version(&roles, &role.name, version)?;
                self.check(&roles, role)?;
                let version =
                    tx.one(&UPDATE, (role.name.as_str(), &role.permissions, &role.inherits)).await?;
                self.refuse_too_deep(tx, &role.name).await?;
                self.report(tx, "role.changed", &role.name, None)?;
                Ok::<_, Error>(version)
            })
            .await
    }

    /// Deletes the role that is at this version, for everybody who has it.
    ///
    /// A role of the same name that is made later counts in tokens issued half a minute after this one was deleted.
    ///
    /// # Errors
    /// [`Error::Role`] with why it was refused, [`Error::Database`].
    pub async fn delete(&self, name: &str, version: i64) -> Result<(), Error> {
        self.door()
            .tx(async |tx| {
                let roles = self.changing(tx).await?;
                self.at_version(&roles, name, version)?;
                if let Some(heir) = roles.heir_of(name) {
                    return Err(refused(name, RoleRefusal::Inherited { heir: heir.to_owned() }));
                }
                tx.execute(&DELETE, (name,)).await?;
                tx.execute(&UNASSIGN_ALL, (name,)).await?;
                withdraw(tx, "", name).await?;
                self.report(tx, "role.deleted", name, None)
            })
            .await
    }

    /// Gives a subject a role, the program's or the tenant's own. The next token of the subject should name it; one that
    /// names it already has it at once.
    ///
    /// # Errors
    /// [`Error::Role`] with why it was refused, [`Error::Database`].
    pub async fn assign(&self, subject: &str, role: &str) -> Result<(), Error> {
        self.door()
            .tx(async |tx| {
                self.handing_out(tx, subject, role).await?;
                let assigned: Vec<String> = tx.all(&ASSIGNED, (subject, MAX_ASSIGNED as i64)).await?;
                if assigned.len() >= MAX_ASSIGNED {
                    let refusal = RoleRefusal::TooMany { max: MAX_ASSIGNED, of: "roles for one subject" };
                    return Err(refused(role, refusal));
                }
                tx.execute(&GIVE_BACK, (subject, role)).await?;
                tx.execute(&ASSIGN, (subject, role, self.context.actor().as_str())).await?;
                self.report(tx, "role.assigned", role, Some(subject))
            })
            .await
    }

    /// Takes a role from a subject, also out of tokens that it holds.
    ///
    /// # Errors
    /// [`Error::Role`] with why it was refused, [`Error::Database`].
    pub async fn withdraw(&self, subject: &str, role: &str) -> Result<(), Error> {
        self.door()
            .tx(async |tx| {
                self.handing_out(tx, subject, role).await?;
                tx.execute(&UNASSIGN, (subject, role)).await?;
                withdraw(tx, subject, role).await?;
                self.report(tx, "role.withdrawn", role, Some(subject))
            })
            .await
    }

    /// The roles of a subject, by name: what its next token names.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn of(&self, subject: &str) -> Result<Vec<String>, Error> {
        Ok(self.door().all(&ASSIGNED, (subject, MAX_ASSIGNED as i64)).await?)
    }

    fn door(&self) -> Tenant {
        let proof =
            AssumedTenant::continuing(self.context.clone(), "its proof was shown for the door to its roles");
        self.tenants.db().tenant(&proof)
    }

    /// Nobody else changes the tenant's roles until the end of the transaction, and then everybody looks again.
    async fn changing(&self, tx: &mut TenantTx) -> Result<RoleSet, Error> {
        tx.one(&CHANGE, ()).await?;
        let (tenants, tenant) = (self.tenants.clone(), self.context.tenant());
        tx.after_commit(move || tenants.forget(tenant));
        self.roles(tx).await
    }

    async fn roles(&self, tx: &mut TenantTx) -> Result<RoleSet, Error> {
        Ok(RoleSet::new(self.tenants.matrix(), tx.all(&ROLES, (MAX_ROLES as i64,)).await?))
    }

    /// What the role's heirs have inherited by now is part of it.
    async fn refuse_too_deep(&self, tx: &mut TenantTx, role: &str) -> Result<(), Error> {
        match self.roles(tx).await?.too_deep() {
            true => Err(refused(role, RoleSet::TOO_DEEP)),
            false => Ok(()),
        }
    }

    /// The role is the tenant's own, at this version, and nobody here is too small for it.
    fn at_version(&self, roles: &RoleSet, name: &str, version: i64) -> Result<(), Error> {
        let found = roles.get(name).ok_or_else(|| refused(name, RoleRefusal::Unknown))?.version;
        if found != version {
            return Err(refused(name, RoleRefusal::Stale { found }));
        }
        self.within_limit(name, &roles.permissions_of(name))
    }

    async fn handing_out(&self, tx: &mut TenantTx, subject: &str, role: &str) -> Result<(), Error> {
        if !is_name(subject) {
            return Err(refused(role, RoleRefusal::Subject));
        }
        let roles = self.changing(tx).await?;
        roles.find(role).ok_or_else(|| refused(role, RoleRefusal::Unknown))?;
        self.within_limit(role, &roles.permissions_of(role))
    }

    /// What the definition would come to is something that may be handed out here.
    fn check(&self, roles: &RoleSet, role: &RoleDefinition) -> Result<(), Error> {
        let permissions = roles.check(role).map_err(|refusal| self.refuse(&role.name, refusal))?;
        self.within_limit(&role.name, &permissions)
    }

    fn within_limit(&self, role: &str, permissions: &Permissions) -> Result<(), Error> {
        let Some(limit) = &self.limit else { return Ok(()) };
        let system = permissions.first_of_system().map(|permission| RoleRefusal::System { permission });
        let beyond = permissions.first_beyond(limit).map(|permission| RoleRefusal::Escalation { permission });
        system.or(beyond).map_or(Ok(()), |refusal| Err(self.refuse(role, refusal)))
    }

    /// Whoever reaches for what is not theirs goes on record; who makes a mistake in a name does not.
    fn refuse(&self, role: &str, refusal: RoleRefusal) -> Error {
        let reason = match refusal {
            RoleRefusal::System { .. } => Some("it has a permission of the system"),
            RoleRefusal::Escalation { .. } => Some("it has a permission that its dealer has not"),
            _ => None,
        };
        if let Some(reason) = reason {
            let event = AuditEvent::new("role.refused").denied().within(self).target("role", role);
            self.tenants.trail.record(event.because(reason));
        }
        refused(role, refusal)
    }

    /// Remembers what this transaction does.
    fn report(
        &self,
        tx: &mut TenantTx,
        action: &'static str,
        role: &str,
        subject: Option<&str>,
    ) -> Result<(), Error> {
        let event = AuditEvent::new(action).within(self);
        let event = match subject {
            Some(subject) => event.target("subject", subject).detail("role", role),
            None => event.target("role", role),
        };
        self.tenants.trail.record_in(tx, event)
    }
}

impl InTenant for Roles {
    fn context(&self) -> &Context {
        &self.context
    }
}

async fn withdraw(tx: &mut TenantTx, subject: &str, role: &str) -> Result<(), Error> {
    tx.execute(&FORGET, ()).await?;
    tx.execute(&WITHDRAW, (subject, role)).await?;
    Ok(())
}

fn refused(role: &str, refusal: RoleRefusal) -> Error {
    Error::Role { role: role.to_owned(), refusal }
}
