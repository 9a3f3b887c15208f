use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Actor, Context};

/// Whose data it is. A value alone opens nothing: doors ask for a proof, [`InTenant`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(Uuid);

impl TenantId {
    /// A new tenant.
    #[allow(clippy::new_without_default, reason = "a default tenant would be a leak waiting to happen")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The tenant with this UUID.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID inside.
    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantId({})", self.0)
    }
}

impl FromStr for TenantId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A proof of acting inside one tenant: a verified permission, a claimed job, a received event.
///
/// It is what every tenant door takes, so that the tenant comes from there and from nowhere else:
///
/// ```
/// # use shared_core::{AssumedTenant, InTenant, TenantId};
/// fn door(proof: &impl InTenant) -> TenantId { proof.context().tenant() }
/// let tenant = TenantId::new();
/// assert_eq!(door(&AssumedTenant::new(tenant, "nightly report")), tenant);
/// ```
///
/// ```compile_fail
/// # use shared_core::{InTenant, TenantId};
/// fn door(proof: &impl InTenant) -> TenantId { proof.context().tenant() }
/// door(&TenantId::new());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not prove a tenant",
    label = "expected a proof: `&may`, `&cx` (JobContext) or `&received`",
    note = "programs without a request (a script, a test) say why with `AssumedTenant::new(tenant, reason)`"
)]
pub trait InTenant {
    /// The tenant, and who acts in it.
    fn context(&self) -> &Context;
}

/// A tenant taken without a token, a job or an event: by a script, an importer, a test. It says why.
#[derive(Clone, Debug)]
pub struct AssumedTenant {
    context: Context,
    reason: &'static str,
}

impl AssumedTenant {
    /// Acts in `tenant` because of `reason`; the actor is `assumed`.
    pub fn new(tenant: TenantId, reason: &'static str) -> Self {
        Self { context: Context::new(tenant, Actor::new("assumed")), reason }
    }

    /// Continues a context that was stored or handed over, because of `reason`.
    pub fn continuing(context: Context, reason: &'static str) -> Self {
        Self { context, reason }
    }

    /// Why no proof was needed.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

impl InTenant for AssumedTenant {
    fn context(&self) -> &Context {
        &self.context
    }
}
