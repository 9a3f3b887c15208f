//! Each promise is broken by hand: the checks have to see it, and nothing else.

use super::parts::check::Verdict;
use super::parts::faults::Incidents;
use super::parts::history::{History, Value};
use super::parts::plan::Plan;
use super::parts::watch::{Grant, TakeOvers};

fn value(key: &str, n: i64) -> Value {
    ("tenant".to_owned(), key.to_owned(), n)
}

/// Three events of a key and one of another, told, seen by everybody, and in one lane.
fn kept() -> History {
    let all = vec![value("a", 1), value("b", 1), value("a", 2), value("a", 3)];
    let seen =
        |consumer: &str| all.iter().map(|value| (consumer.to_owned(), value.clone())).collect::<Vec<_>>();
    History {
        raised: all.clone(),
        told: all.clone(),
        effects: Plan::CONSUMERS.iter().flat_map(|consumer| seen(consumer)).collect(),
        lanes: vec![all.clone()],
        ..History::default()
    }
}

/// The names of what is broken.
fn broken(history: &History) -> Vec<&'static str> {
    let verdict = Verdict::of(history);
    verdict.broken().into_iter().filter(|(_, found)| !found.is_empty()).map(|(what, _)| what).collect()
}

#[test]
fn what_is_kept_is_clear() {
    assert_eq!(broken(&kept()), Vec::<&str>::new());
}

#[test]
fn an_effect_that_is_missing_is_lost() {
    let mut history = kept();
    history.effects.pop();
    assert_eq!(broken(&history), ["lost"]);
}

#[test]
fn an_effect_that_is_there_twice_is_found() {
    let mut history = kept();
    history.effects.push(("first".to_owned(), value("a", 3)));
    assert_eq!(broken(&history), ["effects twice"]);
}

#[test]
fn effects_that_changed_places_are_out_of_order() {
    let mut history = kept();
    history.effects.swap(2, 3);
    assert_eq!(broken(&history), ["effects out of order"]);
}

#[test]
fn keys_have_no_order_among_each_other() {
    let mut history = kept();
    history.effects.swap(0, 1);
    history.lanes[0].swap(0, 1);
    assert_eq!(broken(&history), Vec::<&str>::new());
}

#[test]
fn what_was_never_committed_is_a_phantom() {
    let mut history = kept();
    history.effects.push(("second".to_owned(), value("a", 4)));
    history.lanes[0].push(value("b", 2));
    assert_eq!(broken(&history), ["phantom effects", "phantoms in the broker"]);
}

#[test]
fn what_was_told_to_be_committed_and_is_not_is_found() {
    let mut history = kept();
    history.told.push(value("a", 4));
    assert_eq!(broken(&history), ["acknowledged and gone"]);
}

#[test]
fn a_lane_has_each_event_once_and_in_order() {
    let mut history = kept();
    history.lanes[0].push(value("a", 3));
    assert_eq!(broken(&history), ["twice in the broker"]);
    let mut history = kept();
    history.lanes[0].swap(2, 3);
    assert_eq!(broken(&history), ["out of order in the broker"]);
}

/// A relay of process 7 is killed at 100; of its two lanes one is taken at 130, and the other while somebody else stands still.
#[test]
fn take_overs_are_told_apart_by_what_hindered_them() {
    let grant = |lane, epoch, pid, at| Grant { subscription: "main".to_owned(), lane, epoch, pid, at };
    let grants = [
        grant(0, 1, Some(7), 10),
        grant(1, 1, Some(7), 10),
        grant(2, 1, Some(8), 10),
        grant(0, 2, Some(8), 130),
        grant(1, 2, Some(8), 190),
    ];
    let incidents =
        Incidents { relay_kills: vec![(7, 100)], stops: vec![(9, 150, 160)], ..Incidents::default() };
    let expected = TakeOvers { clear: vec![30], hindered: vec![40], never: 0 };
    assert_eq!(TakeOvers::of(&grants, &incidents), expected);
    assert_eq!(TakeOvers::of(&grants[..3], &incidents).never, 2);
}
