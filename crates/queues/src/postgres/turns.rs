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

/// Positions before the last that was taken at which a claim begins while looks are slow: transactions commit a little out of order.
const SLACK: i64 = 500;

/// Even if looks are slow, there is one this often: for late commits, for jobs that came back, for other tenants.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// And this often if claims do not find enough.
const LOOK_WHEN_SHORT: Duration = Duration::from_millis(100);

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
    /// Jobs were admitted since the last look.
    news: bool,
    /// The tenant that was served last in each band.
    served: [Uuid; 3],
    /// Looks of late that were slow.
    slow: u32,
    /// The last look, as far as it can still be trusted.
    view: Option<View>,
}

struct View {
    at: Instant,
    seen: Vec<Seen>,
    /// How many tenants of a band it would have met at most.
    tenants: usize,
}

impl Turns {
    /// Whether a claim should admit jobs before it takes any. A look would tell of new ones; while looks are slow they are asked for
    /// all the same, now and then.
    pub(super) fn is_gated(&self, queue: &str) -> bool {
        self.lock().get(queue).is_some_and(|turn| {
            let is_late = || turn.asked.is_none_or(|at| at.elapsed() >= LOOK_WHEN_SHORT);
            turn.gated || turn.is_slow() && is_late()
        })
    }

    /// A claim has admitted jobs, or none; and whether there may be more to admit.
    pub(super) fn admitted(&self, queue: &str, some: bool, more: bool) {
        self.with(queue, |turn| {
            turn.gated = more;
            turn.asked = Some(Instant::now());
            turn.news |= some;
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
        let age = turn.view.as_ref()?.at.elapsed();
        let is_good = age
            < match (turn.is_slow(), turn.news) {
                (false, _) => FRESH,
                (true, true) => LOOK_WHEN_SHORT,
                (true, false) => LOOK_EVERY,
            };
        is_good.then(|| turn.portions(claim)).flatten()
    }

    /// A look took so long, and met these tenants: what the claim may take of them.
    pub(super) fn looked(
        &self,
        claim: Claim<'_>,
        seen: Vec<(i16, Uuid, i64, i32)>,
        time: Duration,
    ) -> Option<Portions> {
        let (seen, paused): (Vec<_>, Vec<_>) = seen.into_iter().partition(|(.., share)| *share > 0);
        let seen: Vec<Seen> = seen.into_iter().map(Seen::from).collect();
        self.with(claim.queue, |turn| {
            turn.slow = if time > SLOW { turn.slow.saturating_add(1) } else { 0 };
            turn.news = false;
            for (band, tenant, ..) in paused.into_iter().rev() {
                // Who comes behind so many has a turn, too.
                if seen.iter().all(|seen| seen.band != band) {
                    turn.served[place(band)] = tenant;
                }
            }
            turn.view = Some(View { at: Instant::now(), seen, tenants: enough(claim.most) });
            turn.portions(claim)
        })
    }

    /// Claims did not find enough: whether it is time to look again.
    pub(super) fn may_look(&self, queue: &str) -> bool {
        let turns = self.lock();
        let slow = turns.get(queue).filter(|turn| turn.is_slow()).and_then(|turn| turn.view.as_ref());
        slow.is_none_or(|view| view.at.elapsed() >= LOOK_WHEN_SHORT)
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

    fn portions(&self, claim: Claim<'_>) -> Option<Portions> {
        let view = self.view.as_ref()?;
        let slack = if self.is_slow() { SLACK } else { 0 };
        let mut portions = Portions::default();
        for band in claim.bands() {
            let mut seen: Vec<&Seen> = view.seen.iter().filter(|seen| seen.band == band).collect();
            let served = self.served[place(band)];
            seen.sort_unstable_by_key(|seen| (seen.tenant <= served, seen.tenant));
            portions.add(&seen, claim.most, slack);
            if seen.len() >= view.tenants {
                // There may be more of them, before the turn of the next band.
                return Some(portions);
            }
        }
        portions.are_all = true;
        (!portions.is_empty()).then_some(portions)
    }
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
            let portions = turns.looked(claim(2, 1), seen(&all), Duration::ZERO).unwrap();
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
        let portions = turns.looked(claim(50, 1), seen(&[(1, 1000)]), Duration::ZERO).unwrap();
        assert_eq!((portions.after[0], portions.jobs[0]), (999, 50));
        let whole: Vec<Taken> = (0..50).map(|n| taken(1, 1000 + n)).collect();
        turns.took(claim(50, 1), &portions, &whole);
        assert_eq!(turns.portions(claim(50, 16)).unwrap().after[0], 1049, "behind what was taken");
        tokio::time::advance(FRESH).await;
        assert!(turns.portions(claim(50, 2)).is_none(), "others may have come");
        let portions = turns.looked(claim(50, 2), seen(&[(1, 1000)]), Duration::ZERO).unwrap();
        turns.took(claim(50, 2), &portions, &whole[1..]);
        assert!(turns.portions(claim(50, 3)).is_none(), "that was all of them");
        assert!(turns.may_look("mail"));
    }

    #[tokio::test(start_paused = true)]
    async fn while_looks_are_slow_claims_go_by_an_old_one() {
        let turns = Turns::default();
        for number in 0..i64::from(SLOW_IN_A_ROW) {
            let portions = turns.looked(claim(50, number), seen(&[(1, 3000), (2, 700)]), SLOW * 2).unwrap();
            turns.took(claim(50, number), &portions, &[taken(1, 3000)]);
            let goes_on = number + 1 == i64::from(SLOW_IN_A_ROW);
            assert_eq!(turns.portions(claim(50, 1)).is_some(), goes_on, "one may be an accident");
        }
        let portions = turns.portions(claim(50, 1)).unwrap();
        assert_eq!((tenants(&portions), portions.after), (vec![2, 1, 2, 1], vec![199, 2500, 199, 2500]));
        assert!(!turns.may_look("mail"));
        tokio::time::advance(LOOK_WHEN_SHORT).await;
        assert!(turns.may_look("mail"));
        tokio::time::advance(LOOK_EVERY).await;
        assert!(turns.portions(claim(50, 1)).is_none(), "a look is due");
        turns.looked(claim(50, 1), seen(&[(1, 5000)]), Duration::ZERO);
        assert_eq!(turns.portions(claim(50, 1)).unwrap().after, [4999], "and it was quick");
    }

    /// A job that comes into a lane is seen by a look alone, or by who asks; and once it is ready, its tenant may not have been met.
    #[tokio::test(start_paused = true)]
    async fn while_looks_are_slow_lanes_do_not_wait_for_the_next_one() {
        let turns = Turns::default();
        turns.admitted("mail", false, false);
        for number in 0..i64::from(SLOW_IN_A_ROW) {
            assert!(!turns.is_gated("mail"));
            turns.looked(claim(50, number), seen(&[(1, 3000)]), SLOW * 2);
        }
        tokio::time::advance(LOOK_WHEN_SHORT).await;
        assert!(turns.is_gated("mail"));
        assert!(turns.portions(claim(50, 1)).is_some(), "the old look is good enough");
        turns.admitted("mail", true, false);
        assert!(!turns.is_gated("mail"), "not so soon again");
        assert!(turns.portions(claim(50, 1)).is_none(), "somebody new is ready");
        turns.looked(claim(50, 1), seen(&[(1, 3000), (2, 9)]), SLOW * 2);
        assert!(turns.portions(claim(50, 1)).is_some());
    }

    #[tokio::test]
    async fn of_many_tenants_a_claim_meets_as_many_as_it_has_jobs_and_no_other_band() {
        let turns = Turns::default();
        let mut many = seen(&(1..=50).map(|tenant| (tenant, 1)).collect::<Vec<_>>());
        many.push((2, Uuid::from_u128(1), 1, 1));
        let portions = turns.looked(claim(50, 1), many, Duration::ZERO).unwrap();
        assert_eq!((portions.tenants.len(), portions.are_all), (50, false));
        assert!(portions.bands.iter().all(|band| *band == 1));
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
