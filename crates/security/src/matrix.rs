mod names;
mod tables;

use std::fmt;

pub(crate) use names::is_permission;
#[cfg(feature = "postgres")]
pub(crate) use names::is_role;

/// The permissions of one service and the roles that it knows by itself, declared once with
/// [`permissions!`](crate::permissions).
///
/// Each permission has a bit, fixed when the program is compiled, so that a check is a look at one bit. A matrix has at
/// most 16,384 permissions and 256 roles.
pub struct Matrix {
    name: &'static str,
    permissions: &'static [&'static str],
    /// Permissions from this bit on are the system's.
    system_from: u32,
    index: &'static [u32],
    roles: &'static [BuiltInRole],
    sets: &'static [u64],
}

impl Matrix {
    /// A matrix and the tables that it looks things up in. [`permissions!`](crate::permissions) calls it when the program
    /// is compiled; the last `system` permissions are the system's.
    ///
    /// # Panics
    /// On tables that are not those of [`index`](Self::index) and [`sets`](Self::sets): in a `static` that is a compile error.
    pub const fn new(
        name: &'static str,
        (permissions, system): (&'static [&'static str], usize),
        index: &'static [u32],
        roles: &'static [BuiltInRole],
        sets: &'static [u64],
    ) -> Self {
        assert!(system <= permissions.len(), "there are more permissions than permissions of the system");
        assert!(index.len() == Self::slots(permissions), "the index is not one of these permissions");
        assert!(sets.len() == Self::room(permissions, roles), "the sets are not those of these roles");
        Self { name, permissions, system_from: (permissions.len() - system) as u32, index, roles, sets }
    }

    /// The length of the [`index`](Self::index) of these permissions.
    pub const fn slots(permissions: &[&str]) -> usize {
        tables::slots(permissions.len())
    }

    /// Where each name is found.
    ///
    /// # Panics
    /// On names that have not the form `domain:action`, in lower case, and on one that comes twice.
    pub const fn index<const SLOTS: usize>(permissions: &[&str]) -> [u32; SLOTS] {
        tables::index(permissions)
    }

    /// The length of the [`sets`](Self::sets) of these roles.
    pub const fn room(permissions: &[&str], roles: &[BuiltInRole]) -> usize {
        tables::words(permissions.len()) * roles.len()
    }

    /// What each role comes to, with what it inherits.
    ///
    /// # Panics
    /// On a name that is none, comes twice or is unknown, and on roles that inherit from each other in a circle.
    pub const fn sets<const WORDS: usize>(
        permissions: &[&str],
        index: &[u32],
        roles: &[BuiltInRole],
    ) -> [u64; WORDS] {
        tables::sets(permissions, index, roles)
    }

    /// Whose permissions they are.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The names of all permissions, in the order of their bits.
    pub const fn permissions(&self) -> &'static [&'static str] {
        self.permissions
    }

    /// The roles that every tenant has.
    pub const fn roles(&self) -> &'static [BuiltInRole] {
        self.roles
    }

    /// The bit of the permission with this name.
    pub const fn by_name(&self, name: &str) -> Option<u32> {
        tables::find(self.index, self.permissions, name)
    }

    /// Only the system hands this permission out: no tenant's role has it, and no tenant assigns a role that has.
    pub const fn is_system(&self, bit: u32) -> bool {
        bit >= self.system_from
    }

    /// The place of the role with this name.
    pub(crate) fn role_at(&self, name: &str) -> Option<usize> {
        tables::role_at(self.roles, name)
    }

    /// What the role at this place comes to, as the words of a set.
    pub(crate) fn set_of(&self, role: usize) -> &'static [u64] {
        let words = tables::words(self.permissions.len());
        self.sets.get(role * words..(role + 1) * words).unwrap_or_default()
    }
}

impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Matrix({}: {})", self.name, self.permissions.join(" "))
    }
}

/// A role that the program declares, and that every tenant has under this name.
#[derive(Clone, Copy, Debug)]
pub struct BuiltInRole {
    pub(crate) name: &'static str,
    pub(crate) inherits: &'static [&'static str],
    pub(crate) grants: &'static [&'static str],
}

impl BuiltInRole {
    /// A role with what it grants by itself and the roles whose grants it has as well.
    pub const fn new(
        name: &'static str,
        inherits: &'static [&'static str],
        grants: &'static [&'static str],
    ) -> Self {
        Self { name, inherits, grants }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

/// One permission, as a type: what [`May<P>`](crate::May) proves. Declare it with
/// [`permissions!`](crate::permissions).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a permission",
    note = "declare it: `permissions! {{ pub static MATRIX = \"notes\" {{ {Self} = \"notes:read\" }} }}`"
)]
pub trait Permission: 'static {
    /// The matrix that it belongs to.
    const SET: &'static Matrix;
    /// Its bit there.
    const BIT: u32;
    /// Its name, `domain:action`.
    const NAME: &'static str;
}

/// A permission that no tenant hands out: it stands in the section `system` of its matrix. What reaches beyond a tenant,
/// or makes somebody another one, asks for one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a permission of the system",
    note = "declare it in the section `system {{ .. }}` of its matrix"
)]
pub trait SystemPermission: Permission {}

/// A role that the program declares, as a type, so that its name is written once.
pub trait Role: 'static {
    /// Its name.
    const NAME: &'static str;
}

/// Declares the permissions of a service: the static [`Matrix`] of them, and a type for each. Roles that every tenant has
/// are declared with them, and so are permissions that only the system hands out.
///
/// ```
/// shared_security::permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" } }
///
/// assert_eq!(MATRIX.permissions(), ["notes:read", "notes:write"]);
/// ```
///
/// ```
/// shared_security::permissions! {
///     pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write", ManageRoles = "roles:manage" }
///     system { SuspendTenant = "tenants:suspend" }
///     roles {
///         Reader = "reader": [ReadNotes],
///         Editor = "editor" inherits Reader: [WriteNotes],
///         Operator = "operator": [SuspendTenant],
///     }
/// }
///
/// assert_eq!(MATRIX.roles().len(), 3);
/// ```
///
/// A name has the form `domain:action`, in lower case, and there are no wildcards:
///
/// ```compile_fail,E0080
/// shared_security::permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:*", WriteNotes = "notes:write" } }
/// ```
///
/// and no name comes twice, neither a permission's nor a role's:
///
/// ```compile_fail,E0080
/// shared_security::permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:read" } }
/// ```
///
/// ```compile_fail,E0080
/// shared_security::permissions! {
///     pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" }
///     roles { Reader = "reader": [ReadNotes], Editor = "reader" inherits Reader: [WriteNotes] }
/// }
/// ```
///
/// A role grants what its matrix has, and inherits from roles that are there:
///
/// ```compile_fail,E0412
/// shared_security::permissions! {
///     pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" }
///     roles { Reader = "reader": [ReadNotes], Editor = "editor" inherits Reader: [EraseNotes] }
/// }
/// ```
///
/// ```compile_fail,E0412
/// shared_security::permissions! {
///     pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" }
///     roles { Reader = "reader": [ReadNotes], Editor = "editor" inherits Author: [WriteNotes] }
/// }
/// ```
///
/// ```compile_fail,E0080
/// # mod other { shared_security::permissions! { pub static MATRIX = "files" { ReadFiles = "files:read" } } }
/// # use other::ReadFiles;
/// shared_security::permissions! {
///     pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" }
///     roles { Reader = "reader": [ReadNotes], Editor = "editor" inherits Reader: [ReadFiles] }
/// }
/// ```
///
/// and never from itself, however long the way:
///
/// ```compile_fail,E0080
/// shared_security::permissions! {
///     pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" }
///     roles { Reader = "reader" inherits Editor: [ReadNotes], Editor = "editor" inherits Reader: [WriteNotes] }
/// }
/// ```
#[macro_export]
macro_rules! permissions {
    (
        $(#[$outer:meta])* $visible:vis static $matrix:ident = $service:literal {
            $($(#[$meta:meta])* $permission:ident = $name:literal),* $(,)?
        }
        $(system { $($(#[$system_meta:meta])* $system:ident = $system_name:literal),* $(,)? })?
        $(roles { $(
            $(#[$role_meta:meta])* $role:ident = $role_name:literal $(inherits $($parent:ident),+)? : [$($grant:ident),* $(,)?]
        ),* $(,)? })?
    ) => {
        #[doc = concat!("The permissions of `", $service, "`.")]
        $(#[$outer])*
        $visible static $matrix: $crate::Matrix = {
            const PERMISSIONS: &[&str] = &[$($name,)* $($($system_name,)*)?];
            const SYSTEM: &[&str] = &[$($($system_name,)*)?];
            const ROLES: &[$crate::BuiltInRole] = &[$($($crate::BuiltInRole::new(
                $role_name,
                &[$($(<$parent as $crate::Role>::NAME,)+)?],
                &[$(<$grant as $crate::Permission>::NAME,)*],
            ),)*)?];
            const INDEX: [u32; $crate::Matrix::slots(PERMISSIONS)] = $crate::Matrix::index(PERMISSIONS);
            const SETS: [u64; $crate::Matrix::room(PERMISSIONS, ROLES)] =
                $crate::Matrix::sets(PERMISSIONS, &INDEX, ROLES);
            $crate::Matrix::new($service, (PERMISSIONS, SYSTEM.len()), &INDEX, ROLES, &SETS)
        };
        $(
            $crate::permissions! { @permission $matrix, $visible, $permission, $name, $(#[$meta])* }
        )*
        $($(
            $crate::permissions! { @permission $matrix, $visible, $system, $system_name, $(#[$system_meta])* }

            impl $crate::SystemPermission for $system {}
        )*)?
        $($(
            #[doc = concat!("The role `", $role_name, "`.")]
            $(#[$role_meta])*
            #[derive(Clone, Copy, Debug)]
            $visible struct $role;

            impl $crate::Role for $role {
                const NAME: &'static str = $role_name;
            }
        )*)?
    };
    (@permission $matrix:ident, $visible:vis, $permission:ident, $name:literal, $(#[$meta:meta])*) => {
        #[doc = concat!("The permission `", $name, "`.")]
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        $visible struct $permission;

        impl $crate::Permission for $permission {
            const SET: &'static $crate::Matrix = &$matrix;
            const BIT: u32 = match $matrix.by_name($name) {
                Some(bit) => bit,
                None => panic!("the matrix lists every permission"),
            };
            const NAME: &'static str = $name;
        }
    };
}
