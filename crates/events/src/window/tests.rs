//! Tenants of a lane on their way side by side, and how far the lane is.

use std::collections::HashMap;

use proptest::prelude::*;
use shared_core::{Actor, Context, TenantId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Most, Portion, Seen, Window};
use crate::{Envelope, Lane, Place};

fn tenant(n: u8) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(u128::from(n) + 1))
}

fn event(of: u8, pos: i64) -> Envelope {
    let tenant = tenant(of);
    Envelope {
        id: Uuid::nil(),
        name: "a.b".to_owned(),
        version: 1,
        key: "k".to_owned(),
        tenant,
        at: OffsetDateTime::UNIX_EPOCH,
        context: Context::new(tenant, Actor::new("a test")),
        payload: "{}".to_owned(),
        lane: Lane::FIRST,
        place: Place::new(1, pos),
        replay: false,
        xid: None,
    }
}

/// Of these tenants, from this position on; and the last position.
fn page(first: i64, tenants: &[u8]) -> (Vec<Envelope>, i64) {
    let events: Vec<Envelope> = (first..).zip(tenants).map(|(pos, of)| event(*of, pos)).collect();
    let last = first + events.len() as i64 - 1;
    (events, last)
}

fn push(window: &mut Window<i64>, (events, last): (Vec<Envelope>, i64)) -> Option<i64> {
    window.push(events, Vec::new(), last)
}

/// The same, of events that are read later.
fn push_later(window: &mut Window<i64>, (events, last): (Vec<Envelope>, i64)) -> Option<i64> {
    let seen = |event: &Envelope| Seen {
        lane: event.lane,
        tenant: event.tenant,
        place: event.place,
        xid: 1,
        at: event.at,
    };
    window.push(Vec::new(), events.iter().map(seen).collect(), last)
}

/// So many of those in memory, or of those to be read.
fn most(read: usize, seen: usize) -> Most {
    Most { read, seen }
}

fn places(portion: &Portion) -> Vec<i64> {
    let read = portion.events.iter().map(|event| event.place.pos);
    read.chain(portion.seen.iter().map(|seen| seen.place.pos)).collect()
}

#[test]
fn another_tenant_s_event_of_a_later_page_waits_for_nobody() {
    let mut window = Window::default();
    push(&mut window, page(1, &[1; 5]));
    let flood = window.next(most(2, 2)).unwrap();
    assert_eq!(places(&flood), [1, 2]);
    assert!(window.next(most(2, 2)).is_none(), "a tenant's events are delivered in their order");
    push(&mut window, page(6, &[2]));
    let other = window.next(most(2, 2)).unwrap();
    assert_eq!(places(&other), [6]);
    assert_eq!(window.done(other.of), None, "the lane has not passed what lies before it");
    assert_eq!(window.done(flood.of), None);
    let rest = window.next(most(9, 9)).unwrap();
    assert_eq!(places(&rest), [3, 4, 5]);
    assert_eq!(window.done(rest.of), Some(6));
    assert_eq!((window.events(), window.away()), (0, 0));
    assert_eq!(push(&mut window, page(7, &[])), Some(6), "nothing is left before it");
}

#[test]
fn what_is_let_go_of_is_not_passed() {
    let mut window = Window::default();
    push(&mut window, page(1, &[1, 1, 2]));
    let one = window.next(most(1, 1)).unwrap();
    window.let_go();
    assert!(window.next(most(1, 1)).is_none());
    assert_eq!(window.done(one.of), None);
    assert_eq!(window.away(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// A lane that is let go at any moment, and read again from where it is when what was on its way has come back, done or not.
    #[test]
    fn each_tenant_s_events_come_whole_and_in_order_and_the_lane_passes_what_is_done(
        pages in prop::collection::vec(prop::collection::vec(0..4u8, 0..8), 1..12),
        choices in prop::collection::vec((0..10u8, any::<usize>()), 0..300),
    ) {
        let mut lane = Laning::new(&pages);
        for (choice, which) in choices {
            match choice {
                0..4 => lane.read(which % 2 == 0),
                4..6 => lane.send(most(1 + which % 3, 1 + which % 2)),
                6 => lane.let_go(),
                _ => lane.come_back(which, which % 3 > 0),
            }
            prop_assert!(lane.is_done[..=lane.at as usize].iter().all(|done| *done), "the lane passed what is not done");
        }
        while lane.at < lane.events.len() as i64 {
            lane.read(true);
            lane.send(most(3, 3));
            lane.come_back(0, true);
        }
        prop_assert_eq!((lane.window.events(), lane.window.read_events(), lane.window.read_bytes()), (0, 0, 0));
        for of in 0..4 {
            let wanted = (1..).zip(&lane.events).filter(|(_, tenant)| **tenant == of).map(|(pos, _)| pos);
            prop_assert_eq!(lane.effects.remove(&tenant(of)).unwrap_or_default(), Vec::from_iter(wanted));
        }
    }
}

/// A lane with a window, as the relay has it.
struct Laning {
    /// Whose events it has, and where its pages end.
    events: Vec<u8>,
    ends: Vec<i64>,
    window: Window<i64>,
    away: Vec<Portion>,
    is_ending: bool,
    read: i64,
    at: i64,
    is_done: Vec<bool>,
    /// What each tenant's consumer has done, in its order; what is known is done once.
    effects: HashMap<TenantId, Vec<i64>>,
}

impl Laning {
    fn new(pages: &[Vec<u8>]) -> Self {
        let events = pages.concat();
        let ends = pages.iter().scan(0, |end, page| {
            *end += page.len() as i64;
            Some(*end)
        });
        let mut is_done = vec![false; events.len() + 1];
        is_done[0] = true;
        let (ends, window, away, effects) = (ends.collect(), Window::default(), Vec::new(), HashMap::new());
        Self { events, ends, window, away, is_ending: false, read: 0, at: 0, is_done, effects }
    }

    /// The next page, if the lane is not let go.
    fn read(&mut self, later: bool) {
        let Some(end) = self.ends.iter().copied().find(|end| *end > self.read) else { return };
        if self.is_ending {
            return;
        }
        let next = page(self.read + 1, &self.events[self.read as usize..end as usize]);
        let push = if later { push_later } else { push };
        self.at = push(&mut self.window, next).unwrap_or(self.at);
        self.read = end;
    }

    fn send(&mut self, most: Most) {
        if let Some(portion) = self.window.next(most) {
            assert!(self.away.iter().all(|other| other.tenant != portion.tenant), "a tenant twice");
            self.away.push(portion);
        }
    }

    fn let_go(&mut self) {
        self.window.let_go();
        self.is_ending = !self.away.is_empty();
        if !self.is_ending {
            (self.window, self.read) = (Window::default(), self.at);
        }
    }

    /// A portion is done, or, where the lane was let go, half of it.
    fn come_back(&mut self, which: usize, is_whole: bool) {
        if self.away.is_empty() {
            return;
        }
        let portion = self.away.swap_remove(which % self.away.len());
        let (places, is_whole) = (places(&portion), is_whole || !self.is_ending);
        let done = if is_whole { places.len() } else { places.len() / 2 };
        for pos in &places[..done] {
            let effects = self.effects.entry(portion.tenant).or_default();
            if effects.last() < Some(pos) {
                effects.push(*pos);
            }
            self.is_done[*pos as usize] = true;
        }
        match is_whole {
            true => self.at = self.window.done(portion.of).unwrap_or(self.at),
            false => self.window.undone(&portion.of),
        }
        if self.is_ending {
            self.let_go();
        }
    }
}
