//! Which lane reads next, what it has in hand, and how far it has come: decisions alone, without a clock, a database or a sink.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::{Lane, Place};

/// How far a subscription has come in a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cursor {
    /// It has passed every event up to this tick,
    pub(crate) passed: i64,
    /// and of the batch behind it those up to this position.
    pub(crate) pos: i64,
}

#[cfg(test)]
impl Cursor {
    /// Whether this place is behind it.
    fn has_passed(self, place: Place) -> bool {
        place.tick <= self.passed || place.tick == self.passed + 1 && place.pos <= self.pos
    }
}

/// A lane that this relay owns, as a beat reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) lane: Lane,
    /// Counts the owners of the lane: what an earlier one writes touches nothing.
    pub(crate) epoch: i64,
    pub(crate) cursor: Cursor,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// To ask the sink what it has last of this lane.
    Ask(Lane),
    /// To read what these lanes have behind this tick.
    Read { passed: i64, lanes: Vec<Lane> },
}

/// What work for a lane is to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// Its result is to name it.
    pub(crate) grant: u64,
    pub(crate) cursor: Cursor,
    /// The last that the sink is known to have.
    pub(crate) floor: Option<Place>,
}

pub(crate) struct Machine {
    lanes: BTreeMap<Lane, Held>,
    /// The lanes that were given up, with their epochs: a beat that was on its way then still reports them.
    given_up: BTreeMap<Lane, i64>,
    share: usize,
    /// The tick behind which there was none.
    end: Option<i64>,
    /// Whether a sink is to be asked what it has, before it gets anything of a lane.
    asks: bool,
    grants: u64,
}

struct Held {
    epoch: i64,
    /// Tells the results of work for this grant from those for an earlier one.
    grant: u64,
    /// What is done,
    cursor: Cursor,
    /// what was read, which may be more where consumers are at work,
    read: Cursor,
    /// and what is written down of what is done.
    written: Cursor,
    phase: Phase,
    /// What was read and is not done is as much as it may be.
    is_full: bool,
    /// It is to be let go as soon as nothing of it is in hand.
    is_leaving: bool,
    /// The last that the sink is known to have.
    floor: Option<Place>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Unasked,
    Free,
    Busy,
    /// It is let go as it was read, and what was on its way then has not come back. Nothing of it is read before.
    Ending,
}

impl Machine {
    pub(crate) fn new(asks: bool) -> Self {
        Self { lanes: BTreeMap::new(), given_up: BTreeMap::new(), share: 0, end: None, asks, grants: 0 }
    }

    /// Takes in what a beat reports. Returns the lanes that are lost: whatever is in hand for them is to be dropped.
    pub(crate) fn beat(&mut self, owned: &[Owned], share: usize) -> Vec<Lane> {
        self.share = share;
        let is_mine = |lane: &Lane, held: &Held| {
            owned.iter().any(|owned| (owned.lane, owned.epoch) == (*lane, held.epoch))
        };
        let lost =
            self.lanes.extract_if(.., |lane, held| !is_mine(lane, held)).map(|(lane, _)| lane).collect();
        self.keep_if_due();
        for owned in owned {
            let is_old = self.given_up.get(&owned.lane).is_some_and(|epoch| *epoch >= owned.epoch);
            if !is_old && !self.lanes.contains_key(&owned.lane) {
                self.grant(*owned);
            }
        }
        lost
    }

    /// A beat that has begun since reports none of the lanes that were given up, unless they are its own again, as in a database that has
    /// gone back.
    pub(crate) fn were_given_up(&mut self) {
        self.given_up.clear();
    }

    fn grant(&mut self, owned: Owned) {
        self.grants += 1;
        let held = Held {
            epoch: owned.epoch,
            grant: self.grants,
            cursor: owned.cursor,
            read: owned.cursor,
            written: owned.cursor,
            is_full: false,
            is_leaving: false,
            phase: if self.asks { Phase::Unasked } else { Phase::Free },
            floor: None,
        };
        self.lanes.insert(owned.lane, held);
        self.end = None;
    }

    /// The leases may have run out: nothing is held any more until the next beat.
    pub(crate) fn silent(&mut self) {
        self.lanes.clear();
    }

    /// Lanes beyond its share, of which nothing is in hand: they are let go, first of all those that were to be.
    pub(crate) fn surplus(&mut self) -> Vec<Owned> {
        let most = self.lanes.len().saturating_sub(self.share.max(1));
        let mut free: Vec<(bool, Lane)> = self
            .lanes
            .iter()
            .filter(|(_, held)| !held.is_busy())
            .map(|(lane, held)| (!held.is_leaving, *lane))
            .collect();
        free.sort_unstable();
        let gone = self.let_go(free.into_iter().map(|(_, lane)| lane).take(most).collect());
        self.keep_if_due();
        gone
    }

    /// Where no more are held than its share, all of them are kept.
    fn keep_if_due(&mut self) {
        if self.lanes.len() <= self.share.max(1) {
            self.lanes.values_mut().for_each(|held| held.is_leaving = false);
        }
    }

    /// Further lanes beyond its share: nothing more of them is read. Returns those that are new among them.
    pub(crate) fn leaving(&mut self) -> Vec<Lane> {
        let most = self.lanes.len().saturating_sub(self.share.max(1));
        let are = self.lanes.values().filter(|held| held.is_leaving).count();
        let busy = self.lanes.iter_mut().filter(|(_, held)| held.is_busy() && !held.is_leaving);
        let leave = |(lane, held): (&Lane, &mut Held)| {
            held.is_leaving = true;
            *lane
        };
        busy.take(most.saturating_sub(are)).map(leave).collect()
    }

    /// All of them, at the end.
    pub(crate) fn all(&mut self) -> Vec<Owned> {
        let lanes = self.held();
        self.let_go(lanes)
    }

    fn let_go(&mut self, lanes: Vec<Lane>) -> Vec<Owned> {
        let gone = lanes.into_iter().filter_map(|lane| Some((lane, self.lanes.remove(&lane)?)));
        let gone: Vec<Owned> =
            gone.map(|(lane, held)| Owned { lane, epoch: held.epoch, cursor: held.cursor }).collect();
        self.given_up.extend(gone.iter().map(|owned| (owned.lane, owned.epoch)));
        gone
    }

    /// These could not be let go: a beat gives them back.
    pub(crate) fn takes_back(&mut self, owned: &[Owned]) {
        for owned in owned {
            self.given_up.remove(&owned.lane);
        }
    }

    /// Those that are held.
    pub(crate) fn held(&self) -> Vec<Lane> {
        self.lanes.keys().copied().collect()
    }

    #[cfg(test)]
    pub(crate) fn cursor(&self, lane: Lane) -> Option<Cursor> {
        self.lanes.get(&lane).map(|held| held.cursor)
    }

    /// Whether work for a lane is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.lanes.values().any(Held::is_busy)
    }

    /// What there is to do; `None` until something is done, or there are new events. The lanes that are furthest behind come first.
    pub(crate) fn next(&self) -> Option<Next> {
        let free = |phase| self.lanes.iter().filter(move |(_, held)| held.phase == phase);
        if let Some((lane, _)) = free(Phase::Unasked).next() {
            return Some(Next::Ask(*lane));
        }
        let open = || free(Phase::Free).filter(|(_, held)| !held.is_full && !held.is_leaving);
        let passed = open().map(|(_, held)| held.read.passed).min()?;
        if Some(passed) == self.end {
            return None;
        }
        let there = |held: &Held| held.read == Cursor { passed, pos: 0 };
        // One that stands within a batch is alone there.
        let within = open().find(|(_, held)| held.read.passed == passed && !there(held));
        let lanes = match within {
            Some((lane, _)) => vec![*lane],
            None => open().filter(|(_, held)| there(held)).map(|(lane, _)| *lane).collect(),
        };
        Some(Next::Read { passed, lanes })
    }

    /// Whether one of these has passed a part of its batch.
    pub(crate) fn stands_within(&self, lanes: &[Lane]) -> bool {
        lanes.iter().filter_map(|lane| self.lanes.get(lane)).any(|held| held.read.pos > 0)
    }

    /// There is no tick behind this one.
    pub(crate) fn at_end(&mut self, passed: i64) {
        self.end = Some(passed);
    }

    /// There may be one now.
    pub(crate) fn wake(&mut self) {
        self.end = None;
    }

    /// The lane has nothing up to there.
    pub(crate) fn passes(&mut self, lane: Lane, to: Cursor) {
        if let Some(held) = self.lanes.get_mut(&lane) {
            (held.cursor, held.read) = (to, to);
        }
    }

    /// What the lane has up to there was read, and is not done.
    pub(crate) fn reads(&mut self, lane: Lane, to: Cursor) {
        if let Some(held) = self.lanes.get_mut(&lane) {
            held.read = to;
        }
    }

    /// Whether there is room for more of the lane.
    pub(crate) fn has_room(&mut self, lane: Lane, has_room: bool) {
        if let Some(held) = self.lanes.get_mut(&lane)
            && held.is_full == has_room
        {
            held.is_full = !has_room;
            self.end = self.end.filter(|_| !has_room);
        }
    }

    /// Whether the lane is still held as it was when work for it began.
    pub(crate) fn is(&self, lane: Lane, grant: u64) -> bool {
        self.lanes.get(&lane).is_some_and(|held| held.grant == grant)
    }

    /// What was read of the lane and is not done is given up; it goes back as soon as what is on its way has ended.
    pub(crate) fn ends(&mut self, lane: Lane) {
        if let Some(held) = self.lanes.get_mut(&lane) {
            held.phase = Phase::Ending;
        }
    }

    /// What was read of the lane and is not done is given up, and nothing of it is on its way: it is to be read again.
    pub(crate) fn back(&mut self, lane: Lane) {
        self.grants += 1;
        if let Some(held) = self.lanes.get_mut(&lane) {
            (held.grant, held.read, held.phase, held.is_full) =
                (self.grants, held.cursor, Phase::Free, false);
            self.end = None;
        }
    }

    /// Something of the lane is taken in hand. Returns what the work is to know.
    pub(crate) fn takes(&mut self, lane: Lane) -> Option<Taken> {
        self.lanes.get_mut(&lane)?.phase = Phase::Busy;
        self.taken(lane)
    }

    /// What work for a lane is to know.
    pub(crate) fn taken(&self, lane: Lane) -> Option<Taken> {
        let held = self.lanes.get(&lane)?;
        Some(Taken { grant: held.grant, cursor: held.read, floor: held.floor })
    }

    /// A part of what is in hand is done, up to there; the sink has this last.
    pub(crate) fn moved(&mut self, lane: Lane, grant: u64, to: Cursor, floor: Option<Place>) {
        if let Some(held) = self.of(lane, grant) {
            (held.cursor, held.read, held.floor) = (to, held.read.max(to), floor);
        }
    }

    /// What was in hand is done, up to there; the sink has this last.
    pub(crate) fn done(&mut self, lane: Lane, grant: u64, to: Cursor, floor: Option<Place>) {
        self.moved(lane, grant, to, floor);
        self.undone(lane, grant);
    }

    /// What was in hand is not done: it is to be read again.
    pub(crate) fn undone(&mut self, lane: Lane, grant: u64) {
        let Some(held) = self.of(lane, grant).filter(|held| held.phase == Phase::Busy) else { return };
        held.phase = Phase::Free;
        // That there was nothing behind it was found for others, while this one was at work.
        let passed = held.read.passed;
        self.end = self.end.filter(|end| *end != passed);
    }

    /// Somebody else has written to the sink's lane, which may have had this last: it is to be asked.
    pub(crate) fn fenced(&mut self, lane: Lane, grant: u64, floor: Option<Place>) {
        let asks = self.asks;
        if let Some(held) = self.of(lane, grant) {
            held.floor = held.floor.max(floor);
            held.phase = if asks { Phase::Unasked } else { Phase::Free };
        }
    }

    /// The sink has this last. What it lacks behind `back` it gets again: the lane goes back to there.
    pub(crate) fn asked(&mut self, lane: Lane, grant: u64, floor: Option<Place>, back: Option<Cursor>) {
        let Some(held) = self.of(lane, grant) else { return };
        held.floor = floor;
        if let Some(back) = back {
            held.cursor = held.cursor.min(back);
            held.read = held.cursor;
            self.end = None;
        }
        self.undone(lane, grant);
    }

    /// The sink is to be asked about every lane of which nothing is in hand.
    pub(crate) fn ask_again(&mut self) {
        for held in self.lanes.values_mut().filter(|held| held.phase == Phase::Free) {
            held.phase = Phase::Unasked;
        }
    }

    /// The cursors that are not written yet.
    pub(crate) fn unwritten(&self) -> Vec<Owned> {
        let moved = self.lanes.iter().filter(|(_, held)| held.cursor != held.written);
        moved.map(|(lane, held)| Owned { lane: *lane, epoch: held.epoch, cursor: held.cursor }).collect()
    }

    /// These were written; those that were not are no longer its own. Returns them.
    pub(crate) fn wrote(&mut self, tried: &[Owned], written: &[Lane]) -> Vec<Lane> {
        let mut lost = Vec::new();
        for owned in tried {
            if !written.contains(&owned.lane) {
                self.lanes.remove(&owned.lane);
                lost.push(owned.lane);
            } else if let Some(held) = self.lanes.get_mut(&owned.lane) {
                held.written = owned.cursor;
            }
        }
        lost
    }

    fn of(&mut self, lane: Lane, grant: u64) -> Option<&mut Held> {
        self.lanes.get_mut(&lane).filter(|held| held.grant == grant)
    }
}

impl Held {
    /// Whether something of it is in hand.
    fn is_busy(&self) -> bool {
        matches!(self.phase, Phase::Busy | Phase::Ending) || self.read != self.cursor
    }
}
