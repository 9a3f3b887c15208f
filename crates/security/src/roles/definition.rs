use serde::{Deserialize, Serialize};
use shared_db::Row;

use crate::PermissionNames;

/// What a tenant's role is to be.
///
/// ```
/// # use shared_security::{RoleDefinition, permissions};
/// # permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" } }
/// RoleDefinition::new("night-shift").inheriting(["reader"]).with_permissions(WriteNotes);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleDefinition {
    /// Its name within the tenant; those of the program's roles are taken.
    pub name: String,
    /// What it grants by itself, by name; there are no wildcards.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// The roles whose grants it has as well: the tenant's own, or the program's.
    #[serde(default)]
    pub inherits: Vec<String>,
}

impl RoleDefinition {
    /// A role that grants nothing yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), permissions: Vec::new(), inherits: Vec::new() }
    }

    /// The same with these permissions: `ReadNotes`, `(ReadNotes, WriteNotes)`, `["notes:read"]`.
    pub fn with_permissions(mut self, permissions: impl PermissionNames) -> Self {
        permissions.add_to(&mut self.permissions);
        self
    }

    /// The same with what these roles grant.
    pub fn inheriting(mut self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.inherits.extend(roles.into_iter().map(Into::into));
        self
    }
}

/// A tenant's role as it is.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize)]
#[non_exhaustive]
pub struct StoredRole {
    /// Its name within the tenant.
    pub name: String,
    /// What it grants by itself.
    pub permissions: Vec<String>,
    /// The roles whose grants it has as well.
    pub inherits: Vec<String>,
    /// Grows with each change; a change names the version that it is about.
    pub version: i64,
}
