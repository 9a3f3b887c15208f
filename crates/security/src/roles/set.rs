//! The roles of one tenant, and what they come to.

use std::collections::HashMap;
use std::sync::Arc;

use super::{RoleDefinition, RoleRefusal, StoredRole};
use crate::held::{HeldRole, OwnRole};
use crate::matrix::is_role;
use crate::{Matrix, Permissions};

/// 1,000 roles of a tenant's own: more than people can tell apart, and some hundred KiB in the view of a tenant.
pub(crate) const MAX_ROLES: usize = 1000;
/// 32 roles that one inherits from, however far away: what is more nobody oversees.
const MAX_ANCESTORS: usize = 32;

/// The tenant's own roles beside those of the matrix. Where a name is both, it is the matrix's.
#[derive(Debug)]
pub(crate) struct RoleSet {
    matrix: &'static Matrix,
    stored: HashMap<String, StoredRole>,
    own: HashMap<String, Arc<OwnRole>>,
}

impl RoleSet {
    pub(crate) fn new(matrix: &'static Matrix, stored: Vec<StoredRole>) -> Self {
        let stored = stored.into_iter().map(|role| (role.name.clone(), role)).collect();
        let mut roles = Self { matrix, stored, own: HashMap::new() };
        let own = roles.stored.keys().map(|name| (name.clone(), Arc::new(roles.resolve(name)))).collect();
        roles.own = own;
        roles
    }

    /// The role with this name.
    pub(crate) fn find(&self, name: &str) -> Option<HeldRole> {
        HeldRole::built_in(self.matrix, name).or_else(|| self.own.get(name).cloned().map(HeldRole::Own))
    }

    /// What a role comes to; nothing, where there is none.
    pub(crate) fn permissions_of(&self, name: &str) -> Permissions {
        let mut permissions = Permissions::none(self.matrix);
        if let Some(role) = self.find(name) {
            permissions.add(role.words());
        }
        permissions
    }

    pub(crate) fn get(&self, name: &str) -> Option<&StoredRole> {
        self.stored.get(name)
    }

    pub(crate) fn len(&self) -> usize {
        self.stored.len()
    }

    /// A tenant's role that inherits from this one by itself.
    pub(crate) fn heir_of(&self, name: &str) -> Option<&str> {
        let mut roles = self.stored.values();
        roles.find(|role| role.inherits.iter().any(|parent| parent == name)).map(|heir| heir.name.as_str())
    }

    /// What the definition would come to.
    pub(crate) fn check(&self, role: &RoleDefinition) -> Result<Permissions, RoleRefusal> {
        if !is_role(&role.name) {
            return Err(RoleRefusal::Name);
        }
        if let Some(unknown) = role.permissions.iter().find(|name| self.matrix.by_name(name).is_none()) {
            return Err(RoleRefusal::NoPermission { permission: unknown.clone() });
        }
        let mut permissions = Permissions::named(self.matrix, role.permissions.iter().map(String::as_str));
        for parent in &role.inherits {
            let inherited =
                self.find(parent).ok_or_else(|| RoleRefusal::NoParent { parent: parent.clone() })?;
            // Only roles of the tenant's own can lead back: the others were there before.
            if *parent == role.name || self.ancestors(parent).any(|ancestor| ancestor == role.name) {
                return Err(RoleRefusal::Circle);
            }
            permissions.add(inherited.words());
        }
        match permissions.first_of_system() {
            Some(permission) => Err(RoleRefusal::System { permission }),
            None => Ok(permissions),
        }
    }

    /// Whether a role has more ancestors than are read.
    pub(crate) fn too_deep(&self) -> bool {
        self.own.values().any(|role| role.lines.len() > MAX_ANCESTORS)
    }

    pub(crate) const TOO_DEEP: RoleRefusal =
        RoleRefusal::TooMany { max: MAX_ANCESTORS, of: "roles in one line of inheritance" };

    /// The role and those that it inherits from, each once, with what each grants by itself. One of the matrix counts as one.
    fn resolve(&self, name: &str) -> OwnRole {
        let (mut lines, mut waiting) = (Vec::<(String, Permissions)>::new(), vec![name]);
        while let Some(name) = waiting.pop().filter(|_| lines.len() <= MAX_ANCESTORS) {
            if lines.iter().any(|(seen, _)| seen == name) {
                continue;
            }
            let mut own = Permissions::none(self.matrix);
            match (self.matrix.role_at(name), self.stored.get(name)) {
                (Some(at), _) => own.add(self.matrix.set_of(at)),
                (None, Some(role)) => {
                    let names = role.permissions.iter().map(String::as_str);
                    own.add(Permissions::named(self.matrix, names).words());
                    waiting.extend(role.inherits.iter().rev().map(String::as_str));
                }
                (None, None) => continue,
            }
            own.drop_system();
            lines.push((name.to_owned(), own));
        }
        let mut permissions = Permissions::none(self.matrix);
        lines.iter().for_each(|(_, own)| permissions.add(own.words()));
        OwnRole { name: name.to_owned(), permissions, lines }
    }

    fn ancestors(&self, name: &str) -> impl Iterator<Item = &str> {
        self.own.get(name).into_iter().flat_map(|role| role.lines.iter().map(|(name, _)| name.as_str()))
    }
}
