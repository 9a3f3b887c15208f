//! What was read for consumers goes on its way, tenant by tenant, while more is read.

use tokio_util::sync::CancellationToken;

use super::super::machine::Cursor;
use super::super::reader::Page;
use super::super::work::{Behind, Work};
use super::super::{loads, read};
use super::Coordinator;
use crate::window::{Most, Receipt, Window};
use crate::{LANES, Lane};

/// Tenants of a lane with events on their way at once, each in a task of its own: more than can have a transaction, and few enough to be some
/// megabytes. The others come to their turn behind them.
const AWAY: usize = 250;

/// A lane's events for consumers.
pub(super) struct Flow {
    /// What was read and is not done.
    pub(super) window: Window<Cursor>,
    /// What the lane has behind, for which there was no room.
    behind: Option<Behind>,
    /// Ends what is on its way, each tenant's behind the event that it is at: the lane is let go.
    ends: CancellationToken,
}

impl Coordinator {
    /// Takes in what was read of a lane.
    pub(super) fn take_in(&mut self, lane: Lane, page: Page) {
        let Some(taken) = self.machine.taken(lane) else { return };
        if page.len() > 0 {
            self.in_vain = 0;
        }
        let Page { events, seen, reached } = page;
        self.machine.reads(lane, reached);
        if let Some(at) = self.flow_of(lane).window.push(events, seen, reached) {
            self.machine.moved(lane, taken.grant, at, None);
        }
        self.flow(lane);
    }

    fn flow_of(&mut self, lane: Lane) -> &mut Flow {
        let stop = &self.core.stop;
        let new = || Flow { window: Window::default(), behind: None, ends: stop.child_token() };
        self.flows.entry(lane).or_insert_with(new)
    }

    /// Sends on their way the events of tenants that have none there; and reads on, if there is room.
    fn flow(&mut self, lane: Lane) {
        let most = self.most();
        while !self.core.stop.is_cancelled()
            && let Some(flow) = self.flows.get_mut(&lane).filter(|flow| flow.window.away() < AWAY)
            && let Some(portion) = flow.window.next(most)
        {
            let ends = flow.ends.clone();
            self.spawn(lane, Work::Deliver(portion, ends), 0);
        }
        let known = self.core.config.window as usize / self.machine.held().len().max(1);
        // Of a replay all is read at once, since its filter asks for it.
        let has_room = self.flows.get(&lane).is_none_or(|flow| flow.window.events() < known.max(1))
            && !(self.replay.is_some() && self.is_full(lane));
        self.machine.has_room(lane, has_room);
        if has_room && let Some(behind) = self.flows.get_mut(&lane).and_then(|flow| flow.behind.take()) {
            self.read_on(lane, behind);
        }
    }

    /// Reads what a lane has behind: the events themselves as long as its part of a page has room for them.
    pub(super) fn read_on(&mut self, lane: Lane, behind: Behind) {
        let later = self.is_full(lane) && self.replay.is_none();
        self.spawn(lane, Work::Read(behind, later), 0);
    }

    /// Whether no further page of the lane is to be in memory.
    fn is_full(&self, lane: Lane) -> bool {
        let (events, bytes) = (self.portion(), read::BYTES / usize::from(LANES));
        let window = self.flows.get(&lane).map(|flow| &flow.window);
        window.is_some_and(|window| window.read_events() > events || window.read_bytes() >= bytes)
    }

    /// Events that are read of a lane at once, and delivered at once of a tenant: half of the lane's part of a page, so that the next are
    /// read meanwhile.
    pub(super) fn portion(&self) -> usize {
        (self.core.config.page as usize / (2 * self.machine.held().len().max(1))).max(1)
    }

    /// How much of a tenant is delivered at once. Of what is to be read first, no more than a turn; all that are in memory at once are a page.
    fn most(&self) -> Most {
        let config = &self.core.config;
        let seen = (config.page as usize / loads(config)).clamp(1, config.batch as usize);
        Most { read: self.portion(), seen }
    }

    /// A lane's next page was read, or there is none.
    pub(super) fn has_read(&mut self, lane: Lane, grant: u64, next: Option<(Page, Behind)>) {
        if !self.machine.is(lane, grant) || self.is_ending(lane) {
            return;
        }
        match next {
            Some((page, behind)) => {
                self.flow_of(lane).behind = Some(behind);
                self.take_in(lane, page);
            }
            None => self.machine.undone(lane, grant),
        }
    }

    /// Events of a tenant are done; or, where that was to end, some of them may be.
    pub(super) fn delivered(&mut self, lane: Lane, grant: u64, of: Receipt, is_done: bool) {
        let flow = self.flows.get_mut(&lane).filter(|_| self.machine.is(lane, grant));
        let Some(flow) = flow else { return };
        if !is_done {
            flow.window.undone(&of);
        } else if let Some(at) = flow.window.done(of) {
            self.machine.moved(lane, grant, at, None);
        }
        match self.is_ending(lane) || !is_done {
            true => self.let_go(lane),
            false => self.flow(lane),
        }
    }

    /// Whether the lane was let go, whatever became of the reason since, and something of it has not come back. Nothing is read of it
    /// meanwhile: that would go past what was let go.
    fn is_ending(&self, lane: Lane) -> bool {
        self.flows.get(&lane).is_some_and(|flow| flow.ends.is_cancelled())
    }

    /// Gives up what was read of a lane for consumers and is not done. When nothing of it is on its way, the lane is where its cursor is, and can be
    /// handed on or read again.
    pub(super) fn let_go(&mut self, lane: Lane) {
        if self.is_for_sink() {
            return;
        }
        if let Some(flow) = self.flows.get_mut(&lane) {
            flow.ends.cancel();
            flow.behind = None;
            flow.window.let_go();
            if flow.window.away() > 0 {
                return self.machine.ends(lane);
            }
            self.flows.remove(&lane);
        }
        self.machine.back(lane);
    }

    /// Something of a lane could not be done: the rest of what was read is given up too, and all of it read again.
    pub(super) fn read_again(&mut self, lane: Lane, grant: u64) {
        if self.machine.is(lane, grant) {
            self.drop_lane(lane);
            self.machine.back(lane);
        }
    }
}
