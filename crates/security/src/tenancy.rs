//! Tenants that callers name: compared with the proven one, never trusted.

#[cfg(feature = "axum")]
mod guard;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use shared_core::{Problem, TenantId};

use crate::{AuditEvent, Principal};

#[cfg(feature = "axum")]
pub use guard::SameTenant;

/// A tenant that a caller names in a path, a header or a body. It is compared with the tenant of a proof, and is good for
/// nothing else: the id is not to be had from it.
///
/// ```
/// # use shared_core::Problem;
/// # use shared_security::{ClaimedTenant, May, permissions};
/// # permissions! { pub static MATRIX = "notes" { WriteNotes = "notes:write" } }
/// #[derive(serde::Deserialize)]
/// struct NewNote { tenant: ClaimedTenant, body: String }
///
/// fn create(may: May<WriteNotes>, new: NewNote) -> Result<(), Problem> {
///     new.tenant.confirm(&may)?; // 404 for any other tenant
///     Ok(())
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use shared_core::InTenant;
/// # use shared_security::ClaimedTenant;
/// fn door(proof: &impl InTenant) {}
/// fn create(claimed: ClaimedTenant) { door(&claimed) }
/// ```
///
/// What is not a tenant's id in its one spelling is read all the same, and is nobody's: one that is wrong and one that is
/// another's get the same answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClaimedTenant(Option<TenantId>);

impl ClaimedTenant {
    /// What a caller said.
    pub fn new(text: impl AsRef<[u8]>) -> Self {
        Self(std::str::from_utf8(text.as_ref()).ok().and_then(tenant_in))
    }

    /// Goes on only for the own tenant of a [`Principal`], a `May` or a `Proof`.
    ///
    /// # Errors
    /// 404, as for something that is not there: whether another tenant is, nobody learns.
    pub fn confirm(&self, who: &impl AsRef<Principal>) -> Result<(), Problem> {
        let who = who.as_ref();
        if self.0 == Some(who.tenant()) {
            return Ok(());
        }
        // What the caller said is not repeated: it is not known to be a tenant.
        let event = AuditEvent::new("tenant.mismatch").denied().of(who.context());
        who.trail().record(event.because("the request names a tenant that is not its own"));
        Err(Problem::not_found())
    }
}

impl FromStr for ClaimedTenant {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text))
    }
}

impl<'de> Deserialize<'de> for ClaimedTenant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl fmt::Debug for ClaimedTenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimedTenant(unconfirmed)")
    }
}

/// A tenant's id in its one spelling: 36 characters, lower case. Neither braces nor capitals nor a missing hyphen are taken
/// for the same, and the UUID of zeros is what was never filled in.
pub(crate) fn tenant_in(text: &str) -> Option<TenantId> {
    let tenant: TenantId = text.parse().ok()?;
    let mut room = uuid::Uuid::encode_buffer();
    let uuid = tenant.as_uuid();
    (!uuid.is_nil() && uuid.hyphenated().encode_lower(&mut room) == text).then_some(tenant)
}
