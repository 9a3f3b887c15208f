//! Whether events move: what a probe asks.

use std::time::Duration;

use shared_db::{Db, statements};
use uuid::Uuid;

use super::Subscriptions;
use super::lanes::{LaneStatus, lanes};
use crate::{Error, Lane};

statements! {
    const PAUSED: Statement<(), String> = "select name from shared_events.subscription where paused";
}

/// Whether the subscriptions move.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Health {
    /// The lanes that do not.
    pub stalled: Vec<Stalled>,
}

/// A lane that has work and does not move.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stalled {
    /// Whose it is.
    pub subscription: String,
    /// Which one.
    pub lane: Lane,
    /// For how long.
    pub still: Duration,
    /// Events that wait; counted to some ten thousand.
    pub waiting: u64,
}

impl Health {
    /// Whether everything that has work moves.
    pub fn is_moving(&self) -> bool {
        self.stalled.is_empty()
    }
}

impl Subscriptions {
    /// The lanes that have not moved for so long, although an event has waited for as long. What is paused is not among them. It
    /// is about the work and not about processes: a relay that runs and brings nothing forward shows here.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn health(&self, still: Duration) -> Result<Health, Error> {
        let paused = self.db.system().all(&PAUSED, ()).await?;
        let lanes = lanes(&self.db, None).await?;
        let stalled =
            lanes.into_iter().filter(|lane| lane.is_stalled(still) && !paused.contains(&lane.subscription));
        Ok(Health { stalled: stalled.map(Stalled::from).collect() })
    }
}

/// The same of the lanes that one relay has.
pub(crate) async fn of_relay(
    db: &Db,
    subscription: &str,
    relay: Uuid,
    still: Duration,
) -> Result<Health, Error> {
    if db.system().all(&PAUSED, ()).await?.iter().any(|paused| paused == subscription) {
        return Ok(Health::default());
    }
    let has = |lane: &LaneStatus| lane.holder.as_ref().is_some_and(|holder| holder.relay == relay);
    let lanes = lanes(db, Some(subscription)).await?.into_iter();
    Ok(Health {
        stalled: lanes.filter(|lane| has(lane) && lane.is_stalled(still)).map(Stalled::from).collect(),
    })
}

impl LaneStatus {
    /// Whether its cursor has not moved for so long, although it has had work.
    pub(crate) fn is_stalled(&self, still: Duration) -> bool {
        self.still >= still && self.oldest.is_some_and(|age| age >= still)
    }
}

impl From<LaneStatus> for Stalled {
    fn from(lane: LaneStatus) -> Self {
        Self { subscription: lane.subscription, lane: lane.lane, still: lane.still, waiting: lane.waiting }
    }
}
