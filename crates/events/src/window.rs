//! What was read of a lane for consumers, from the log or a broker, and is not done: each tenant's events in their order, the tenants side
//! by side. The lane has passed what lies before the oldest of them. Decisions alone.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};

use shared_core::TenantId;
use time::OffsetDateTime;

use crate::{Envelope, Lane, Place};

/// A lane's events between what is read and what is done. `R` says where the lane is.
pub(crate) struct Window<R> {
    /// The pages that were read, of which something is left, by their numbers.
    pages: BTreeMap<u64, Left<R>>,
    read: u64,
    tenants: HashMap<TenantId, Flow>,
    /// Those that have events, and nothing on its way.
    ready: VecDeque<TenantId>,
    /// Events that are not done, and those of them that are in memory, with the bytes of their payloads.
    events: usize,
    read_events: usize,
    read_bytes: usize,
    /// Portions on their way.
    away: usize,
}

/// Of a page.
struct Left<R> {
    /// Where the lane is when all of it is done, and all before it.
    reached: R,
    events: usize,
}

/// A tenant's events, with the numbers of their pages.
#[derive(Default)]
struct Flow {
    waiting: VecDeque<(u64, Waiting)>,
    is_away: bool,
}

enum Waiting {
    /// In memory.
    Read(Box<Envelope>),
    Seen(Seen),
}

/// An event that was seen in the log, and is read when it is its turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) lane: Lane,
    pub(crate) tenant: TenantId,
    pub(crate) place: Place,
    pub(crate) xid: i64,
    /// When it was written, by which its day is known.
    pub(crate) at: OffsetDateTime,
}

/// How much is delivered at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    /// So many events of those in memory,
    pub(crate) read: usize,
    /// or so many that are to be read.
    pub(crate) seen: usize,
}

/// Events of one tenant that are delivered together.
pub(crate) struct Portion {
    pub(crate) tenant: TenantId,
    pub(crate) events: Vec<Envelope>,
    /// Those that are to be read first, instead.
    pub(crate) seen: Vec<Seen>,
    pub(crate) of: Receipt,
}

/// By which they are known when they are done.
#[derive(Debug)]
pub(crate) struct Receipt {
    tenant: TenantId,
    /// So many of each page,
    pages: Vec<(u64, usize)>,
    /// and so many were in memory, with so many bytes.
    read: usize,
    read_bytes: usize,
}

impl<R> Default for Window<R> {
    fn default() -> Self {
        let (pages, tenants, ready) = Default::default();
        Self { pages, read: 0, tenants, ready, events: 0, read_events: 0, read_bytes: 0, away: 0 }
    }
}

impl Receipt {
    /// How many events they are.
    pub(crate) fn events(&self) -> usize {
        self.pages.iter().map(|(_, count)| count).sum()
    }
}

impl<R> Window<R> {
    /// Takes in what was read next: events, or those that are read later. Returns where the lane is if nothing before it is left, and it has
    /// nothing.
    pub(crate) fn push(&mut self, events: Vec<Envelope>, seen: Vec<Seen>, reached: R) -> Option<R> {
        let count = events.len() + seen.len();
        if count == 0 {
            // It is done when what lies before it is.
            let Some(mut last) = self.pages.last_entry() else { return Some(reached) };
            last.get_mut().reached = reached;
            return None;
        }
        self.read += 1;
        self.events += count;
        self.read_events += events.len();
        self.read_bytes += events.iter().map(|event| event.payload.len()).sum::<usize>();
        self.pages.insert(self.read, Left { reached, events: count });
        let read = events.into_iter().map(|event| (event.tenant, Waiting::Read(Box::new(event))));
        let seen = seen.into_iter().map(|seen| (seen.tenant, Waiting::Seen(seen)));
        for (tenant, event) in read.chain(seen) {
            let flow = self.tenants.entry(tenant).or_default();
            if flow.waiting.is_empty() && !flow.is_away {
                self.ready.push_back(tenant);
            }
            flow.waiting.push_back((self.read, event));
        }
        None
    }

    /// The next events to be delivered, of a tenant that has none on their way.
    pub(crate) fn next(&mut self, most: Most) -> Option<Portion> {
        let tenant = self.ready.pop_front()?;
        let flow = self.tenants.get_mut(&tenant)?;
        flow.is_away = true;
        self.away += 1;
        let (mut events, mut seen, mut pages) = (Vec::new(), Vec::new(), Vec::<(u64, usize)>::new());
        let mut read_bytes = 0;
        while events.len() < most.read.max(1)
            && seen.len() < most.seen.max(1)
            && let Some((page, event)) = flow.waiting.pop_front_if(|(_, next)| match next {
                Waiting::Read(_) => seen.is_empty(),
                Waiting::Seen(_) => events.is_empty(),
            })
        {
            match event {
                Waiting::Read(event) => {
                    read_bytes += event.payload.len();
                    events.push(*event);
                }
                Waiting::Seen(event) => seen.push(event),
            }
            match pages.last_mut() {
                Some((last, count)) if *last == page => *count += 1,
                _ => pages.push((page, 1)),
            }
        }
        let read = events.len();
        Some(Portion { tenant, events, seen, of: Receipt { tenant, pages, read, read_bytes } })
    }

    /// These are done. Returns where the lane is, if it has moved.
    pub(crate) fn done(&mut self, of: Receipt) -> Option<R> {
        self.undone(&of);
        let Receipt { tenant, pages, .. } = of;
        if let Some(flow) = self.tenants.get_mut(&tenant) {
            flow.is_away = false;
            match flow.waiting.is_empty() {
                true => drop(self.tenants.remove(&tenant)),
                false => self.ready.push_back(tenant),
            }
        }
        let mut moved = None;
        for (number, count) in pages {
            let Some(page) = self.pages.get_mut(&number) else { continue };
            page.events -= count;
            if page.events == 0 {
                moved = self.ended(number).or(moved);
            }
        }
        moved
    }

    /// These are on their way no more, and not all of them are done: the lane stays before them, and is to be read again from there.
    pub(crate) fn undone(&mut self, of: &Receipt) {
        self.away -= 1;
        self.events -= of.events();
        self.read_events -= of.read;
        self.read_bytes -= of.read_bytes;
    }

    /// All of a page is done: the lane has passed it, or does so together with the one before.
    fn ended(&mut self, number: u64) -> Option<R> {
        let reached = self.pages.remove(&number)?.reached;
        match self.pages.range_mut(..number).next_back() {
            Some((_, before)) => {
                before.reached = reached;
                None
            }
            None => Some(reached),
        }
    }

    /// Lets go of what is not on its way: the lane stays where it is, and reads it again.
    pub(crate) fn let_go(&mut self) {
        for flow in self.tenants.values_mut() {
            self.events -= flow.waiting.len();
            for (_, event) in flow.waiting.drain(..) {
                if let Waiting::Read(event) = event {
                    self.read_events -= 1;
                    self.read_bytes -= event.payload.len();
                }
            }
        }
        self.ready.clear();
    }

    /// Events that are not done.
    pub(crate) fn events(&self) -> usize {
        self.events
    }

    /// Those of them that are in memory.
    pub(crate) fn read_events(&self) -> usize {
        self.read_events
    }

    /// The bytes of their payloads.
    pub(crate) fn read_bytes(&self) -> usize {
        self.read_bytes
    }

    /// Portions on their way.
    pub(crate) fn away(&self) -> usize {
        self.away
    }
}
