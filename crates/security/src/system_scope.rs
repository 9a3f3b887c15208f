#[cfg(feature = "postgres")]
use std::net::IpAddr;

use shared_core::{AssumedTenant, Context, InTenant, TenantId};

use crate::trail::Trail;
use crate::{AuditEvent, Error, May, SystemPermission};

/// The longest reason, in bytes: a sentence and the number of a ticket.
const MAX_REASON: usize = 1000;

/// The proof of acting in a tenant with the power of the system, and why. It is audited when it is made.
///
/// ```
/// # use shared_core::{InTenant, TenantId};
/// # use shared_security::{Error, May, SystemScope, permissions};
/// # permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:read" } system { RepairNotes = "notes:repair" } }
/// fn repair(may: May<RepairNotes>, of: TenantId) -> Result<SystemScope, Error> {
///     may.in_tenant(of, "ticket 4711: notes without a body")
/// }
/// ```
///
/// A permission that tenants hand out themselves does not lead out of a tenant:
///
/// ```compile_fail,E0277
/// # use shared_core::{InTenant, TenantId};
/// # use shared_security::{Error, May, SystemScope, permissions};
/// # permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:read" } system { RepairNotes = "notes:repair" } }
/// fn repair(may: May<ReadNotes>, of: TenantId) -> Result<SystemScope, Error> {
///     may.in_tenant(of, "ticket 4711: notes without a body")
/// }
/// ```
#[derive(Clone, Debug)]
pub struct SystemScope {
    context: Context,
    reason: String,
    #[cfg(feature = "postgres")]
    address: Option<IpAddr>,
}

impl SystemScope {
    /// That of the program itself, where nobody has a token yet: registering a tenant, a script.
    ///
    /// It goes into the program's log, with the target `audit`; [`Audit::scope`](crate::Audit::scope) is the same on record.
    pub fn assumed(tenant: &AssumedTenant) -> Self {
        Self::recorded(tenant.context().clone(), tenant.reason().to_owned(), &Trail::default())
    }

    fn recorded(context: Context, reason: String, trail: &Trail) -> Self {
        trail.record(AuditEvent::new("system.scope").of(&context).because(&reason));
        Self {
            context,
            reason,
            #[cfg(feature = "postgres")]
            address: trail.address(),
        }
    }

    /// Why.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// From where, for what is recorded of it.
    #[cfg(feature = "postgres")]
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.address
    }
}

impl<P: SystemPermission> May<P> {
    /// The same principal with the power of the system in this tenant, its own or another one. It is audited, and so is a refusal.
    ///
    /// # Errors
    /// [`Error::Reason`] without a reason of 1 to 1,000 bytes on one line; [`Error::Delegated`] for somebody who acts in
    /// another one's place.
    pub fn in_tenant(&self, tenant: TenantId, reason: &str) -> Result<SystemScope, Error> {
        let (reason, mine) = (reason.trim(), self.context());
        let refused = |error, why: &str| {
            let event = AuditEvent::new("system.scope").denied().within(self).because(why);
            self.principal().trail().record(event.target("permission", P::NAME));
            Err(error)
        };
        if !(1..=MAX_REASON).contains(&reason.len()) || reason.contains(char::is_control) {
            return refused(Error::Reason, "no reason was given");
        }
        if mine.delegate().is_some() {
            return refused(Error::Delegated, "somebody acts in another one's place");
        }
        let theirs = Context::new(tenant, mine.actor().clone())
            .with_correlation(mine.correlation().clone())
            .with_traceparent(mine.traceparent());
        Ok(SystemScope::recorded(theirs, reason.to_owned(), self.principal().trail()))
    }
}

#[cfg(feature = "postgres")]
impl crate::Audit {
    /// [`SystemScope::assumed`], recorded here.
    pub fn scope(&self, tenant: &AssumedTenant) -> SystemScope {
        let trail = Trail::to(self.clone());
        SystemScope::recorded(tenant.context().clone(), tenant.reason().to_owned(), &trail)
    }
}

impl InTenant for SystemScope {
    fn context(&self) -> &Context {
        &self.context
    }
}
