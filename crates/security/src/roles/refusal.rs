use shared_core::Problem;

/// Why a role can't become what it was to be, or can't be handed out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoleRefusal {
    /// Not a name.
    #[error("a role's name has 1 to 63 lower-case letters, digits, `_` and `-`, and begins with a letter")]
    Name,
    /// Not a subject.
    #[error("a subject has 1 to 255 bytes without control characters")]
    Subject,
    /// The program declares a role of this name, or the tenant has one.
    #[error("there is a role of this name; choose another")]
    Taken,
    /// The tenant has no such role.
    #[error("there is no such role")]
    Unknown,
    /// Somebody has changed it in the meantime.
    #[error("it was changed in the meantime, and is at version {found}; read it again")]
    #[non_exhaustive]
    Stale {
        /// Its version now.
        found: i64,
    },
    /// The service has no such permission; there are no wildcards.
    #[error("there is no permission `{permission}`")]
    #[non_exhaustive]
    NoPermission {
        /// The name that was given.
        permission: String,
    },
    /// It inherits from a role that is not there.
    #[error("there is no role `{parent}` to inherit from")]
    #[non_exhaustive]
    NoParent {
        /// The name that was given.
        parent: String,
    },
    /// It would inherit from itself.
    #[error("it would inherit from itself")]
    Circle,
    /// Another role inherits from it.
    #[error("the role `{heir}` inherits from it; change that first")]
    #[non_exhaustive]
    Inherited {
        /// One that does.
        heir: String,
    },
    /// Only the system hands this permission out.
    #[error("the permission `{permission}` is handed out by the system alone")]
    #[non_exhaustive]
    System {
        /// The permission.
        permission: &'static str,
    },
    /// Nobody hands out, or takes away, what he does not have.
    #[error("it has the permission `{permission}`, and whoever deals with it needs that too")]
    #[non_exhaustive]
    Escalation {
        /// The permission.
        permission: &'static str,
    },
    /// A bound was reached.
    #[error("a tenant has at most {max} {of}")]
    #[non_exhaustive]
    TooMany {
        /// How many there may be.
        max: usize,
        /// Of what.
        of: &'static str,
    },
}

impl RoleRefusal {
    /// The answer of an API; its detail is set by the caller.
    pub(crate) fn problem(&self) -> Problem {
        match self {
            Self::Unknown => Problem::not_found(),
            Self::Taken | Self::Stale { .. } | Self::Inherited { .. } => Problem::conflict(),
            Self::System { .. } | Self::Escalation { .. } => Problem::forbidden(),
            _ => Problem::unprocessable_content(),
        }
    }
}
