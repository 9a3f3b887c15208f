use shared_core::{Id, Site, TenantId};

use crate::Permission;

/// What a token is to say: who may do what, in which tenant.
#[derive(Clone, Debug)]
pub struct Grant {
    pub(crate) tenant: TenantId,
    pub(crate) subject: String,
    pub(crate) site: Option<Id<Site>>,
    pub(crate) permissions: Vec<String>,
}

impl Grant {
    /// `subject` is known to `tenant`, and may do nothing yet.
    pub fn new(tenant: TenantId, subject: impl Into<String>) -> Self {
        Self { tenant, subject: subject.into(), site: None, permissions: Vec::new() }
    }

    /// The same within a site of the tenant.
    pub fn with_site(mut self, site: Id<Site>) -> Self {
        self.site = Some(site);
        self
    }

    /// These as well: `ReadNotes`, `(ReadNotes, WriteNotes)`, or names such as `["notes:read"]`.
    pub fn with_permissions(mut self, permissions: impl PermissionNames) -> Self {
        permissions.add_to(&mut self.permissions);
        self
    }
}

/// Some permissions, by type or by name: `ReadNotes`, `(ReadNotes, WriteNotes)`, `["notes:read"]`.
pub trait PermissionNames: sealed::Sealed {
    /// Adds the names to a list.
    fn add_to(&self, names: &mut Vec<String>);
}

impl<P: Permission> PermissionNames for P {
    fn add_to(&self, names: &mut Vec<String>) {
        names.push(P::NAME.to_owned());
    }
}

impl<N: AsRef<str>> PermissionNames for &[N] {
    fn add_to(&self, names: &mut Vec<String>) {
        names.extend(self.iter().map(|name| name.as_ref().to_owned()));
    }
}

impl<N: AsRef<str>, const COUNT: usize> PermissionNames for [N; COUNT] {
    fn add_to(&self, names: &mut Vec<String>) {
        self.as_slice().add_to(names);
    }
}

macro_rules! tuples {
    ($($permission:ident)*) => {
        impl<$($permission: Permission),*> PermissionNames for ($($permission,)*) {
            fn add_to(&self, names: &mut Vec<String>) {
                names.extend([$($permission::NAME.to_owned()),*]);
            }
        }
        impl<$($permission: Permission),*> sealed::Sealed for ($($permission,)*) {}
    };
}

tuples! {}
tuples! { A }
tuples! { A B }
tuples! { A B C }
tuples! { A B C D }
tuples! { A B C D E }
tuples! { A B C D E F }
tuples! { A B C D E F G }
tuples! { A B C D E F G H }

mod sealed {
    use crate::Permission;

    pub trait Sealed {}
    impl<P: Permission> Sealed for P {}
    impl<N: AsRef<str>> Sealed for &[N] {}
    impl<N: AsRef<str>, const COUNT: usize> Sealed for [N; COUNT] {}
}
