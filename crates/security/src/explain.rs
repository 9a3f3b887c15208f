use std::fmt;

use crate::Principal;

/// Why a principal may do something, or may not: for the administrator who wonders, and for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The permission that was asked about.
    pub permission: String,
    /// Why.
    pub because: Because,
}

/// What a decision rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Because {
    /// The token names the permission itself.
    Scope,
    /// One of the principal's roles has it.
    #[non_exhaustive]
    Role {
        /// The role that the principal has.
        role: String,
        /// The role that grants it by itself: the same, or one that it inherits from.
        granted_by: String,
    },
    /// Nothing grants it: denied.
    #[non_exhaustive]
    Missing {
        /// The roles that count, none of which has it.
        roles: Vec<String>,
        /// Roles that the token names and that count for nothing: unknown in the tenant, or withdrawn.
        ignored: Vec<String>,
    },
    /// The service has no such permission: denied.
    Unknown,
}

impl Explanation {
    /// Whether the principal may.
    pub fn is_allowed(&self) -> bool {
        matches!(self.because, Because::Scope | Because::Role { .. })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.permission;
        match &self.because {
            Because::Scope => write!(f, "{name} is granted by the token's scope"),
            Because::Role { role, granted_by } if role == granted_by => {
                write!(f, "{name} is granted by the role {role}")
            }
            Because::Role { role, granted_by } => {
                write!(f, "{name} is granted by the role {role}, which inherits it from {granted_by}")
            }
            Because::Missing { roles, ignored } => {
                write!(
                    f,
                    "{name} is missing: neither the token's scope nor its roles ({}) grant it",
                    roles.join(", ")
                )?;
                match ignored.is_empty() {
                    true => Ok(()),
                    false => write!(f, "; unknown here or withdrawn: {}", ignored.join(", ")),
                }
            }
            Because::Unknown => write!(f, "{name} is no permission of this service"),
        }
    }
}

impl Principal {
    /// Why this principal may do what is named, or may not.
    pub fn explain(&self, permission: &str) -> Explanation {
        Explanation { permission: permission.to_owned(), because: self.because(permission) }
    }

    fn because(&self, permission: &str) -> Because {
        let held = self.held();
        let Some(bit) = held.all.matrix().by_name(permission) else { return Because::Unknown };
        if held.scope.has(bit) {
            return Because::Scope;
        }
        if let Some((role, granted_by)) = held.source(bit).filter(|_| held.all.has(bit)) {
            return Because::Role { role: role.to_owned(), granted_by: granted_by.to_owned() };
        }
        let roles: Vec<String> = self.roles().map(str::to_owned).collect();
        let named = self.token().roles().map(str::to_owned);
        let ignored = named.filter(|name| !roles.contains(name)).collect();
        Because::Missing { roles, ignored }
    }

    /// Many permissions at once, by their names and in their order: whether this principal may.
    ///
    /// ```
    /// # use shared_security::Principal;
    /// fn buttons(who: &Principal) -> Vec<bool> { who.check(["notes:read", "notes:write"]).collect() }
    /// ```
    pub fn check<N: AsRef<str>>(
        &self,
        permissions: impl IntoIterator<Item = N>,
    ) -> impl Iterator<Item = bool> {
        permissions.into_iter().map(|name| self.permissions().allows(name.as_ref()))
    }
}
