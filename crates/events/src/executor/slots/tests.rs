//! Turns of tenants on a clock of the test's own: nobody starves, whatever the others have waiting.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use shared_core::TenantId;
use uuid::Uuid;

use super::rounds::{QUANTUM, Rounds};

fn tenant(n: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(n + 1))
}

const SHORT: Duration = Duration::from_millis(1);

/// Who gets the slots that are free, one after the other.
fn granted(rounds: &mut Rounds<u32>) -> Vec<u32> {
    std::iter::from_fn(|| rounds.next()).map(|(_, who)| who).collect()
}

#[test]
fn one_that_comes_behind_a_flood_is_next() {
    let (mut rounds, flood, quiet) = (Rounds::new(2, |_| true), tenant(1), tenant(2));
    (0..10_000).for_each(|who| rounds.wait(flood, who));
    assert_eq!(granted(&mut rounds), [0, 1]);
    rounds.wait(quiet, 77_777);
    rounds.done(flood, SHORT, false);
    assert_eq!(granted(&mut rounds), [77_777]);
}

#[test]
fn a_turn_of_one_that_has_many_slots_ends_early_for_one_that_has_none() {
    let (mut rounds, flood, quiet) = (Rounds::new(3, |_| true), tenant(1), tenant(2));
    (0..9).for_each(|who| rounds.wait(flood, who));
    granted(&mut rounds);
    assert!(!rounds.is_wanted(flood, 10 * QUANTUM), "nobody else waits");
    rounds.wait(quiet, 10);
    assert!(rounds.is_wanted(flood, SHORT));
    assert!(!rounds.is_wanted(flood, SHORT), "one turn is enough");
    rounds.done(flood, SHORT, true);
    assert_eq!(granted(&mut rounds), [10]);
    rounds.wait(quiet, 11);
    assert!(!rounds.is_wanted(flood, SHORT), "two slots and one: it can't be fairer");
}

#[test]
fn the_last_slot_is_shared_by_the_quantum() {
    let (mut rounds, slow, other) = (Rounds::new(1, |_| true), tenant(1), tenant(2));
    rounds.wait(slow, 1);
    granted(&mut rounds);
    rounds.wait(other, 2);
    assert!(!rounds.is_wanted(slow, SHORT));
    assert!(rounds.is_wanted(slow, QUANTUM));
}

#[test]
fn who_takes_long_is_passed_by_until_the_others_had_as_much() {
    let (mut rounds, slow, quick) = (Rounds::new(1, |_| true), tenant(1), tenant(2));
    (0..10).for_each(|who| rounds.wait(slow, who));
    (100..200).for_each(|who| rounds.wait(quick, who));
    let mut took = [Duration::ZERO; 2];
    for _ in 0..50 {
        let (of, _) = rounds.next().unwrap();
        let lasts = if of == slow { 3 * QUANTUM } else { QUANTUM / 4 };
        took[usize::from(of == quick)] += lasts;
        rounds.done(of, lasts, false);
    }
    let apart = took[0].abs_diff(took[1]);
    assert!(apart <= 4 * QUANTUM, "{took:?}");
}

#[test]
fn a_tenant_that_was_idle_has_nothing_saved_up_and_leaves_nothing_behind() {
    let (mut rounds, one, other) = (Rounds::new(1, |_| true), tenant(1), tenant(2));
    for who in 0..100 {
        rounds.wait(one, who);
        assert_eq!(granted(&mut rounds), [who]);
        rounds.done(one, Duration::ZERO, false);
    }
    assert!(rounds.is_empty());
    (0..3).for_each(|who| rounds.wait(one, who));
    rounds.wait(other, 7);
    assert_eq!(granted(&mut rounds), [0]);
    rounds.done(one, QUANTUM, false);
    assert_eq!(granted(&mut rounds), [7], "it had the time of one round");
}

#[test]
fn who_has_given_up_is_passed_by() {
    let mut rounds = Rounds::new(1, |who| *who == 3);
    rounds.wait(tenant(1), 1);
    rounds.wait(tenant(1), 2);
    rounds.wait(tenant(2), 3);
    let next = rounds.next().map(|(_, who)| who);
    assert_eq!(next, Some(3));
    rounds.done(tenant(2), SHORT, false);
    assert!(rounds.is_empty());
}

#[test]
fn for_one_that_has_given_up_no_turn_ends_and_nothing_is_kept() {
    let mut rounds = Rounds::new(2, |who| *who < 10);
    rounds.wait(tenant(1), 1);
    rounds.wait(tenant(1), 2);
    granted(&mut rounds);
    (10..20).for_each(|who| rounds.wait(tenant(2), who));
    assert!(!rounds.is_wanted(tenant(1), 10 * QUANTUM));
    assert_eq!(rounds.waiting(tenant(2)), 1, "the others are forgotten when it comes again");
    rounds.wait(tenant(2), 3);
    assert!(rounds.is_wanted(tenant(1), SHORT));
    rounds.done(tenant(1), SHORT, true);
    assert_eq!(granted(&mut rounds), [3]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Tenants with any number of turns of any length; each starts at some time, and one slot frees at a time.
    #[test]
    fn nobody_starves_and_no_slot_is_idle_while_somebody_waits(
        slots in 1..5usize,
        floods in prop::collection::vec((1..40u32, 1..30u64), 1..6),
        ends in prop::collection::vec(any::<usize>(), 400),
    ) {
        let mut rounds = Rounds::new(slots, |_| true);
        for (n, (turns, _)) in floods.iter().enumerate() {
            (0..*turns).for_each(|turn| rounds.wait(tenant(n as u128), turn));
        }
        let total: u32 = floods.iter().map(|(turns, _)| turns).sum();
        let (mut running, mut done, mut next_of) = (Vec::new(), 0, HashMap::<TenantId, u32>::new());
        // One that comes in the middle: how many turns of each of the others begin before its own.
        let quiet = tenant(1000);
        let (mut is_waiting, mut before) = (false, HashMap::<TenantId, Duration>::new());
        for which in ends {
            if done == total / 3 && !is_waiting && !next_of.contains_key(&quiet) {
                rounds.wait(quiet, 0);
                is_waiting = true;
            }
            while let Some((of, turn)) = rounds.next() {
                let expected = next_of.entry(of).or_default();
                prop_assert_eq!(*expected, turn, "out of order");
                *expected += 1;
                if of == quiet {
                    is_waiting = false;
                } else if is_waiting {
                    let lasts = Duration::from_millis(floods[(of.as_uuid().as_u128() - 1) as usize].1);
                    *before.entry(of).or_default() += lasts;
                    prop_assert!(before[&of] <= QUANTUM + lasts, "it waits for more than a quantum of another");
                }
                running.push(of);
            }
            prop_assert!(running.len() == slots || !rounds.has_waiting(), "a slot is idle");
            if running.is_empty() {
                break;
            }
            let of = running.swap_remove(which % running.len());
            let lasts = floods.get((of.as_uuid().as_u128() - 1) as usize).map_or(1, |(_, lasts)| *lasts);
            rounds.done(of, Duration::from_millis(lasts), false);
            done += 1;
        }
        prop_assert!(running.is_empty());
        prop_assert!(next_of.contains_key(&quiet), "it never came to its turn");
        prop_assert!(rounds.is_empty(), "nothing is left of tenants that have nothing");
    }
}
