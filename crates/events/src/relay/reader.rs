//! A lane that is behind, read page by page: several ticks together while they have little, and windows of one that has much.

use std::collections::VecDeque;

use shared_core::fault;

use super::machine::Cursor;
use super::read::{Log, Windows};
use super::ticks::{self, Cut};
use crate::window::Seen;
use crate::{Envelope, Error, Lane, Place};

/// Reads a lane from a cursor up to a tick.
pub(super) struct Reader {
    lane: Lane,
    cursor: Cursor,
    to: i64,
    bounds: Bounds,
    /// The ticks that come next,
    cuts: VecDeque<Cut>,
    /// of which so many are tried together,
    together: usize,
    /// and what is left of a batch that is larger than a page.
    windows: Option<Windows>,
}

/// How much is read at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) events: usize,
    /// Of payloads, unless a single event has more.
    pub(super) bytes: usize,
}

/// Events of a lane in their order, maybe none.
pub(super) struct Page {
    pub(super) events: Vec<Envelope>,
    /// Those that are to be read later, instead.
    pub(super) seen: Vec<Seen>,
    /// Where the lane is behind them.
    pub(super) reached: Cursor,
}

impl Reader {
    pub(super) fn new(lane: Lane, cursor: Cursor, to: i64, bounds: Bounds) -> Self {
        let (cuts, windows) = Default::default();
        Self { lane, cursor, to, bounds, cuts, together: ticks::TOGETHER, windows }
    }

    /// The next page, `later` without the events themselves; `None` at the end.
    pub(super) async fn next(&mut self, log: Log<'_>, later: bool) -> Result<Option<Page>, Error> {
        loop {
            if let Some(windows) = &mut self.windows {
                let page = match later {
                    true => windows.keys(log).await.map(|(seen, reached)| Page::later(seen, reached)),
                    false => windows.next(log, self.bounds.bytes).await.map(Page::new),
                };
                return Ok(Some(self.reach(page?)));
            }
            if self.cuts.is_empty() {
                self.cuts = ticks::behind(log.db, self.cursor.passed, self.to).await?.into();
            }
            let Some(first) = self.cuts.front().cloned() else { return Ok(None) };
            // What stands within a batch has the rest of it alone.
            if self.cursor.pos == 0 {
                if let Some(page) = self.together(log, later).await? {
                    return Ok(Some(page));
                }
                let tried = self.together.min(self.cuts.len());
                if tried > 1 {
                    self.together = tried / 4;
                    continue;
                }
            }
            let windows = log.windows(self.lane, self.cursor, first, self.bounds.events).await?;
            self.windows = Some(windows);
            self.cuts.pop_front();
        }
    }

    /// What several ticks have, if that is no more than a page.
    async fn together(&mut self, log: Log<'_>, later: bool) -> Result<Option<Page>, Error> {
        self.together = self.together.clamp(1, ticks::TOGETHER);
        let cuts: Vec<Cut> = self.cuts.iter().take(self.together).cloned().collect();
        let Some(to) = cuts.last().map(|cut| cut.tick) else { return Ok(None) };
        let (passed, lane, Bounds { events: most, bytes }) = (self.cursor.passed, [self.lane], self.bounds);
        let count = log.count(&lane, (passed, to, 0), most + 1).await?;
        let reached = Cursor { passed: to, pos: 0 };
        let page = match count {
            0 => Some(Page::new((Vec::new(), reached))),
            _ if count > most => None,
            _ if later => Some(Page::later(log.keys(&lane, passed, &cuts).await?, reached)),
            _ => log.batch(&lane, passed, &cuts, bytes).await?.map(|events| Page::new((events, reached))),
        };
        let Some(page) = page else { return Ok(None) };
        self.cuts.drain(..cuts.len());
        if count < most / 2 {
            self.together *= 2;
        }
        Ok(Some(self.reach(page)))
    }

    fn reach(&mut self, page: Page) -> Page {
        if page.len() > 0 {
            fault::point("events.relay.read");
        }
        if page.reached.pos == 0 {
            self.windows = None;
        }
        self.cursor = page.reached;
        page
    }
}

impl Page {
    pub(super) fn new((events, reached): (Vec<Envelope>, Cursor)) -> Self {
        Self { events, seen: Vec::new(), reached }
    }

    pub(super) fn later(seen: Vec<Seen>, reached: Cursor) -> Self {
        Self { events: Vec::new(), seen, reached }
    }

    /// Takes away all but the first events.
    pub(super) fn split_off(&mut self, first: usize) -> Self {
        let events = self.events.split_off(first.min(self.events.len()));
        let seen = self.seen.split_off(first.min(self.seen.len()));
        Self { events, seen, reached: self.reached }
    }

    /// The place of its last event.
    pub(super) fn last(&self) -> Option<Place> {
        let read = self.events.last().map(|event| event.place);
        read.max(self.seen.last().map(|seen| seen.place))
    }

    /// How many events it has.
    pub(super) fn len(&self) -> usize {
        self.events.len() + self.seen.len()
    }
}
