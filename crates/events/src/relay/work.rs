//! What is done for one lane at a time, in a task of its own.

use futures_util::future::try_join_all;
use shared_core::{TenantId, fault};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::machine::{Cursor, Taken};
use super::reader::{Bounds, Page, Reader};
use super::send::{Outlet, Went};
use super::{Core, Target, tick};
use crate::executor::{Executor, Retried, Turned};
use crate::metrics::METRICS;
use crate::replay::{self, Pace};
use crate::{Envelope, Error, Lane, Place};

/// Something to be done for a lane.
pub(super) enum Work {
    /// To ask the sink what it has.
    Ask,
    /// To bring these events to where they go. The flag says that nothing of the lane is parked.
    Deliver(Page, bool),
    /// To bring all that the lane has up to this tick, page by page: while one is brought, the next is read.
    CatchUp { to: i64, bounds: Bounds, replay: Option<replay::Bounds>, yields: CancellationToken },
}

/// How far a lane is whose work goes on.
pub(super) struct Passed {
    pub(super) lane: Lane,
    pub(super) grant: u64,
    pub(super) at: Cursor,
    pub(super) floor: Option<Place>,
    /// Events that were put aside.
    pub(super) parked: u64,
}

/// Where that is told.
pub(super) type Passing = mpsc::Sender<Passed>;

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
            Self::Deliver(page, _) => page.events.len(),
            Self::CatchUp { bounds, .. } => 2 * bounds.events,
        }
    }

    pub(super) async fn run(self, core: &Core, lane: Lane, taken: Taken, passing: &Passing) -> Outcome {
        match (self, &core.target) {
            (Self::Ask, Target::Sink(outlet)) => ask(core, outlet, lane, taken).await,
            (Self::Ask, Target::Consumers(_)) => Outcome::Unfinished,
            (Self::Deliver(page, is_clear), _) => deliver(core, lane, taken.floor, page, is_clear).await,
            (Self::CatchUp { to, bounds, replay, yields }, _) => {
                let reader = Reader::new(core.log(), lane, taken.cursor, to, bounds);
                let done = catch_up(core, lane, taken, reader, replay, yields, passing).await;
                done.unwrap_or_else(Outcome::Failed)
            }
        }
    }
}

/// Brings what the reader has to where it goes, and tells after each page how far the lane is.
async fn catch_up(
    core: &Core,
    lane: Lane,
    taken: Taken,
    mut reader: Reader<'_>,
    replay: Option<replay::Bounds>,
    yields: CancellationToken,
    passing: &Passing,
) -> Result<Outcome, Error> {
    let Taken { grant, mut cursor, mut floor } = taken;
    let mut is_clear = core.log().is_clear(&[lane]).await?;
    let mut pace = Pace::default();
    let mut next = read(core, &mut reader).await?;
    while let Some(mut page) = next.filter(|_| !yields.is_cancelled()) {
        if let Some(replay) = &replay {
            if let Some(free) = pace.waits() {
                tokio::select! {
                    () = tokio::time::sleep_until(free) => {}
                    () = yields.cancelled() => break,
                }
            }
            pace.took(replay.lasts(page.events.len(), 1));
            replay.pass(&mut page.events);
        }
        let (delivered, ahead) =
            tokio::join!(deliver(core, lane, floor, page, is_clear), read(core, &mut reader));
        let Outcome::Reached { at, parked, floor: last } = delivered else { return Ok(delivered) };
        (cursor, floor) = (at, last);
        is_clear &= parked == 0;
        // Whoever would hear it is gone only when this is about to be dropped.
        let _ = passing.send(Passed { lane, grant, at, floor, parked }).await;
        next = ahead?;
    }
    Ok(Outcome::Reached { at: cursor, parked: 0, floor })
}

/// The next page, when it is its turn to be read.
async fn read(core: &Core, reader: &mut Reader<'_>) -> Result<Option<Page>, Error> {
    // It is closed by nobody.
    let _turn = core.reads.acquire().await.ok();
    reader.next().await
}

/// Brings a page to where it goes.
async fn deliver(core: &Core, lane: Lane, floor: Option<Place>, page: Page, is_clear: bool) -> Outcome {
    let Page { events, reached } = page;
    if events.is_empty() {
        return Outcome::Reached { at: reached, parked: 0, floor };
    }
    match &core.target {
        Target::Consumers(executor) => consume(executor, lane, events, reached).await,
        Target::Sink(outlet) => match outlet.send(core.log(), lane, floor, events, is_clear).await {
            Ok(Went::All { last, parked }) => Outcome::Reached { at: reached, parked, floor: last },
            Ok(Went::Fenced) => Outcome::Fenced,
            Err(error) => Outcome::Failed(error),
        },
    }
}

/// Tenants side by side, each in the order of its events.
async fn consume(executor: &Executor, lane: Lane, events: Vec<Envelope>, reached: Cursor) -> Outcome {
    let count = events.len();
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
    let back = tick::cursor_at(&core.db, last, core.config.rewind).await?;
    if back.is_raised {
        tracing::warn!(subscription, %lane, "the sink has later events than the log, as after a restore; the next come after them");
    }
    if back.cursor >= cursor {
        return Ok(None);
    }
    let mut lost = back.lost(core.log(), lane, cursor).await?;
    if cursor.pos > 0 && !back.is_raised {
        // A part of the next batch is behind the cursor too, and the sink has nothing of it.
        lost = lost.max(1);
    }
    if lost > 0 {
        METRICS.rewound.add(lost, &[]);
        tracing::warn!(subscription, %lane, "the sink has lost events that it had; they are sent again");
    }
    Ok((lost > 0).then_some(back.cursor))
}
