//! A lane that is behind, read page by page: several ticks together while they have little, and windows of one that has much.

use std::collections::VecDeque;

use shared_core::fault;

use super::machine::Cursor;
use super::read::{Log, Windows};
use super::ticks::{self, Cut};
use crate::{Envelope, Error, Lane};

/// Reads a lane from a cursor up to a tick.
pub(super) struct Reader<'a> {
    log: Log<'a>,
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
    /// Where the lane is behind them.
    pub(super) reached: Cursor,
}

impl<'a> Reader<'a> {
    pub(super) fn new(log: Log<'a>, lane: Lane, cursor: Cursor, to: i64, bounds: Bounds) -> Self {
        let (cuts, windows) = Default::default();
        Self { log, lane, cursor, to, bounds, cuts, together: ticks::TOGETHER, windows }
    }

    /// The next page; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Page>, Error> {
        loop {
            if let Some(windows) = &mut self.windows {
                let (events, reached) = windows.next(self.log, self.bounds.bytes).await?;
                return Ok(Some(self.reach(events, reached)));
            }
            if self.cuts.is_empty() {
                self.cuts = ticks::behind(self.log.db, self.cursor.passed, self.to).await?.into();
            }
            let Some(first) = self.cuts.front().cloned() else { return Ok(None) };
            // What stands within a batch has the rest of it alone.
            if self.cursor.pos == 0 {
                if let Some(page) = self.together().await? {
                    return Ok(Some(page));
                }
                if self.together > 1 {
                    self.together /= 4;
                    continue;
                }
            }
            let windows = self.log.windows(self.lane, self.cursor, first, self.bounds.events).await?;
            self.windows = Some(windows);
            self.cuts.pop_front();
        }
    }

    /// What several ticks have, if that is no more than a page.
    async fn together(&mut self) -> Result<Option<Page>, Error> {
        self.together = self.together.clamp(1, ticks::TOGETHER);
        let cuts: Vec<Cut> = self.cuts.iter().take(self.together).cloned().collect();
        let Some(to) = cuts.last().map(|cut| cut.tick) else { return Ok(None) };
        let (passed, lane, Bounds { events: most, bytes }) = (self.cursor.passed, [self.lane], self.bounds);
        let count = self.log.count(&lane, (passed, to, 0), most + 1).await?;
        let events = match count {
            0 => Some(Vec::new()),
            _ if count > most => None,
            _ => self.log.batch(&lane, passed, &cuts, bytes).await?,
        };
        let Some(events) = events else { return Ok(None) };
        self.cuts.drain(..cuts.len());
        if count < most / 2 {
            self.together *= 2;
        }
        Ok(Some(self.reach(events, Cursor { passed: to, pos: 0 })))
    }

    fn reach(&mut self, events: Vec<Envelope>, reached: Cursor) -> Page {
        if !events.is_empty() {
            fault::point("events.relay.read");
        }
        if reached.pos == 0 {
            self.windows = None;
        }
        self.cursor = reached;
        Page { events, reached }
    }
}
