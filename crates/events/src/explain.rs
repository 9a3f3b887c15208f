//! Why a subscription is late: the causes by name, and what to do about each.

mod cause;
mod look;
#[cfg(test)]
mod tests;

use std::fmt;

pub use cause::Cause;
pub(crate) use cause::words;
#[cfg(test)]
pub(crate) use look::STATEMENTS;

use crate::Error;
use crate::operate::{Subscription, SubscriptionStatus};

/// How a subscription stands, and why it is late or events are missing. Its `Display` says all of it, a line each.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// How it stands.
    pub status: SubscriptionStatus,
    /// What holds it up, or a part of it; the most important first. Empty if nothing does.
    pub causes: Vec<Cause>,
}

impl Subscription {
    /// Why it is late: looks at its lanes and relays, at what is parked, and at the transactions that are open in the database, twice if
    /// there are any, a second apart. It changes nothing.
    ///
    /// The server shows since when another role's transaction has been open to members of `pg_read_all_stats`; without that right of the
    /// system role it is known from the ticks, if one was made meanwhile.
    ///
    /// # Errors
    /// [`Error::Conflict`] if there is none of this name; [`Error::Database`].
    pub async fn explain(&self) -> Result<Explanation, Error> {
        const ATTEMPTED: &str = "explaining a subscription";
        let status = self.status().await?;
        let status = status
            .ok_or_else(|| Error::conflict(ATTEMPTED, format!("there is none named `{}`", self.name)))?;
        let lanes = self.lanes().await?;
        let db = &self.subscriptions.db;
        let relays = look::relays(db, &self.name).await?;
        let mut causes = cause::of_relays(&status, &lanes, &relays);
        causes.extend(look::parked(db, &status.parked_under).await?);
        if status.kind.is_of_log() {
            causes.extend(look::open_transactions(db).await?);
            causes.extend(look::prepared(db).await?);
        }
        causes.extend(cause::slow(&status, &causes));
        Ok(Explanation { status, causes })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SubscriptionStatus { name, waiting, oldest, parked, .. } = &self.status;
        write!(f, "subscription `{name}`: {waiting} events wait")?;
        if let Some(age) = oldest {
            write!(f, ", the oldest for {}", cause::words(*age))?;
        }
        writeln!(f, "; {parked} are parked")?;
        if self.causes.is_empty() {
            writeln!(f, "nothing holds it up")?;
        }
        self.causes.iter().try_for_each(|cause| writeln!(f, "- {}: {cause}", cause.name()))
    }
}
