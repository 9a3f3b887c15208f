use super::{By, Limit};

/// One of the limits of a [`Limiter`](crate::Limiter): its name, by what it tells requests apart, and how often.
///
/// ```
/// use std::time::Duration;
/// use shared_security::{By, Limit, Rule};
///
/// let rules = [
///     Rule::new("address", &[By::Address], Limit::per_second(10).burst(20)),
///     Rule::new("network", &[By::Network { v4: 24, v6: 48 }], Limit::per_second(200)),
///     Rule::new("tenant", &[By::Tenant], Limit::sliding(100_000, Duration::from_secs(3600))),
///     Rule::new("all", &[], Limit::per_second(5_000)), // everybody together
/// ];
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    name: &'static str,
    by: &'static [By],
    limit: Limit,
}

impl Rule {
    /// A limit by these parts of a key. The name is told to callers in the `RateLimit` headers: 1 to 32 letters, digits and
    /// hyphens.
    pub const fn new(name: &'static str, by: &'static [By], limit: Limit) -> Self {
        Self { name, by, limit }
    }

    /// The name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// By what it tells requests apart.
    pub const fn by(&self) -> &'static [By] {
        self.by
    }

    /// How often, unless a plan or a tenant has a limit of its own.
    pub const fn limit(&self) -> Limit {
        self.limit
    }

    pub(super) fn has_good_name(&self) -> bool {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=32).contains(&self.name.len()) && self.name.bytes().all(good)
    }

    /// Whether it counts by who was verified.
    pub(super) fn needs_principal(&self) -> bool {
        self.by.iter().any(|part| matches!(part, By::Tenant | By::Principal))
    }

    /// Whether it can't look at any request without an address.
    pub(super) fn needs_address(&self) -> bool {
        self.by.iter().any(|part| matches!(part, By::Address | By::Network { .. }))
    }
}
