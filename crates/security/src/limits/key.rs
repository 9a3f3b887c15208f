use std::net::IpAddr;

use aws_lc_rs::digest::{Context, SHA256};
use shared_core::TenantId;

/// By what requests are told apart: a part of a [`Key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum By {
    /// The client's address; of IPv6 its /64, which is what one subscriber has.
    Address,
    /// The network of the client's address with prefixes of these lengths, for IPv4 and IPv6: tiers above
    /// [`Address`](Self::Address), such as 24 and 48, since whoever has a /48 has 65,536 of those.
    Network {
        /// The length of the prefix of an IPv4 address: 0 to 32.
        v4: u8,
        /// The length of the prefix of an IPv6 address: 0 to 128.
        v6: u8,
    },
    /// The tenant.
    Tenant,
    /// The principal: user or service.
    Principal,
    /// The route, by its pattern.
    Route,
    /// Whatever else: an account that somebody tries to log in to, the id of an API key.
    Item,
}

/// Who is asking for what, in typed parts; each [`Rule`](crate::Rule) looks at those that it names.
///
/// ```
/// # use shared_core::TenantId;
/// use shared_security::Key;
/// let (tenant, address) = (TenantId::new(), "2001:db8::1".parse().unwrap());
/// let key = Key::new().tenant(tenant).principal("user:7").address(address).route("/notes/{id}");
/// ```
///
/// A part that is missing is a value of its own: all that have none share a quota. Parts are told apart by kind and
/// length, so no text can pretend to be another part. They are hashed, with a random secret in process and with SHA-256 for
/// other stores: what is stored has the same length whatever a caller sends, and does not show it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Key<'a> {
    address: Option<IpAddr>,
    tenant: Option<TenantId>,
    principal: Option<&'a str>,
    route: Option<&'a str>,
    item: Option<&'a str>,
}

impl<'a> Key<'a> {
    /// Without any part: all requests are alike.
    #[inline]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whose address it is. Behind a proxy take it from [`ClientAddress`](crate::ClientAddress). An IPv4 address in the
    /// form of an IPv6 one is the IPv4 address.
    #[inline]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.address = Some(address.to_canonical());
        self
    }

    /// For which tenant, as verified.
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Who, as verified. Where subjects are a tenant's own, limit [by tenant](By::Tenant) and principal.
    #[inline]
    pub fn principal(mut self, subject: &'a str) -> Self {
        self.principal = Some(subject);
        self
    }

    /// The pattern of the route: the path itself is the caller's to vary.
    pub fn route(mut self, pattern: &'a str) -> Self {
        self.route = Some(pattern);
        self
    }

    /// Whatever else is limited.
    pub fn item(mut self, item: &'a str) -> Self {
        self.item = Some(item);
        self
    }

    pub(super) fn of_tenant(&self) -> Option<TenantId> {
        self.tenant
    }

    /// Hands over the parts that are named, each behind its kind and its length.
    #[inline]
    pub(super) fn parts(&self, by: &[By], mut write: impl FnMut(&[u8])) {
        for part in by {
            match part {
                By::Address => self.network(32, 64, &mut write),
                By::Network { v4, v6 } => self.network(*v4, *v6, &mut write),
                By::Tenant => match self.tenant {
                    Some(tenant) => framed(3, tenant.as_uuid().as_bytes(), &mut write),
                    None => write(&[3, 0]),
                },
                By::Principal => text(4, self.principal, &mut write),
                By::Route => text(5, self.route, &mut write),
                By::Item => text(6, self.item, &mut write),
            }
        }
    }

    #[inline]
    fn network(&self, v4: u8, v6: u8, write: &mut impl FnMut(&[u8])) {
        match self.address {
            Some(IpAddr::V4(address)) => {
                let network =
                    u32::from(address) & u32::MAX.checked_shl(u32::from(32 - v4.min(32))).unwrap_or(0);
                let [a, b, c, d] = network.to_be_bytes();
                write(&[1, v4, a, b, c, d]);
            }
            Some(IpAddr::V6(address)) => {
                let network =
                    u128::from(address) & u128::MAX.checked_shl(u32::from(128 - v6.min(128))).unwrap_or(0);
                write(&[2, v6]);
                write(&network.to_be_bytes());
            }
            None => write(&[1, 255]),
        }
    }

    /// SHA-256 of the parts that are named, behind `domain`.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "stores elsewhere need it"))]
    pub(super) fn digest(&self, domain: &str, by: &[By]) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        text(0, Some(domain), &mut |bytes| context.update(bytes));
        self.parts(by, |bytes| context.update(bytes));
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }
}

#[inline]
fn text(kind: u8, text: Option<&str>, write: &mut impl FnMut(&[u8])) {
    match text {
        Some(text) => framed(kind, text.as_bytes(), write),
        None => write(&[kind, 0]),
    }
}

#[inline]
fn framed(kind: u8, bytes: &[u8], write: &mut impl FnMut(&[u8])) {
    let [a, b, c, d, e, f, g, h] = (bytes.len() as u64).to_be_bytes();
    write(&[kind, 1, a, b, c, d, e, f, g, h]);
    write(bytes);
}
