use std::fmt;
use std::marker::PhantomData;

use shared_core::{Context, InTenant, Problem};

use crate::{May, Permission, Principal, challenge};

/// The proof that a principal may do `P`, borrowed from that principal: a check of one bit, and nothing is counted or copied.
///
/// A handler asks for the owned [`May<P>`], which travels into tasks and transactions; code that has the principal at hand asks
/// it for a `Proof`, which is gone with it. Both are [`InTenant`], and both open the doors of the principal's tenant alone.
///
/// ```
/// # use shared_core::{InTenant, Problem, TenantId};
/// # use shared_security::{Principal, Proof, permissions};
/// # permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" } }
/// fn door(proof: &impl InTenant) -> TenantId { proof.context().tenant() }
/// fn erase(proof: Proof<'_, WriteNotes>) { door(&proof); }
/// fn tidy(who: &Principal) -> Result<(), Problem> { Ok(erase(who.prove()?)) }
/// ```
///
/// It does not outlive its principal, so that it can't be kept for the next one:
///
/// ```compile_fail,E0505
/// # use shared_security::{Principal, Proof, permissions};
/// # permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" } }
/// fn erase(proof: Proof<'_, WriteNotes>) {}
/// fn later(who: Principal) { let proof = who.proof(); drop(who); proof.map(erase); }
/// ```
/// ```
/// # use shared_security::{Principal, Proof, permissions};
/// # permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" } }
/// fn erase(proof: Proof<'_, WriteNotes>) {}
/// fn later(who: Principal) { let proof = who.proof(); proof.map(erase); drop(who); }
/// ```
///
/// and is not put around another principal, whose tenant may be another one:
///
/// ```compile_fail,E0451
/// # use std::marker::PhantomData;
/// # use shared_security::{Principal, Proof, permissions};
/// # permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" } }
/// fn swap<'p>(proof: Proof<'_, WriteNotes>, other: &'p Principal) -> Proof<'p, WriteNotes> { Proof { principal: other, ..proof } }
/// ```
/// ```
/// # use shared_core::Problem;
/// # use shared_security::{Principal, Proof, permissions};
/// # permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" } }
/// fn swap<'p>(proof: Proof<'_, WriteNotes>, other: &'p Principal) -> Result<Proof<'p, WriteNotes>, Problem> { other.prove() }
/// ```
///
/// Another permission is no substitute:
///
/// ```compile_fail,E0308
/// # use shared_security::{Proof, permissions};
/// # permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" } }
/// fn erase(proof: Proof<'_, WriteNotes>) {}
/// fn handler(proof: Proof<'_, ReadNotes>) { erase(proof) }
/// ```
pub struct Proof<'p, P> {
    principal: &'p Principal,
    permission: PhantomData<fn() -> P>,
}

impl<'p, P: Permission> Proof<'p, P> {
    /// Whose it is.
    pub fn principal(self) -> &'p Principal {
        self.principal
    }

    /// Who is asking, to be compared with the author of a row.
    pub fn subject(self) -> &'p str {
        self.principal.subject()
    }

    /// The same proof as one that travels; costs a count of references.
    pub fn to_may(self) -> May<P> {
        May::of(self.principal.clone())
    }
}

impl Principal {
    /// The proof that this principal may do `P`, if so: a load and a mask.
    #[inline]
    pub fn proof<P: Permission>(&self) -> Option<Proof<'_, P>> {
        self.permissions().contains::<P>().then_some(Proof { principal: self, permission: PhantomData })
    }

    /// The same, or the answer to give.
    ///
    /// # Errors
    /// 403, which names the missing permission.
    pub fn prove<P: Permission>(&self) -> Result<Proof<'_, P>, Problem> {
        self.proof().ok_or_else(|| challenge::missing_permission::<P>(self))
    }
}

impl<P: Permission> AsRef<Principal> for Proof<'_, P> {
    fn as_ref(&self) -> &Principal {
        self.principal
    }
}

impl<P: Permission> InTenant for Proof<'_, P> {
    fn context(&self) -> &Context {
        self.principal.context()
    }
}

// By hand, since a derive would ask the same of `P`.
impl<P> Clone for Proof<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Proof<'_, P> {}

impl<P: Permission> fmt::Debug for Proof<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proof({}, {}, tenant {})", P::NAME, self.subject(), self.principal.tenant())
    }
}
