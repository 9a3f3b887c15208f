//! What a sink has last, and whether the log bears it out: what it lacks is sent again, and nothing is taken for sent because of what
//! somebody else wrote there.

use std::sync::atomic::Ordering;

use shared_core::fault;

use super::Core;
use super::foreign::When;
use super::machine::{Cursor, Taken};
use super::send::Outlet;
use super::tick::{self, Back, Whose};
use super::work::Outcome;
use crate::metrics::METRICS;
use crate::{Error, Lane, Place};

/// Asks the sink what it has, and looks whether it lacks something that it had, or has something that is not ours.
pub(super) async fn ask(core: &Core, outlet: &Outlet, lane: Lane, taken: Taken) -> Outcome {
    let floor = match outlet.last(lane).await {
        Ok(floor) => floor,
        Err(why) => {
            tracing::warn!(subscription = core.config.subscription, %lane, "the sink does not say what it has: {why}");
            return Outcome::Fenced { floor: None };
        }
    };
    if taken.floor.is_some() && floor == taken.floor {
        outlet.foreign.is_gone(lane, When::Asking);
        return Outcome::Asked { floor, back: None };
    }
    match look(core, outlet, lane, taken, floor).await {
        Ok(Looked::Ours { back }) => {
            fault::point("events.relay.asked");
            outlet.foreign.is_gone(lane, When::Asking);
            Outcome::Asked { floor, back }
        }
        Ok(Looked::Foreign { why }) => {
            let place = floor.unwrap_or_default();
            // Whatever comes behind what it is known to have of ours.
            outlet.foreign.begins(lane, taken.floor.unwrap_or(place));
            let why = format!("the sink says that it has {place}, and {why}");
            tracing::error!(subscription = core.config.subscription, %lane, "the lane waits: {why}");
            outlet.foreign.found(lane, When::Asking, why).await;
            Outcome::Fenced { floor: None }
        }
        Err(error) => Outcome::Failed(error),
    }
}

enum Looked {
    /// With where to go back to, if the sink lacks something.
    Ours { back: Option<Cursor> },
    /// Somebody else has written there, for this reason.
    Foreign { why: String },
}

async fn look(
    core: &Core,
    outlet: &Outlet,
    lane: Lane,
    taken: Taken,
    floor: Option<Place>,
) -> Result<Looked, Error> {
    let back = tick::cursor_at(&core.db, floor, core.config.rewind).await?;
    if let Some(place) = floor {
        let whose = match back.whose(core.log(), lane, place, (taken, outlet.foreign.since(lane))).await? {
            Whose::Foreign if back.is_unknown() && place.tick <= core.forgotten.load(Ordering::Relaxed) => {
                Whose::Unknown
            }
            whose => whose,
        };
        if whose == Whose::Foreign {
            // Else it may be one that the database has forgotten.
            tick::still_has(&core.db, core.seen()).await?;
            let why = "the log has no such event: somebody else has written there, such as the relay of another log; take that \
                       out before another relay gets the lane, which could take it for an event of before a restore";
            return Ok(Looked::Foreign { why: why.to_owned() });
        }
        // Only now: somebody else's would move the ticks of all subscriptions.
        if back.is_later && !tick::raise(&core.db, place.tick).await? {
            return Ok(Looked::Foreign { why: "no tick as late is made before a year from now".to_owned() });
        }
        if whose == Whose::Unknown {
            let (subscription, Cursor { passed, pos }) = (&core.config.subscription, taken.cursor);
            tracing::warn!(subscription, %lane, %place, passed, pos, "the sink is ahead of the lane by a place that the log does not know, as after \
                a restore; what the log has up to there counts as sent");
        }
    }
    Ok(Looked::Ours { back: lacks(core, lane, back, taken.cursor).await? })
}

/// From where on a sink that stands there lacks some events that the cursor has passed, if it does.
async fn lacks(core: &Core, lane: Lane, back: Back, cursor: Cursor) -> Result<Option<Cursor>, Error> {
    let subscription = &core.config.subscription;
    if back.cursor >= cursor {
        return Ok(None);
    }
    let mut lost = back.lost(core.log(), lane, cursor).await?;
    if cursor.pos > 0 && !back.is_later {
        // A part of the next batch is behind the cursor too, and the sink has nothing of it.
        lost = lost.max(1);
    }
    if lost > 0 {
        METRICS.rewound.add(lost, &[]);
        tracing::warn!(subscription, %lane, "the sink has lost events that it had; they are sent again");
    }
    Ok((lost > 0).then_some(back.cursor))
}
