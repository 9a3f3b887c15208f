//! One subscription: stopped, let go on, taken away.

use shared_db::statements;

use super::{Subscriptions, check_name};
use crate::Error;

statements! {
    const SET_PAUSED: Statement<(String, bool), ()> = "
        update shared_events.subscription set paused = $2 where name = $1";
    // The row is locked, so that no relay starts on it meanwhile.
    const LIVING: Statement<(String,), i64> = "
        select (select count(*) from shared_events.relay as r where r.subscription = s.name and r.expires > clock_timestamp())
          from shared_events.subscription as s where s.name = $1 for update";
    const FORGET_PARKED: Statement<(String,), ()> = "delete from shared_events.parked where subscription = $1";
    const FORGET_POSITIONS: Statement<(String,), ()> = "delete from shared_events.position where subscription = $1";
    const FORGET_MARKS: Statement<(String,), ()> = "delete from shared_events.inbox where subscription = $1";
    // Its cursors go with it, and how far intakes have read.
    const FORGET: Statement<(String,), ()> = "delete from shared_events.subscription where name = $1";
}

/// One subscription, to be steered. Made by [`Subscriptions::subscription`].
#[derive(Clone, Debug)]
pub struct Subscription {
    pub(crate) subscriptions: Subscriptions,
    pub(crate) name: String,
}

impl Subscriptions {
    /// The subscription of this name, whether there is one or not.
    pub fn subscription(&self, name: impl Into<String>) -> Subscription {
        Subscription { subscriptions: self.clone(), name: name.into() }
    }
}

impl Subscription {
    /// Stops deliveries, with those of parked events; what is under way is finished. Publishing goes on, and the log keeps what it has
    /// not passed, as a broker does for an intake. Relays see it at their next beat, a third of a lease later at most. Returns whether there is
    /// one of this name.
    ///
    /// # Errors
    /// [`Error::NotDone`] for a name that none can have, [`Error::Database`]. If the future is dropped it may have been done.
    pub async fn pause(&self) -> Result<bool, Error> {
        self.set_paused("pausing a subscription", true).await
    }

    /// Lets deliveries go on, where they were.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn resume(&self) -> Result<bool, Error> {
        self.set_paused("resuming a subscription", false).await
    }

    async fn set_paused(&self, attempted: &'static str, paused: bool) -> Result<bool, Error> {
        self.check(attempted)?;
        let found = self.subscriptions.db.system().execute(&SET_PAUSED, (&self.name, paused)).await? == 1;
        self.subscriptions.wake();
        Ok(found)
    }

    /// Takes it away with its cursors, what its consumers have done and what is parked for them, so that it holds no part of the log any
    /// more. A program that starts it again begins at the log's start, or with what the broker has, and its consumers' effects happen
    /// again, unless they are kept under [another name](super::SubscriptionStatus::parked_under). Returns whether
    /// there was one of this name.
    ///
    /// # Errors
    /// [`Error::Conflict`] while a relay works on it, [`Error::NotDone`] for a name that none can have; [`Error::Database`]. If the future is dropped,
    /// it was done whole or not at all.
    pub async fn retire(&self) -> Result<bool, Error> {
        const ATTEMPTED: &str = "retiring a subscription";
        self.check(ATTEMPTED)?;
        let name = self.name.as_str();
        self.subscriptions
            .db
            .system()
            .tx(async |tx| match tx.opt(&LIVING, (name,)).await? {
                None => Ok(false),
                Some(0) => {
                    for of_it in [&FORGET_PARKED, &FORGET_POSITIONS, &FORGET_MARKS, &FORGET] {
                        tx.execute(of_it, (name,)).await?;
                    }
                    Ok(true)
                }
                Some(relays) => Err(Error::conflict(
                    ATTEMPTED,
                    format!("{relays} relays work on `{name}`; stop the programs that read it"),
                )),
            })
            .await
    }

    pub(super) fn check(&self, attempted: &'static str) -> Result<(), Error> {
        check_name(attempted, &self.name)
    }
}
