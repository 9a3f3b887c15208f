//! What is done for one lane at a time, in a task of its own.

use futures_util::future::try_join_all;
use shared_core::{TenantId, fault};

use super::machine::{Cursor, Taken};
use super::send::{Outlet, Went};
use super::{Core, Target, tick};
use crate::executor::{Executor, Retried, Turned};
use crate::metrics::METRICS;
use crate::{Envelope, Error, Lane, Place};

/// Something to be done for a lane.
pub(super) enum Work {
    /// To ask the sink what it has.
    Ask,
    /// To bring these events to where they go; the lane has then come to `reached`.
    Deliver { events: Vec<Envelope>, count: usize, reached: Cursor },
}

/// What a task has done.
pub(super) enum Done {
    /// `None` if it was cancelled, or ended by a bug.
    Of {
        lane: Lane,
        grant: u64,
        count: usize,
        outcome: Option<Outcome>,
    },
    Retried(Result<Retried, Error>),
    /// It was aborted.
    Ended,
}

/// How work for a lane ended.
pub(super) enum Outcome {
    Reached {
        at: Cursor,
        parked: u64,
        floor: Option<Place>,
    },
    /// It has this last, and lacks what lies behind `back`.
    Asked {
        floor: Option<Place>,
        back: Option<Cursor>,
    },
    Fenced,
    /// It was told to stop.
    Unfinished,
    Failed(Error),
}

impl Work {
    /// How many events it has in hand.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Ask => 0,
            Self::Deliver { count, .. } => *count,
        }
    }

    pub(super) async fn run(self, core: &Core, lane: Lane, taken: Taken) -> Outcome {
        match (self, &core.target) {
            (Self::Ask, Target::Sink(outlet)) => ask(core, outlet, lane, taken).await,
            (Self::Ask, Target::Consumers(_)) => Outcome::Unfinished,
            (Self::Deliver { events, reached, count }, Target::Consumers(executor)) => {
                consume(executor, lane, events, count, reached).await
            }
            (Self::Deliver { events, reached, .. }, Target::Sink(outlet)) => {
                let subscription = &core.config.subscription;
                match outlet.send(&core.db, subscription, lane, taken.floor, events).await {
                    Ok(Went::All(floor)) => Outcome::Reached { at: reached, parked: 0, floor },
                    Ok(Went::Fenced) => Outcome::Fenced,
                    Err(error) => Outcome::Failed(error),
                }
            }
        }
    }
}

/// Tenants side by side, each in the order of its events.
async fn consume(
    executor: &Executor,
    lane: Lane,
    events: Vec<Envelope>,
    count: usize,
    reached: Cursor,
) -> Outcome {
    let mut tenants: Vec<(TenantId, Vec<Envelope>)> = Vec::new();
    for event in events {
        match tenants.iter_mut().find(|(tenant, _)| *tenant == event.tenant) {
            Some((_, events)) => events.push(event),
            None => tenants.push((event.tenant, vec![event])),
        }
    }
    let turns = tenants.iter().map(|(_, events)| executor.turn(lane, events));
    match try_join_all(turns).await {
        Ok(turns) => {
            let turned = turns.into_iter().fold(Turned::default(), Turned::and);
            if turned.stopped {
                return Outcome::Unfinished;
            }
            METRICS.delivered.add(count as u64, &[]);
            fault::point("events.relay.delivered");
            Outcome::Reached { at: reached, parked: turned.parked, floor: None }
        }
        Err(error) => Outcome::Failed(error),
    }
}

/// Asks the sink what it has, and looks whether it lacks something that it had.
async fn ask(core: &Core, outlet: &Outlet, lane: Lane, taken: Taken) -> Outcome {
    let floor = match outlet.last(lane).await {
        Ok(floor) => floor,
        Err(why) => {
            tracing::warn!(subscription = core.config.subscription, %lane, "the sink does not say what it has: {why}");
            return Outcome::Fenced;
        }
    };
    if taken.floor.is_some() && floor >= taken.floor {
        return Outcome::Asked { floor, back: None };
    }
    match lacks(core, lane, floor, taken.cursor).await {
        Ok(back) => Outcome::Asked { floor, back },
        Err(error) => Outcome::Failed(error),
    }
}

/// From where on a sink whose last event is this one lacks some that the cursor has passed, if it does.
async fn lacks(
    core: &Core,
    lane: Lane,
    last: Option<Place>,
    cursor: Cursor,
) -> Result<Option<Cursor>, Error> {
    let subscription = &core.config.subscription;
    let back = tick::cursor_at(&core.db, last).await?;
    if back.is_raised {
        tracing::warn!(subscription, %lane, "the sink has later events than the log, as after a restore; the next come after them");
    }
    if back.cursor >= cursor {
        return Ok(None);
    }
    let lost = back.lost(&core.db, subscription, lane, cursor).await?;
    if lost > 0 {
        METRICS.rewound.add(lost, &[]);
        tracing::warn!(subscription, %lane, "the sink has lost events that it had; they are sent again");
    }
    Ok((lost > 0).then_some(back.cursor))
}
