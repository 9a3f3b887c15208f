//! What a principal holds, and where it comes from.

#[cfg(feature = "postgres")]
use std::sync::Arc;

use crate::{Matrix, Permissions, Verified};

/// The permissions of a principal: those that the token names, and those of the roles that count.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// All of them: what a check looks at.
    pub(crate) all: Permissions,
    /// Those that stand in the token itself.
    pub(crate) scope: Permissions,
    /// The token's roles that exist now and were not withdrawn.
    pub(crate) roles: Vec<HeldRole>,
}

/// A role that counts.
#[derive(Clone, Debug)]
pub(crate) enum HeldRole {
    /// Of the matrix, at this place.
    BuiltIn(&'static Matrix, usize),
    /// The tenant's own.
    #[cfg(feature = "postgres")]
    Own(Arc<OwnRole>),
}

/// A tenant's role with all that it comes to.
#[cfg(feature = "postgres")]
#[derive(Debug)]
pub(crate) struct OwnRole {
    pub(crate) name: String,
    pub(crate) permissions: Permissions,
    /// What it grants by itself, then what each role grants that it inherits from.
    pub(crate) lines: Vec<(String, Permissions)>,
}

impl Held {
    /// What a token grants: its scope, and its roles as `find` knows them. Nothing of the system, where its issuer is bound to
    /// tenants.
    pub(crate) fn new(token: &Verified, scope: Permissions, find: impl Fn(&str) -> Option<HeldRole>) -> Self {
        let mut held = Self { all: scope.clone(), scope, roles: Vec::new() };
        for role in token.roles().filter_map(find) {
            held.all.add(role.words());
            held.roles.push(role);
        }
        if token.is_bound() {
            held.all.drop_system();
            held.scope.drop_system();
        }
        held
    }

    /// The role with which a permission came, and the role that grants it by itself: often the same.
    pub(crate) fn source(&self, bit: u32) -> Option<(&str, &str)> {
        self.roles.iter().find_map(|role| Some((role.name(), role.source(bit)?)))
    }
}

impl HeldRole {
    pub(crate) fn built_in(matrix: &'static Matrix, name: &str) -> Option<Self> {
        matrix.role_at(name).map(|at| Self::BuiltIn(matrix, at))
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::BuiltIn(matrix, at) => matrix.roles().get(*at).map_or("", |role| role.name()),
            #[cfg(feature = "postgres")]
            Self::Own(role) => &role.name,
        }
    }

    pub(crate) fn words(&self) -> &[u64] {
        match self {
            Self::BuiltIn(matrix, at) => matrix.set_of(*at),
            #[cfg(feature = "postgres")]
            Self::Own(role) => role.permissions.words(),
        }
    }

    /// Who of this role and those that it inherits from grants the permission by itself.
    fn source(&self, bit: u32) -> Option<&str> {
        match self {
            Self::BuiltIn(matrix, at) => granted_by(matrix, *at, matrix.permissions().get(bit as usize)?),
            #[cfg(feature = "postgres")]
            Self::Own(role) => role.lines.iter().find(|(_, own)| own.has(bit)).map(|(name, _)| name.as_str()),
        }
    }
}

/// Roles of a matrix inherit in no circle, so this ends.
fn granted_by(matrix: &'static Matrix, role: usize, permission: &str) -> Option<&'static str> {
    let role = matrix.roles().get(role)?;
    if role.grants.contains(&permission) {
        return Some(role.name());
    }
    let parents = role.inherits.iter().filter_map(|parent| matrix.role_at(parent));
    parents.into_iter().find_map(|parent| granted_by(matrix, parent, permission))
}
