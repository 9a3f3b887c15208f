use std::future::Future;

use super::level::Level;
use super::limit::Quota;
use super::{Key, MOST_RULES, Rule};
use crate::Error;

/// Where it is kept how much was used: [`InProcess`](crate::InProcess), and with their features `RedisLimits` and
/// `PostgresLimits`. Whoever writes a function over any of them names this trait; there are no others to write.
pub trait LimitStore: Send + Sync + 'static {
    /// Whether asking takes a round trip, so that denials are worth remembering.
    #[doc(hidden)]
    const IS_REMOTE: bool;

    /// Whether it can decide on these together.
    #[doc(hidden)]
    fn accept(&self, rules: &[Rule]) -> Result<(), Error>;

    /// Takes the cost from all or from none. Dropping the future may leave it taken.
    #[doc(hidden)]
    fn take(&self, asks: &[Ask<'_>], cost: u64) -> impl Future<Output = Result<Taken, Outage>> + Send;
}

/// One of the limits that a request is held against.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub(super) rule: &'a Rule,
    pub(super) quota: Quota,
    pub(super) key: &'a Key<'a>,
}

/// What a store has found, and done.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Whether it all fitted, and was taken.
    pub(super) all: bool,
    /// How each limit stood before.
    pub(super) before: [Option<Level>; MOST_RULES],
}

/// The store gave no answer; what was chosen for that case.
#[derive(Clone, Copy, Debug)]
pub struct Outage(pub(super) OnOutage);

/// What becomes of requests when the store gives no answer. There is no default: whether a service prefers to be flooded or
/// to be shut is nobody else's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnOutage {
    /// Fail open: they go on, unlimited.
    Allow,
    /// Fail closed: they are refused, by the layer with a 503.
    Refuse,
}
