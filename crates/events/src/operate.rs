//! The subscriptions seen and steered from outside, by those who run them: over all tenants, and from any process.

mod adopt;
mod days;
mod discard;
mod health;
mod lanes;
mod parked;
mod redrive;
mod status;
mod steer;
#[cfg(test)]
mod tests;

use shared_db::{Check, Db};

pub use days::KeptDays;
pub(crate) use health::of_relay;
pub use health::{Health, Stalled};
pub(crate) use lanes::seconds;
pub use lanes::{Holder, LaneStatus};
pub(crate) use parked::ParkedPlace;
pub use parked::{Parked, ParkedFilter, ParkedState};
pub use redrive::Redrive;
pub use status::{Kind, SubscriptionStatus};
pub use steer::Subscription;

use crate::Error;
use crate::publish::SIGNAL;

#[cfg_attr(not(test), allow(dead_code, reason = "it is for a test"))]
pub(crate) const STATEMENTS: [&[(&str, &dyn Check)]; 9] = [
    adopt::STATEMENTS,
    days::STATEMENTS,
    discard::STATEMENTS,
    health::STATEMENTS,
    lanes::STATEMENTS,
    parked::STATEMENTS,
    redrive::STATEMENTS,
    status::STATEMENTS,
    steer::STATEMENTS,
];

/// Things in one list at most: 1,000. It is what a person may still look through, and some hundred kilobytes.
pub const MAX_LISTED: u32 = 1000;

/// All subscriptions of a database: how they stand, why one is late, what is parked, and what changes that. Nothing here is bound to
/// a tenant, so it belongs into the hands of operators; payloads are shown nowhere.
///
/// ```no_run
/// # use shared_db::Db;
/// # use shared_events::{Error, ParkedFilter, Subscriptions};
/// # async fn operate(db: &Db) -> Result<(), Error> {
/// let subscriptions = Subscriptions::new(db);
/// for subscription in subscriptions.status().await? {
///     println!("{}: {} events wait", subscription.name, subscription.waiting);
/// }
/// println!("{}", subscriptions.subscription("main").explain().await?);
/// subscriptions.redrive(ParkedFilter::new().consumer("digest")).at_rate(50).await?;
/// # Ok(()) }
/// ```
///
/// Everything that changes something works on all relays at once, whichever process they run in, and may be repeated.
#[derive(Clone, Debug)]
pub struct Subscriptions {
    pub(crate) db: Db,
}

impl Subscriptions {
    /// Those of this database.
    pub fn new(db: &Db) -> Self {
        Self { db: db.clone() }
    }

    /// Relays of this process look at once; those of others, when they poll.
    fn wake(&self) {
        let signal = self.db.signal(SIGNAL);
        signal.notify_waiters();
        signal.notify_one();
    }
}

/// A name that no subscription can have is not asked for: the server could not even read one of them.
pub(crate) fn check_name(attempted: &'static str, name: &str) -> Result<(), Error> {
    let sound = (1..=63).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    refuse(attempted, (!sound).then_some("a subscription's name has 1 to 63 characters"))
}

pub(crate) fn refuse(attempted: &'static str, problem: Option<&str>) -> Result<(), Error> {
    problem.map_or(Ok(()), |problem| Err(Error::not_done(attempted, problem)))
}
