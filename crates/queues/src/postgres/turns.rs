//! What this process remembers of each queue between its claims: whose turn it is, what waits to be admitted, and where the jobs begin.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

pub(super) use super::portions::{Portions, Taken};
use super::portions::{Seen, place};
use crate::backend::Claim;

/// Queues that are remembered. A process with more begins anew from time to time, which costs a fair start and nothing else.
const QUEUES: usize = 1000;

/// Tenants of a priority that one look meets at most, and at least: as many as one claim needs, and small enough to be sent with it.
const MOST_TENANTS: usize = 1000;
const FEWEST_TENANTS: usize = 16;

/// A look that took longer may have walked over rows that are gone, and which an old snapshot keeps.
const SLOW: Duration = Duration::from_millis(2);

/// So many slow looks in a row are no accident.
const SLOW_IN_A_ROW: u32 = 8;

/// While looks are slow they begin behind the jobs that were ready last, less so many positions: transactions commit a little out of order.
const SLACK: i64 = 2000;

/// Even then there is a whole one this often: for later commits, and for jobs that others gave back to their old places.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// And seldom enough that whole ones take a fiftieth of the time at most.
const WHOLE_LOOKS: u32 = 50;

/// Unless that were too seldom. A look that stood in line for a connection says nothing of the index, and what lies before the floor waits for
/// no longer than the jobs of a worker that was killed: a lease and a beat, at the defaults.
const WHOLE_LOOK_EVERY: Duration = Duration::from_secs(20);

/// While looks are slow there is one this often.
const LOOK_WHEN_SLOW: Duration = Duration::from_millis(100);

/// While whole batches are found, a look is good for so long: nothing more urgent waits for longer than that.
const FRESH: Duration = Duration::from_millis(5);

/// A batch, for which that pays.
const BATCH: usize = 16;

/// By queue.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<String, Turn>>);

#[derive(Default)]
struct Turn {
    /// Something waited for a claim to admit it.
    gated: bool,
    /// When a claim asked for that last.
    asked: Option<Instant>,
    /// How often jobs came to places that nobody told, and how often that had been when the last whole look began.
    hidden: u64,
    met: u64,
    /// How often a job came back to a place that was told.
    back: u64,
    /// The tenant that was served last in each band.
    served: [Uuid; 3],
    /// Whole looks of late that were slow.
    slow: u32,
    /// When the last whole look was made, and how long it took.
    whole: Option<(Instant, Duration)>,
    /// Nothing was ready at or before this position, as far as it is known. 0: unknown.
    floor: i64,
    /// The last look, as far as it can still be trusted.
    view: Option<View>,
}

/// Where a look begins, and what had come back by then: what comes later it may have missed.
#[derive(Clone, Copy, Default)]
pub(super) struct Start {
    /// It looks behind this position; 0: a whole one.
    pub(super) floor: i64,
    hidden: u64,
    back: u64,
}

struct View {
    at: Instant,
    seen: Vec<Seen>,
    /// How many tenants of a band it would have met at most.
    tenants: usize,
}

impl Turns {
    /// Whether a claim should admit jobs before it takes any. A look would tell of new ones; where looks are slow and seldom they are asked
    /// for all the same, now and then.
    pub(super) fn is_gated(&self, queue: &str) -> bool {
        self.lock().get(queue).is_some_and(|turn| {
            let is_late = || turn.asked.is_none_or(|at| at.elapsed() >= LOOK_WHEN_SLOW);
            turn.gated || turn.is_slow() && turn.floor == 0 && is_late()
        })
    }

    /// A claim has admitted jobs, or none; and whether there may be more to admit.
    pub(super) fn admitted(&self, queue: &str, some: bool, more: bool) {
        self.with(queue, |turn| {
            turn.gated = more;
            turn.asked = Some(Instant::now());
            // They may have old places.
            turn.hidden += u64::from(some);
        });
    }

    /// How many tenants of a band a look for so many jobs may be content with.
    pub(super) fn tenants(&self, most: usize) -> i32 {
        i32::try_from(enough(most)).unwrap_or(i32::MAX)
    }

    /// Behind which tenant the turn of each of these bands begins.
    pub(super) fn served(&self, queue: &str, bands: &[i16]) -> Vec<Uuid> {
        let turns = self.lock();
        let served = turns.get(queue).map(|turn| turn.served).unwrap_or_default();
        bands.iter().map(|band| served[place(*band)]).collect()
    }

    /// What a claim may take by the last look, if that is still good.
    pub(super) fn portions(&self, claim: Claim<'_>) -> Option<Portions> {
        let turns = self.lock();
        let turn = turns.get(claim.queue)?;
        let is_good = turn.view.as_ref()?.at.elapsed() < turn.good_for();
        is_good.then(|| turn.portions(claim)).flatten()
    }

    /// Where the next look begins.
    pub(super) fn start(&self, queue: &str) -> Start {
        let turns = self.lock();
        let Some(turn) = turns.get(queue) else { return Start::default() };
        let floor = if turn.wants_all() { 0 } else { turn.floor.saturating_sub(SLACK).max(0) };
        Start { floor, hidden: turn.hidden, back: turn.back }
    }

    /// A job came back to this place.
    pub(super) fn came_back(&self, queue: &str, position: i64) {
        self.with(queue, |turn| {
            turn.floor = turn.floor.min(position);
            turn.back += 1;
        });
    }

    /// Jobs came back, to places that nobody told.
    pub(super) fn some_came_back(&self) {
        self.lock().values_mut().for_each(|turn| turn.hidden += 1);
    }

    /// A look that began there took so long, and met these tenants: what the claim may take of them.
    pub(super) fn looked(
        &self,
        claim: Claim<'_>,
        start: Start,
        seen: Vec<(i16, Uuid, i64, i32)>,
        time: Duration,
    ) -> Option<Portions> {
        let (seen, paused): (Vec<_>, Vec<_>) = seen.into_iter().partition(|(.., share)| *share > 0);
        let seen: Vec<Seen> = seen.into_iter().map(Seen::from).collect();
        self.with(claim.queue, |turn| {
            if start.floor == 0 {
                turn.slow = if time > SLOW { turn.slow.saturating_add(1) } else { 0 };
                turn.whole = Some((Instant::now(), time));
                turn.met = start.hidden;
            }
            // Some were passed over, and others behind them not met.
            let are_all = paused.is_empty();
            for (band, tenant, ..) in paused.into_iter().rev() {
                // Who comes behind so many has a turn, too.
                if seen.iter().all(|seen| seen.band != band) {
                    turn.served[place(band)] = tenant;
                }
            }
            turn.view = Some(View { at: Instant::now(), seen, tenants: enough(claim.most) });
            turn.learn_floor(are_all, start.back);
            turn.portions(claim)
        })
    }

    /// Claims did not find enough: whether it is time to look again.
    pub(super) fn may_look(&self, queue: &str) -> bool {
        let turns = self.lock();
        let slow = turns.get(queue).filter(|turn| turn.is_slow()).and_then(|turn| turn.view.as_ref());
        slow.is_none_or(|view| view.at.elapsed() >= LOOK_WHEN_SLOW)
    }

    /// A claim has taken these of its portions.
    pub(super) fn took(&self, claim: Claim<'_>, portions: &Portions, taken: &[Taken]) {
        self.with(claim.queue, |turn| {
            for band in claim.bands() {
                let served = &mut turn.served[place(band)];
                *served = portions.served_last(band, taken).unwrap_or(*served);
            }
            let is_slow = turn.is_slow();
            if !is_slow && (taken.len() < claim.most || claim.most < BATCH) {
                turn.view = None;
            }
            if let Some(view) = &mut turn.view {
                if !is_slow {
                    let empty = portions.emptied(taken);
                    view.seen.retain(|seen| !empty.contains(&(seen.band, seen.tenant)));
                }
                view.seen.iter_mut().for_each(|seen| seen.learn(taken));
            }
        });
    }

    fn with<T>(&self, queue: &str, change: impl FnOnce(&mut Turn) -> T) -> T {
        let mut turns = self.lock();
        if turns.len() >= QUEUES && !turns.contains_key(queue) {
            turns.clear();
        }
        change(turns.entry(queue.to_owned()).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Turn>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    fn is_slow(&self) -> bool {
        self.slow >= SLOW_IN_A_ROW
    }

    /// Whether jobs came to places that no whole look has met, or only one that had begun before they did.
    fn has_hidden(&self) -> bool {
        self.hidden != self.met
    }

    /// How long a look can be trusted.
    fn good_for(&self) -> Duration {
        match (self.is_slow(), self.floor > 0 || self.has_hidden()) {
            (false, _) => FRESH,
            (true, true) => LOOK_WHEN_SLOW,
            (true, false) => LOOK_EVERY,
        }
    }

    /// Whether the next look is to be a whole one.
    fn wants_all(&self) -> bool {
        let is_due = |(at, took): (Instant, Duration)| at.elapsed() >= rest_after(took);
        !self.is_slow() || self.has_hidden() || self.whole.is_none_or(is_due)
    }

    /// If the look has met all tenants, nothing is ready before the first of their jobs; but for those that came back since it began.
    fn learn_floor(&mut self, are_all: bool, back: u64) {
        let Some(view) = &self.view else { return };
        let of_band = |band: i16| view.seen.iter().filter(|seen| seen.band == band).count();
        let are_all = are_all && (0..3).all(|band| of_band(band) < view.tenants);
        let Some(first) = view.seen.iter().map(Seen::first).min() else { return };
        let floor = if are_all { first.saturating_sub(1) } else { 0 };
        self.floor = if back == self.back { floor } else { floor.min(self.floor) };
    }

    fn portions(&self, claim: Claim<'_>) -> Option<Portions> {
        let view = self.view.as_ref()?;
        let mut portions = Portions::default();
        for band in claim.bands() {
            let mut seen: Vec<&Seen> = view.seen.iter().filter(|seen| seen.band == band).collect();
            let served = self.served[place(band)];
            seen.sort_unstable_by_key(|seen| (seen.tenant <= served, seen.tenant));
            portions.add(&seen, claim.most);
            if seen.len() >= view.tenants {
                // There may be more of them, before the turn of the next band.
                return Some(portions);
            }
        }
        portions.are_all = true;
        (!portions.is_empty()).then_some(portions)
    }
}

/// How long there is no whole look after one that took so long.
fn rest_after(took: Duration) -> Duration {
    took.saturating_mul(WHOLE_LOOKS).clamp(LOOK_EVERY, WHOLE_LOOK_EVERY)
}

fn enough(most: usize) -> usize {
    most.clamp(FEWEST_TENANTS, MOST_TENANTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(most: usize, number: i64) -> Claim<'static> {
        Claim { queue: "mail", most, worker: Uuid::nil(), number }
    }

    /// Of band 1, as a look meets them.
    fn seen(tenants: &[(u128, i64)]) -> Vec<(i16, Uuid, i64, i32)> {
        tenants.iter().map(|(tenant, first)| (1, Uuid::from_u128(*tenant), *first, 1)).collect()
    }

    fn taken(tenant: u128, position: i64) -> Taken {
        Taken { band: 1, tenant: Uuid::from_u128(tenant), position }
    }

    fn tenants(portions: &Portions) -> Vec<u128> {
        portions.tenants.iter().map(|tenant| tenant.as_u128()).collect()
    }

    #[test]
    fn the_turn_goes_round() {
        let turns = Turns::default();
        let all = [(1, 1), (2, 1), (3, 1), (7, 1), (9, 1)];
        let next = |served: &[u128]| {
            let portions =
                turns.looked(claim(2, 1), turns.start("mail"), seen(&all), Duration::ZERO).unwrap();
            let taken: Vec<Taken> = served.iter().map(|tenant| taken(*tenant, 1)).collect();
            turns.took(claim(2, 1), &portions, &taken);
            turns.served("mail", &[1])[0].as_u128()
        };
        assert_eq!(next(&[1, 2]), 2);
        assert_eq!(next(&[3, 7]), 7);
        assert_eq!(next(&[9, 1]), 1, "begun behind 7, and wrapped");
        assert_eq!(next(&[]), 1);
        assert_eq!(turns.served("mail", &[0, 1, 2])[2], Uuid::nil(), "each band for itself");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_is_good_for_whole_batches_and_not_for_long() {
        let turns = Turns::default();
        let portions =
            turns.looked(claim(50, 1), turns.start("mail"), seen(&[(1, 1000)]), Duration::ZERO).unwrap();
        assert_eq!((portions.after[0], portions.jobs[0]), (999, 50));
        let whole: Vec<Taken> = (0..50).map(|n| taken(1, 1000 + n)).collect();
        turns.took(claim(50, 1), &portions, &whole);
        assert_eq!(turns.portions(claim(50, 16)).unwrap().after[0], 1049, "behind what was taken");
        tokio::time::advance(FRESH).await;
        assert!(turns.portions(claim(50, 2)).is_none(), "others may have come");
        let portions =
            turns.looked(claim(50, 2), turns.start("mail"), seen(&[(1, 1000)]), Duration::ZERO).unwrap();
        turns.took(claim(50, 2), &portions, &whole[1..]);
        assert!(turns.portions(claim(50, 3)).is_none(), "that was all of them");
        assert!(turns.may_look("mail"));
    }

    #[tokio::test(start_paused = true)]
    async fn while_looks_are_slow_claims_go_by_an_old_one() {
        let turns = Turns::default();
        for number in 0..i64::from(SLOW_IN_A_ROW) {
            let seen = seen(&[(1, 3000), (2, 700)]);
            let portions = turns.looked(claim(50, number), turns.start("mail"), seen, SLOW * 2).unwrap();
            turns.took(claim(50, number), &portions, &[taken(1, 3000)]);
            let goes_on = number + 1 == i64::from(SLOW_IN_A_ROW);
            assert_eq!(turns.portions(claim(50, 1)).is_some(), goes_on, "one may be an accident");
        }
        let portions = turns.portions(claim(50, 1)).unwrap();
        assert_eq!((tenants(&portions), portions.after), (vec![2, 1, 2, 1], vec![699, 3000, 699, 3000]));
        assert!(!turns.may_look("mail"));
        tokio::time::advance(LOOK_WHEN_SLOW).await;
        assert!(turns.may_look("mail"));
        assert!(turns.portions(claim(50, 1)).is_none(), "a look is due");
    }

    #[tokio::test(start_paused = true)]
    async fn while_whole_looks_are_slow_others_begin_behind_what_is_gone() {
        let turns = Turns::default();
        let look = |floor, tenants: &[(u128, i64)], time| {
            let start = Start { floor, ..turns.start("mail") };
            drop(turns.looked(claim(50, 1), start, seen(tenants), time));
        };
        for _ in 0..SLOW_IN_A_ROW {
            assert_eq!(turns.start("mail").floor, 0);
            look(0, &[(1, 30_000), (2, 7_000)], SLOW * 2);
        }
        assert_eq!(turns.start("mail").floor, 6_999 - SLACK);
        look(6_999 - SLACK, &[(1, 50_000)], Duration::ZERO);
        assert_eq!(turns.start("mail").floor, 49_999 - SLACK, "still: no whole one was quick");
        turns.came_back("mail", 9_000);
        assert_eq!(turns.start("mail").floor, 9_000 - SLACK);
        turns.some_came_back();
        assert_eq!(turns.start("mail").floor, 0);
        let took = LOOK_EVERY / 8;
        look(0, &[(1, 9_000)], took);
        tokio::time::advance(LOOK_EVERY).await;
        assert!(turns.start("mail").floor > 0, "whole ones have a fiftieth of the time");
        tokio::time::advance(took * WHOLE_LOOKS).await;
        assert_eq!(turns.start("mail").floor, 0);
        look(0, &[(1, 9_000)], WHOLE_LOOK_EVERY);
        tokio::time::advance(WHOLE_LOOK_EVERY).await;
        assert_eq!(turns.start("mail").floor, 0, "one that took so long puts off the next one no longer");
        let many: Vec<_> = (1..=50).map(|tenant| (tenant, 60_000)).collect();
        look(0, &many, SLOW * 2);
        assert_eq!(turns.start("mail").floor, 0, "there may be more of them");
        look(0, &[(1, 60_000)], Duration::ZERO);
        assert_eq!(turns.start("mail").floor, 0, "whole ones are quick again");
    }

    /// A look doesn't see what is committed while it is under way.
    #[tokio::test(start_paused = true)]
    async fn what_comes_back_during_a_look_is_looked_for_by_the_next_one() {
        let turns = Turns::default();
        let end = |start| drop(turns.looked(claim(50, 1), start, seen(&[(1, 30_000)]), SLOW * 2));
        (0..SLOW_IN_A_ROW).for_each(|_| end(turns.start("mail")));
        for (passes, floor) in [(Duration::ZERO, 29_999 - SLACK), (WHOLE_LOOK_EVERY, 0)] {
            tokio::time::advance(passes).await;
            let start = turns.start("mail");
            assert_eq!(start.floor, floor);
            turns.came_back("mail", 9_000);
            end(start);
            assert_eq!(turns.start("mail").floor, 9_000 - SLACK);
            end(turns.start("mail"));
            assert_eq!(turns.start("mail").floor, 29_999 - SLACK, "this one began later");
        }

        for comes in
            [|turns: &Turns| turns.some_came_back(), |turns: &Turns| turns.admitted("mail", true, false)]
        {
            tokio::time::advance(WHOLE_LOOK_EVERY).await;
            let start = turns.start("mail");
            assert_eq!(start.floor, 0);
            comes(&turns);
            turns.came_back("mail", 9_000);
            end(start);
            assert_eq!(turns.start("mail").floor, 0, "that one may have missed them");
            end(turns.start("mail"));
            assert_eq!(turns.start("mail").floor, 29_999 - SLACK);
        }
    }

    /// A job that comes into a lane is seen by a look alone, or by who asks; and once it is ready, it may stand before all others.
    #[tokio::test(start_paused = true)]
    async fn while_looks_are_slow_lanes_do_not_wait_for_the_next_one() {
        let turns = Turns::default();
        turns.admitted("mail", false, false);
        let many: Vec<_> = (1..=50).map(|tenant| (tenant, 3000)).collect();
        for number in 0..i64::from(SLOW_IN_A_ROW) {
            assert!(!turns.is_gated("mail"));
            turns.looked(claim(50, number), turns.start("mail"), seen(&many), SLOW * 2);
        }
        tokio::time::advance(LOOK_WHEN_SLOW).await;
        assert!(turns.is_gated("mail"), "looks are seldom");
        turns.looked(claim(50, 9), turns.start("mail"), seen(&[(1, 3000)]), SLOW * 2);
        assert!(!turns.is_gated("mail"), "looks are quick again, and would tell");
        assert!(turns.start("mail").floor > 0);
        turns.admitted("mail", true, false);
        assert!(!turns.is_gated("mail"), "not so soon again");
        assert_eq!(turns.start("mail").floor, 0, "what was let in may have an old place");
        turns.looked(claim(50, 1), turns.start("mail"), seen(&[(1, 3000), (2, 9)]), SLOW * 2);
        assert!(turns.portions(claim(50, 1)).is_some());
    }

    #[tokio::test]
    async fn of_many_tenants_a_claim_meets_as_many_as_it_has_jobs_and_no_other_band() {
        let turns = Turns::default();
        let mut many = seen(&(1..=50).map(|tenant| (tenant, 1)).collect::<Vec<_>>());
        many.push((2, Uuid::from_u128(1), 1, 1));
        let portions = turns.looked(claim(50, 1), turns.start("mail"), many, Duration::ZERO).unwrap();
        assert_eq!((portions.tenants.len(), portions.are_all), (50, false));
        assert!(portions.bands.iter().all(|band| *band == 1));
    }

    /// The role of the program may write any position.
    #[tokio::test(start_paused = true)]
    async fn no_position_is_too_high_or_too_low() {
        let turns = Turns::default();
        for number in 0..i64::from(SLOW_IN_A_ROW) {
            let all = seen(&[(1, i64::MAX), (2, i64::MAX - 1)]);
            let portions = turns.looked(claim(50, number), turns.start("mail"), all, SLOW * 2).unwrap();
            turns.took(claim(50, number), &portions, &[taken(1, i64::MAX)]);
        }
        assert_eq!(tenants(&turns.portions(claim(50, 1)).unwrap())[0], 2);
        let start = turns.start("mail");
        turns.looked(claim(50, 1), start, seen(&[(1, i64::MAX)]), SLOW * 2);
        turns.came_back("mail", i64::MIN);
        assert_eq!(turns.start("mail").floor, 0);
        turns.looked(claim(50, 1), Start::default(), seen(&[(1, i64::MIN)]), SLOW * 2);
        assert_eq!(turns.start("mail").floor, 0);
    }

    #[tokio::test]
    async fn what_is_remembered_has_a_bound() {
        let turns = Turns::default();
        for queue in 0..2 * QUEUES {
            turns.admitted(&queue.to_string(), false, true);
        }
        assert!(turns.lock().len() <= QUEUES);
        assert_eq!(turns.tenants(usize::MAX), 1000);
    }
}
