use std::fmt;

/// The permissions of one service, declared once with [`permissions!`](crate::permissions).
///
/// Each has a bit, fixed when the program is compiled, so that a check is a look at one bit.
pub struct Matrix {
    name: &'static str,
    permissions: &'static [&'static str],
}

impl Matrix {
    /// Permissions named `domain:action`, in lower case, each once. [`permissions!`](crate::permissions) calls it
    /// when the program is compiled.
    ///
    /// # Panics
    /// On any other name, and on one that comes twice: in a `static` that is a compile error.
    pub const fn new(name: &'static str, permissions: &'static [&'static str]) -> Self {
        let matrix = Self { name, permissions };
        let mut i = 0;
        while i < permissions.len() {
            assert!(is_permission(permissions[i]), "a permission is named `domain:action`, in lower case");
            assert!(
                matches!(matrix.by_name(permissions[i]), Some(first) if first as usize == i),
                "a permission comes twice"
            );
            i += 1;
        }
        matrix
    }

    /// Whose permissions they are.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The names of all permissions, in the order of their bits.
    pub const fn permissions(&self) -> &'static [&'static str] {
        self.permissions
    }

    /// The bit of the permission with this name.
    pub const fn by_name(&self, name: &str) -> Option<u32> {
        let mut i = 0;
        while i < self.permissions.len() {
            if same(self.permissions[i].as_bytes(), name.as_bytes()) {
                return Some(i as u32);
            }
            i += 1;
        }
        None
    }
}

impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Matrix({}: {})", self.name, self.permissions.join(" "))
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

/// Declares the permissions of a service: the static [`Matrix`] of them, and a type for each.
///
/// ```
/// shared_security::permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" } }
///
/// assert_eq!(MATRIX.permissions(), ["notes:read", "notes:write"]);
/// ```
///
/// A name has the form `domain:action`, in lower case:
///
/// ```compile_fail,E0080
/// shared_security::permissions! { pub static MATRIX = "notes" { ReadNotes = "Read notes", WriteNotes = "notes:write" } }
/// ```
///
/// and no name comes twice:
///
/// ```compile_fail,E0080
/// shared_security::permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:read" } }
/// ```
#[macro_export]
macro_rules! permissions {
    ($(#[$outer:meta])* $visible:vis static $matrix:ident = $service:literal { $($(#[$meta:meta])* $permission:ident = $name:literal),* $(,)? }) => {
        #[doc = concat!("The permissions of `", $service, "`.")]
        $(#[$outer])*
        $visible static $matrix: $crate::Matrix = $crate::Matrix::new($service, &[$($name),*]);
        $(
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
        )*
    };
}

/// `domain:action`, each a word of lower-case letters, digits, `_` and `-` that begins with a letter. Such a name
/// fits into the claim `scope` and into a header without escaping.
pub(crate) const fn is_permission(name: &str) -> bool {
    let name = name.as_bytes();
    let (mut colons, mut at_start, mut i) = (0, true, 0);
    while i < name.len() {
        match name[i] {
            b'a'..=b'z' => at_start = false,
            b'0'..=b'9' | b'_' | b'-' if !at_start => {}
            b':' if !at_start => (colons, at_start) = (colons + 1, true),
            _ => return false,
        }
        i += 1;
    }
    colons == 1 && !at_start
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::is_permission;

    #[test]
    fn a_permission_is_a_domain_and_an_action() {
        for good in ["notes:read", "billing-2:close_month", "a:b"] {
            assert!(is_permission(good), "{good}");
        }
        for bad in
            ["", "notes", ":read", "notes:", "a:b:c", "Notes:read", "notes: read", "2:b", "notes:*", "ü:b"]
        {
            assert!(!is_permission(bad), "{bad}");
        }
    }
}
