//! What is done for one lane at a time, in a task of its own.

use shared_core::fault;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::machine::{Cursor, Taken};
use super::reader::{Page, Reader};
use super::send::{Outlet, Went};
use super::{Core, Target, ask, loads, read};
use crate::executor::{Executor, Retried, Turned};
use crate::metrics::METRICS;
use crate::replay::{self, Pace};
use crate::window::{Portion, Receipt};
use crate::{Error, Lane, Place};

/// Something to be done for a lane.
pub(super) enum Work {
    /// To ask the sink what it has.
    Ask,
    /// To send these events. The flag says that nothing of the lane is parked.
    Send(Page, bool),
    /// To send all that the lane has behind, page by page: while one is sent, the next is read.
    CatchUp(Behind),
    /// To read the next page for consumers. The flag says that the events themselves are read later.
    Read(Behind, bool),
    /// To deliver these to the consumers, until that is to end.
    Deliver(Portion, CancellationToken),
}

/// What a lane has behind, page by page.
pub(super) struct Behind {
    reader: Reader,
    replay: Option<replay::Bounds>,
    pace: Pace,
    yields: CancellationToken,
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
    /// The next page for consumers; `None` if there is no more, or others are to have their turn.
    Page(Option<Box<(Page, Behind)>>),
    /// These are done, unless it was told to end before, and so many of them were put aside.
    Delivered {
        of: Receipt,
        is_done: bool,
        parked: u64,
    },
    /// The sink is to be asked, which has this last if that is known.
    Fenced {
        floor: Option<Place>,
    },
    /// It is nothing that is done for this target.
    Nothing,
    /// The next page could not be read, for this reason; what was read before stays as it is.
    Unread(Error),
    Failed(Error),
}

impl Work {
    pub(super) async fn run(self, core: &Core, lane: Lane, taken: Taken, passing: &Passing) -> Outcome {
        match (self, &core.target) {
            (Self::Ask, Target::Sink(outlet)) => ask::ask(core, outlet, lane, taken).await,
            (Self::Send(page, is_clear), Target::Sink(outlet)) => {
                send(core, outlet, lane, taken.floor, page, is_clear).await
            }
            (Self::CatchUp(behind), Target::Sink(outlet)) => {
                let done = catch_up(core, outlet, lane, taken, behind, passing).await;
                done.unwrap_or_else(Outcome::Failed)
            }
            (Self::Read(mut behind, later), _) => match behind.next(core, later).await {
                Ok(page) => Outcome::Page(page.map(|page| Box::new((page, behind)))),
                Err(error) => Outcome::Unread(error),
            },
            (Self::Deliver(portion, ends), Target::Consumers(executor)) => {
                let done = deliver(core, executor, lane, portion, &ends).await;
                done.unwrap_or_else(Outcome::Failed)
            }
            _ => Outcome::Nothing,
        }
    }
}

impl Behind {
    pub(super) fn new(reader: Reader, replay: Option<replay::Bounds>, yields: CancellationToken) -> Self {
        Self { reader, replay, pace: Pace::default(), yields }
    }

    /// The next page, when it is its turn to be read, `later` without the events themselves; `None` at the end, and where others are to have their turn.
    async fn next(&mut self, core: &Core, later: bool) -> Result<Option<Page>, Error> {
        if let Some(free) = self.pace.waits() {
            tokio::select! {
                () = tokio::time::sleep_until(free) => {}
                () = self.yields.cancelled() => {}
            }
        }
        if self.yields.is_cancelled() {
            return Ok(None);
        }
        // It is closed by nobody.
        let turn = core.reads.acquire().await.ok();
        let mut page = self.reader.next(core.log(), later).await?;
        drop(turn);
        if let (Some(replay), Some(page)) = (&self.replay, &mut page) {
            self.pace.took(replay.lasts(page.len(), 1));
            replay.pass(&mut page.events);
        }
        Ok(page)
    }
}

/// Sends what the lane has behind, and tells after each page how far it is.
async fn catch_up(
    core: &Core,
    outlet: &Outlet,
    lane: Lane,
    taken: Taken,
    mut behind: Behind,
    passing: &Passing,
) -> Result<Outcome, Error> {
    let Taken { grant, mut cursor, mut floor } = taken;
    let mut is_clear = core.log().is_clear(&[lane]).await?;
    let mut next = behind.next(core, false).await?;
    while let Some(page) = next {
        let (sent, ahead) =
            tokio::join!(send(core, outlet, lane, floor, page, is_clear), behind.next(core, false));
        let Outcome::Reached { at, parked, floor: last } = sent else { return Ok(sent) };
        (cursor, floor) = (at, last);
        is_clear &= parked == 0;
        // Whoever would hear it is gone only when this is about to be dropped.
        let _ = passing.send(Passed { lane, grant, at, floor, parked }).await;
        next = ahead?.filter(|_| !behind.yields.is_cancelled());
    }
    Ok(Outcome::Reached { at: cursor, parked: 0, floor })
}

/// Sends a page.
async fn send(
    core: &Core,
    outlet: &Outlet,
    lane: Lane,
    floor: Option<Place>,
    page: Page,
    is_clear: bool,
) -> Outcome {
    let Page { events, reached, .. } = page;
    if events.is_empty() {
        return Outcome::Reached { at: reached, parked: 0, floor };
    }
    match outlet.send(core.log(), lane, floor, events, is_clear).await {
        Ok(Went::All { last, parked }) => Outcome::Reached { at: reached, parked, floor: last },
        Ok(Went::Fenced { last }) => Outcome::Fenced { floor: last },
        Err(error) => Outcome::Failed(error),
    }
}

/// Delivers a tenant's events to the consumers.
async fn deliver(
    core: &Core,
    executor: &Executor,
    lane: Lane,
    portion: Portion,
    ends: &CancellationToken,
) -> Result<Outcome, Error> {
    let turned = match portion.seen.is_empty() {
        true => executor.turn(lane, &portion.events, ends).await?,
        false => deliver_later(core, executor, lane, &portion, ends).await?,
    };
    if !turned.stopped {
        METRICS.delivered.add(portion.of.events() as u64, &[]);
        fault::point("events.relay.delivered");
    }
    Ok(Outcome::Delivered { of: portion.of, is_done: !turned.stopped, parked: turned.parked })
}

/// The same of events that are yet to be read: when it is their tenant's turn to have some in memory, and as many at once as have their part
/// of a page's bytes.
async fn deliver_later(
    core: &Core,
    executor: &Executor,
    lane: Lane,
    portion: &Portion,
    ends: &CancellationToken,
) -> Result<Turned, Error> {
    let stopped = Turned { stopped: true, ..Turned::default() };
    let room = ends.run_until_cancelled(core.loads.ask(portion.tenant).slot()).await;
    let Some(Some(_room)) = room else { return Ok(stopped) };
    let (mut turned, mut rest, mut most) = (Turned::default(), portion.seen.as_slice(), portion.seen.len());
    while !rest.is_empty() && !turned.stopped {
        let (next, _) = rest.split_at(most.min(rest.len()));
        let Some(Ok(turn)) = ends.run_until_cancelled(core.reads.acquire()).await else {
            return Ok(turned.and(stopped));
        };
        let bytes = read::BYTES / loads(&core.config);
        let (events, count) = core.log().events(lane, next, bytes).await?;
        drop(turn);
        turned = turned.and(executor.turn(lane, &events, ends).await?);
        // Of large ones the server is not asked for all that are left each time.
        (rest, most) = (rest.get(count..).unwrap_or_default(), 2 * count);
    }
    Ok(turned)
}
