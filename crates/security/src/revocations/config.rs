use std::time::Duration;

/// What a verifier does while it can't know what others have revoked. There is no default: both hurt somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenStale {
    /// Every token is refused: nobody is let in by mistake, and an outage of the store is one of the service.
    Refuse,
    /// Tokens are accepted as far as is known: the service goes on, and a revoked token may work until it expires.
    Accept,
}

/// How revocations are kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RevocationConfig {
    /// What happens when the store was not read for `stale_after`.
    pub when_stale: WhenStale,
    /// How long the store may be away unnoticed. 5 s: a failover of a database takes longer, a lost connection less.
    pub stale_after: Duration,
    /// How often the store is read. Half a second, so that a revocation is seen everywhere within one.
    pub poll: Duration,
    /// The longest lifetime of an access token, with twice the leeway: then a revocation has done its work and is forgotten. 1 hour,
    /// six times the usual lifetime. A verifier refuses tokens that live longer
    /// ([`VerifyError::OutlivesRevocations`](crate::VerifyError::OutlivesRevocations)).
    pub longest_token: Duration,
    /// Revocations in memory. 100,000 take some 10 MB. What is above is not refused one by one but with its neighbours: all
    /// tokens of the tenant that has most of them, or of everybody, issued until now. Their clients refresh.
    pub max_entries: usize,
}

impl RevocationConfig {
    /// The usual bounds, with this policy.
    pub fn new(when_stale: WhenStale) -> Self {
        Self {
            when_stale,
            stale_after: Duration::from_secs(5),
            poll: Duration::from_millis(500),
            longest_token: Duration::from_secs(60 * 60),
            max_entries: 100_000,
        }
    }
}
