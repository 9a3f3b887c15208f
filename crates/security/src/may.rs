use std::fmt;
use std::marker::PhantomData;

use shared_core::{Context, InTenant, Problem};

use crate::{AuditEvent, Permission, Principal};

/// The proof that a principal may do `P` in its tenant: what handlers and repositories ask for. It is owned, so that it
/// travels; where the principal is at hand, the borrowed [`Proof<P>`](crate::Proof) costs less.
///
/// It comes from [`Principal::may`] and [`Principal::require`], and with the feature `axum` as an argument of a
/// handler. It opens the doors of its tenant, and of no other:
///
/// ```
/// # use shared_core::{InTenant, TenantId};
/// # use shared_security::{May, permissions};
/// # permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" } }
/// fn door(proof: &impl InTenant) -> TenantId { proof.context().tenant() }
/// fn erase(may: &May<WriteNotes>) { door(may); }
/// fn handler(may: May<WriteNotes>) { erase(&may) }
/// ```
///
/// Another permission is no substitute, and a tenant's id is no proof:
///
/// ```compile_fail,E0308
/// # use shared_core::{InTenant, TenantId};
/// # use shared_security::{May, permissions};
/// # permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" } }
/// fn door(proof: &impl InTenant) -> TenantId { proof.context().tenant() }
/// fn erase(may: &May<WriteNotes>) { door(may); }
/// fn handler(may: May<ReadNotes>) { erase(&may) }
/// ```
///
/// ```compile_fail,E0277
/// # use shared_core::{InTenant, TenantId};
/// # use shared_security::{May, permissions};
/// # permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" } }
/// fn door(proof: &impl InTenant) -> TenantId { proof.context().tenant() }
/// fn handler(tenant: TenantId) { door(&tenant); }
/// ```
///
/// Nobody else can make one, not even from a principal:
///
/// ```
/// # use shared_security::{May, Principal, permissions};
/// # permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" } }
/// fn promote(principal: Principal) -> Option<May<WriteNotes>> { principal.may() }
/// ```
///
/// ```compile_fail,E0451
/// # use std::marker::PhantomData;
/// # use shared_security::{May, Principal, permissions};
/// # permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" } }
/// fn promote(principal: Principal) -> Option<May<WriteNotes>> { Some(May { principal, permission: PhantomData }) }
/// ```
pub struct May<P> {
    principal: Principal,
    permission: PhantomData<fn() -> P>,
}

impl<P: Permission> May<P> {
    pub(crate) fn of(principal: Principal) -> Self {
        Self { principal, permission: PhantomData }
    }

    /// Who it was given to.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Who is asking, to be compared with the author of a row.
    pub fn subject(&self) -> &str {
        self.principal.subject()
    }

    /// Goes on only if a rule on the data holds: `may.only_if(note.author == may.subject())?`.
    ///
    /// # Errors
    /// 403, as if the permission were missing for this one.
    pub fn only_if(&self, rule: bool) -> Result<(), Problem> {
        if rule {
            return Ok(());
        }
        self.unmet("a rule on the data");
        Err(Problem::forbidden().with_detail(format!("the permission {} does not reach that far", P::NAME)))
    }
}

impl<P: Permission> May<P> {
    /// The permission is there, and a rule beside it does not hold.
    pub(crate) fn unmet(&self, rule: &str) {
        let event = AuditEvent::new("permission.denied").denied().within(self);
        self.principal.trail().record(event.target("permission", P::NAME).because(rule));
    }
}

impl<P: Permission> AsRef<Principal> for May<P> {
    fn as_ref(&self) -> &Principal {
        &self.principal
    }
}

impl<P: Permission> InTenant for May<P> {
    fn context(&self) -> &Context {
        self.principal.context()
    }
}

// By hand, since a derive would ask the same of `P`.
impl<P> Clone for May<P> {
    fn clone(&self) -> Self {
        Self { principal: self.principal.clone(), permission: PhantomData }
    }
}

impl<P: Permission> fmt::Debug for May<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "May({}, {}, tenant {})", P::NAME, self.subject(), self.principal.tenant())
    }
}
