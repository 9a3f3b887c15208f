//! The machine against a simple model, under a random schedule: several relays, some of which sleep through their leases or die,
//! and a sink that refuses what is not behind its last.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::{Cursor, Machine, Next, Owned};
use crate::{Lane, Place};

/// The lanes of the model: enough to be shared.
const MODEL_LANES: u8 = 4;

/// What the schedule does next, to one of the relays.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// An event is committed in this lane, and a tick may follow.
    Publish(u8, bool),
    Beat(usize),
    Act(usize),
    /// Something that is in hand is done, or fails.
    Finish(usize, usize, bool),
    Write(usize),
    /// Its leases run out, in the database and, unless it sleeps, by its own clock.
    Expire(usize, bool),
    Die(usize),
    /// The sink loses the newest of a lane.
    Lose(u8),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let relay = 0..3usize;
    let one = prop_oneof![
        4 => (0..MODEL_LANES, any::<bool>()).prop_map(|(lane, tick)| Move::Publish(lane, tick)),
        4 => relay.clone().prop_map(Move::Beat),
        8 => relay.clone().prop_map(Move::Act),
        8 => (relay.clone(), any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(r, n, ok)| Move::Finish(r, n, ok)),
        2 => relay.clone().prop_map(Move::Write),
        1 => (relay.clone(), any::<bool>()).prop_map(|(r, sleeps)| Move::Expire(r, sleeps)),
        1 => relay.prop_map(Move::Die),
        1 => (0..MODEL_LANES).prop_map(Move::Lose),
    ];
    prop::collection::vec(one, 0..300)
}

/// The database and the sink.
#[derive(Default)]
struct World {
    /// Of each lane its events by their places, and the events that no tick has cut off.
    log: BTreeMap<Lane, Vec<Place>>,
    open: Vec<(Lane, i64)>,
    pos: i64,
    tick: i64,
    cursors: BTreeMap<Lane, (Cursor, i64, Option<usize>)>,
    sink: BTreeMap<Lane, Vec<Place>>,
}

/// Work that a relay has in hand.
struct Hand {
    lane: Lane,
    grant: u64,
    floor: Option<Place>,
    /// `None` where the sink is asked.
    pages: Option<VecDeque<(Vec<Place>, Cursor)>>,
    cursor: Cursor,
}

struct Relay {
    machine: Machine,
    hands: Vec<Hand>,
}

impl Relay {
    fn new() -> Self {
        Self { machine: Machine::new(true), hands: Vec::new() }
    }
}

impl World {
    fn lanes() -> impl Iterator<Item = Lane> {
        (0..MODEL_LANES).filter_map(Lane::new)
    }

    fn cut(&mut self) {
        self.tick += 1;
        for (lane, pos) in std::mem::take(&mut self.open) {
            self.log.entry(lane).or_default().push(Place::new(self.tick, pos));
        }
    }

    fn between(&self, lane: Lane, from: Cursor, to: i64) -> Vec<Place> {
        let places = self.log.get(&lane).into_iter().flatten().copied();
        places.filter(|place| !from.has_passed(*place) && place.tick <= to).collect()
    }

    fn last(&self, lane: Lane) -> Option<Place> {
        self.sink.get(&lane).and_then(|sent| sent.last().copied())
    }

    fn beat(&mut self, relay: usize, machine: &mut Machine) {
        let free = self.cursors.values_mut().filter(|(_, _, owner)| owner.is_none());
        // Two at a time, so that they come to share.
        for (_, epoch, owner) in free.take(2) {
            (*epoch, *owner) = (*epoch + 1, Some(relay));
        }
        let owned: Vec<Owned> = self
            .cursors
            .iter()
            .filter(|(_, (_, _, owner))| *owner == Some(relay))
            .map(|(lane, (cursor, epoch, _))| Owned { lane: *lane, epoch: *epoch, cursor: *cursor })
            .collect();
        machine.beat(&owned, 2);
        for owned in machine.surplus() {
            self.write(relay, owned);
            if let Some(entry) = self.cursors.get_mut(&owned.lane)
                && (entry.1, entry.2) == (owned.epoch, Some(relay))
            {
                entry.2 = None;
            }
        }
    }

    /// Whether the epoch still counts.
    fn write(&mut self, relay: usize, owned: Owned) -> bool {
        let Some((cursor, epoch, owner)) = self.cursors.get_mut(&owned.lane) else { return false };
        if (*epoch, *owner) != (owned.epoch, Some(relay)) {
            return false;
        }
        *cursor = owned.cursor;
        // Never beyond what the sink has got: what it lost since then is found when it is asked.
        true
    }

    /// A sink with exact places: known ones count as accepted, and one that has lost something takes nothing.
    fn send(&mut self, lane: Lane, after: Option<Place>, events: &[Place]) -> bool {
        let sent = self.sink.entry(lane).or_default();
        if sent.last().copied() != after {
            return false;
        }
        for place in events {
            if sent.last() < Some(place) {
                sent.push(*place);
            }
        }
        true
    }
}

fn act(world: &mut World, relay: &mut Relay) {
    match relay.machine.next() {
        None => {}
        Some(Next::Ask(lane)) => {
            if let Some(taken) = relay.machine.takes(lane) {
                let hand =
                    Hand { lane, grant: taken.grant, floor: taken.floor, pages: None, cursor: taken.cursor };
                relay.hands.push(hand);
            }
        }
        Some(Next::Read { passed, lanes }) => {
            if passed >= world.tick {
                return relay.machine.at_end(passed);
            }
            let to = world.tick.min(passed + 1 + passed % 3);
            if lanes.len() == 1 || passed % 3 == 0 || relay.machine.stands_within(&lanes) {
                return lanes.into_iter().for_each(|lane| catch_up(world, relay, lane, to));
            }
            for lane in lanes {
                let events = world.between(lane, Cursor { passed, pos: 0 }, to);
                match events.is_empty() {
                    true => relay.machine.passes(lane, Cursor { passed: to, pos: 0 }),
                    false => take(relay, lane, vec![(events, Cursor { passed: to, pos: 0 })]),
                }
            }
        }
    }
}

/// Tick by tick, two events at a time.
fn catch_up(world: &World, relay: &mut Relay, lane: Lane, to: i64) {
    let Some(mut cursor) = relay.machine.cursor(lane) else { return };
    let mut pages = Vec::new();
    while cursor.passed < to {
        let mut events = world.between(lane, cursor, cursor.passed + 1);
        let is_last = events.len() <= 2;
        events.truncate(2);
        cursor = match events.last().filter(|_| !is_last) {
            Some(last) => Cursor { pos: last.pos, ..cursor },
            None => Cursor { passed: cursor.passed + 1, pos: 0 },
        };
        pages.push((events, cursor));
    }
    take(relay, lane, pages);
}

fn take(relay: &mut Relay, lane: Lane, pages: Vec<(Vec<Place>, Cursor)>) {
    if let Some(taken) = relay.machine.takes(lane) {
        let pages = Some(pages.into());
        relay.hands.push(Hand { lane, grant: taken.grant, floor: taken.floor, pages, cursor: taken.cursor });
    }
}

fn finish(world: &mut World, relay: &mut Relay, which: usize, works: bool) {
    if relay.hands.is_empty() {
        return;
    }
    let mut hand = relay.hands.swap_remove(which % relay.hands.len());
    let Hand { lane, grant, .. } = hand;
    let Some(pages) = &mut hand.pages else {
        return match works {
            true => answer(world, relay, &hand),
            false => relay.machine.fenced(lane, grant, None),
        };
    };
    let Some((mut events, reached)) = pages.pop_front() else { return };
    events.retain(|place| Some(*place) > hand.floor);
    if !works {
        // Some of it may have arrived.
        world.send(lane, hand.floor, &events[..which % (events.len() + 1)]);
        return relay.machine.undone(lane, grant);
    }
    if !world.send(lane, hand.floor, &events) {
        return relay.machine.fenced(lane, grant, hand.floor);
    }
    hand.floor = events.last().copied().or(hand.floor);
    match pages.is_empty() {
        true => relay.machine.done(lane, grant, reached, hand.floor),
        false => {
            relay.machine.moved(lane, grant, reached, hand.floor);
            relay.hands.push(hand);
        }
    }
}

fn answer(world: &World, relay: &mut Relay, hand: &Hand) {
    let Hand { lane, grant, cursor, .. } = *hand;
    let floor = world.last(lane);
    let back = floor.map_or(Cursor::default(), |last| Cursor { passed: last.tick - 1, pos: last.pos });
    let has_lost = world.between(lane, back, cursor.passed).len()
        > world.between(lane, cursor, cursor.passed).len()
        || cursor.pos > 0 && back < cursor;
    relay.machine.asked(lane, grant, floor, has_lost.then_some(back));
}

fn step(world: &mut World, relays: &mut [Relay], one: Move) {
    match one {
        Move::Publish(lane, tick) => {
            world.pos += 1;
            world.open.extend(Lane::new(lane).map(|lane| (lane, world.pos)));
            if tick {
                world.cut();
                relays.iter_mut().for_each(|relay| relay.machine.wake());
            }
        }
        Move::Beat(relay) => world.beat(relay, &mut relays[relay].machine),
        Move::Act(relay) => act(world, &mut relays[relay]),
        Move::Finish(relay, which, works) => finish(world, &mut relays[relay], which, works),
        Move::Write(relay) => {
            let unwritten = relays[relay].machine.unwritten();
            let written: Vec<Lane> =
                unwritten.iter().filter(|one| world.write(relay, **one)).map(|one| one.lane).collect();
            relays[relay].machine.wrote(&unwritten, &written);
        }
        Move::Expire(relay, sleeps) => {
            for (_, _, owner) in world.cursors.values_mut().filter(|(_, _, owner)| *owner == Some(relay)) {
                *owner = None;
            }
            if !sleeps {
                relays[relay].machine.silent();
                relays[relay].hands.clear();
            }
        }
        Move::Die(relay) => {
            step(world, relays, Move::Expire(relay, true));
            relays[relay] = Relay::new();
        }
        Move::Lose(lane) => {
            if let Some(sent) = Lane::new(lane).and_then(|lane| world.sink.get_mut(&lane)) {
                sent.pop();
            }
        }
    }
}

#[test]
fn a_lane_that_was_at_work_when_the_others_found_nothing_is_looked_at() {
    let mut machine = Machine::new(false);
    let [one, other] = [0, 1].map(|lane| Lane::new(lane).unwrap());
    let owned = [one, other].map(|lane| Owned { lane, epoch: 1, cursor: Cursor::default() });
    machine.beat(&owned, 2);
    let taken = machine.takes(one).unwrap();
    let to = Cursor { passed: 7, pos: 0 };
    machine.passes(other, to);
    machine.at_end(7);
    assert_eq!(machine.next(), None);
    machine.done(one, taken.grant, to, None);
    assert_eq!(machine.next(), Some(Next::Read { passed: 7, lanes: vec![one, other] }));
}

#[test]
fn a_lane_that_was_let_go_is_not_read_before_all_of_it_has_come_back() {
    let (mut machine, lane) = (Machine::new(false), Lane::FIRST);
    let owned = [Owned { lane, epoch: 1, cursor: Cursor::default() }];
    machine.beat(&owned, 1);
    let taken = machine.takes(lane).unwrap();
    machine.reads(lane, Cursor { passed: 7, pos: 0 });
    machine.ends(lane);
    // The next page comes, and the reason for letting go is over.
    machine.undone(lane, taken.grant);
    machine.beat(&owned, 1);
    machine.wake();
    assert_eq!(machine.next(), None);
    assert!(machine.is_busy());
    machine.moved(lane, taken.grant, Cursor { passed: 3, pos: 0 }, None);
    machine.back(lane);
    assert_eq!(machine.next(), Some(Next::Read { passed: 3, lanes: vec![lane] }));
}

#[test]
fn a_lane_that_is_to_be_let_go_goes_first_and_the_others_stay() {
    let mut machine = Machine::new(false);
    let lanes = [0, 1, 2].map(|lane| Lane::new(lane).unwrap());
    let owned = lanes.map(|lane| Owned { lane, epoch: 1, cursor: Cursor::default() });
    machine.beat(&owned, 1);
    let grants = lanes.map(|lane| machine.takes(lane).unwrap().grant);
    assert_eq!(machine.leaving(), lanes[..2]);
    machine.undone(lanes[2], grants[2]);
    machine.undone(lanes[1], grants[1]);
    let gone = |machine: &mut Machine| machine.surplus().iter().map(|owned| owned.lane).collect::<Vec<_>>();
    assert_eq!(gone(&mut machine), [lanes[1], lanes[2]]);
    // With it the share is reached, so that it is read without another beat.
    machine.undone(lanes[0], grants[0]);
    machine.wake();
    assert_eq!(machine.next(), Some(Next::Read { passed: 0, lanes: vec![lanes[0]] }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_lane_arrives_whole_and_in_order(moves in moves()) {
        let cursors = World::lanes().map(|lane| (lane, (Cursor::default(), 0, None))).collect();
        let mut world = World { cursors, ..World::default() };
        let mut relays: Vec<Relay> = (0..3).map(|_| Relay::new()).collect();
        for one in moves {
            step(&mut world, &mut relays, one);
            for sent in world.sink.values() {
                prop_assert!(sent.is_sorted_by(|a, b| a < b), "out of order: {sent:?}");
            }
        }
        // Then nothing goes wrong any more, and one relay after the other comes to its turn.
        world.cut();
        for relay in 0..3 {
            step(&mut world, &mut relays, Move::Die(relay));
        }
        for round in 0..400 {
            for relay in 0..3 {
                relays[relay].machine.wake();
                if round % 50 == 0 {
                    step(&mut world, &mut relays, Move::Beat(relay));
                }
                step(&mut world, &mut relays, Move::Act(relay));
                step(&mut world, &mut relays, Move::Finish(relay, 0, true));
                step(&mut world, &mut relays, Move::Write(relay));
            }
        }
        for lane in World::lanes() {
            let log = world.log.get(&lane).cloned().unwrap_or_default();
            prop_assert_eq!(world.sink.get(&lane).cloned().unwrap_or_default(), log, "{}", lane);
            let (cursor, ..) = world.cursors[&lane];
            prop_assert!(world.between(lane, cursor, world.tick).is_empty(), "the cursor of {} stays behind", lane);
        }
    }
}
