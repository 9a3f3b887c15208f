use shared_core::{Id, Site, TenantId};
use time::OffsetDateTime;

use crate::SessionId;
use crate::claims::is_name;
use crate::matrix::is_permission;
use crate::{Error, Permission, Principal};

/// What a token is to say: who may do what, in which tenant.
#[derive(Clone, Debug)]
pub struct Grant {
    pub(crate) tenant: TenantId,
    pub(crate) subject: String,
    pub(crate) site: Option<Id<Site>>,
    pub(crate) permissions: Vec<String>,
    pub(crate) roles: Vec<String>,
    pub(crate) session: Option<SessionId>,
    pub(crate) authenticated: Option<OffsetDateTime>,
    pub(crate) methods: Vec<String>,
    pub(crate) client: Option<String>,
    pub(crate) actor: Option<String>,
}

impl Grant {
    /// `subject` is known to `tenant`, and may do nothing yet.
    pub fn new(tenant: TenantId, subject: impl Into<String>) -> Self {
        Self {
            tenant,
            subject: subject.into(),
            site: None,
            permissions: Vec::new(),
            roles: Vec::new(),
            session: None,
            authenticated: None,
            methods: Vec::new(),
            client: None,
            actor: None,
        }
    }

    /// A service speaks for itself, within a tenant: the grant of client credentials (RFC 6749, section 4.4). It is both
    /// subject and client (RFC 9068, section 2.2), so no user's token can be taken for it.
    pub fn for_client(tenant: TenantId, client: impl Into<String>) -> Self {
        let client = client.into();
        Self { client: Some(client.clone()), ..Self::new(tenant, client) }
    }

    /// A service acts for whoever is asking it, towards the next service: subject, tenant, site, session and login stay
    /// those of the principal, so that what ends its session ends this as well; the service is named as the actor
    /// (RFC 8693). Permissions are those given here, not the principal's: they are names of another service.
    pub fn on_behalf_of(principal: &Principal, client: impl Into<String>) -> Self {
        let client = client.into();
        Self {
            site: principal.context().site(),
            session: principal.session(),
            authenticated: principal.authenticated_at(),
            methods: principal.methods().map(str::to_owned).collect(),
            client: Some(client.clone()),
            actor: Some(client),
            ..Self::new(principal.tenant(), principal.subject())
        }
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

    /// These roles as well. Each service looks up what they come to, at each request.
    pub fn with_roles(mut self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.roles.extend(roles.into_iter().map(Into::into));
        self
    }

    /// As part of a session: it ends with it.
    pub fn with_session(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    /// Issued to this client, such as the app that a user has logged in with (`client_id`, which RFC 9068 asks for).
    pub fn with_client(mut self, client: impl Into<String>) -> Self {
        self.client = Some(client.into());
        self
    }

    /// When and how the subject showed who it is, by the names of RFC 8176: `["pwd", "otp"]`.
    pub fn with_authentication(
        mut self,
        at: OffsetDateTime,
        methods: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.authenticated = Some(at);
        self.methods = methods.into_iter().map(Into::into).collect();
        self
    }

    /// Somebody else acts for the subject, such as support on a user's behalf (`act`, RFC 8693).
    pub fn with_actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// Whether verifiers would accept what it says.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !is_name(&self.subject) {
            return Err(Error::Subject);
        }
        if let Some(name) = self.permissions.iter().find(|name| !is_permission(name)) {
            return Err(Error::Permission { name: name.clone() });
        }
        let claims = [
            ("roles", self.roles.as_slice()),
            ("amr", &self.methods),
            ("client_id", self.client.as_slice()),
            ("act", self.actor.as_slice()),
        ];
        let unclear = claims.into_iter().find(|(_, names)| names.iter().any(|name| !is_name(name)));
        unclear.map_or(Ok(()), |(claim, _)| Err(Error::Claim { claim }))
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
