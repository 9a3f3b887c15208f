//! What this process remembers of each queue between its claims: whose turn it is, what waits to be admitted, and where the jobs begin.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

/// Queues that are remembered. A process with more begins anew from time to time, which costs a fair start and nothing else.
const QUEUES: usize = 1000;

/// Tenants of one priority of which it is remembered where their jobs begin: as many as one claim needs, and small enough to be sent with it.
const TENANTS: usize = 100;

/// A claim that took longer may have walked over rows that are gone, and which an old snapshot keeps.
const SLOW: Duration = Duration::from_millis(2);

/// So many slow claims in a row are no accident.
const SLOW_IN_A_ROW: u32 = 8;

/// Positions before the last that was taken at which a short cut begins: transactions commit a little out of order.
const SLACK: i64 = 500;

/// Even if short cuts find enough, a claim looks at everything this often: for late commits, for jobs that came back, for other tenants.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// And this often if they do not.
const LOOK_WHEN_SHORT: Duration = Duration::from_millis(100);

/// While whole batches are found, what is found next to the last one is as good for so long: no more urgent job waits for longer than that.
/// It saves a busy worker the walk over the rows that it has just taken.
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
    /// The tenant that was served last in each band.
    served: [Uuid; 3],
    /// Claims of late that looked at everything and were slow.
    slow: u32,
    /// When a claim last looked at everything, and whether it found a whole batch.
    looked_at: Option<Instant>,
    was_whole: bool,
    /// Where the ready jobs of some tenants begin, by band and tenant.
    begins: BTreeMap<(i16, Uuid), i64>,
}

/// Of a job that a claim took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Taken {
    pub(super) band: i16,
    pub(super) tenant: Uuid,
    pub(super) position: i64,
}

/// Bands, tenants and the positions behind which their jobs begin.
pub(super) type Begins = (Vec<i16>, Vec<Uuid>, Vec<i64>);

impl Turns {
    pub(super) fn is_gated(&self, queue: &str) -> bool {
        self.lock().get(queue).is_some_and(|turn| turn.gated)
    }

    pub(super) fn set_gated(&self, queue: &str, gated: bool) {
        self.with(queue, |turn| turn.gated = gated);
    }

    /// Behind which tenant the turn of each of these bands begins.
    pub(super) fn served(&self, queue: &str, bands: &[i16]) -> Vec<Uuid> {
        let turns = self.lock();
        let served = turns.get(queue).map(|turn| turn.served).unwrap_or_default();
        bands.iter().map(|band| served[place(*band)]).collect()
    }

    /// Where to begin without a look at everything, if that is worth it now.
    pub(super) fn shortcut(&self, queue: &str, bands: &[i16]) -> Option<Begins> {
        let turns = self.lock();
        let turn = turns.get(queue).filter(|turn| turn.takes_shortcuts())?;
        let mut begins = Begins::default();
        for band in bands {
            let served = turn.served[place(*band)];
            let of_band = turn.begins.iter().filter(|((of, _), _)| of == band);
            let mut tenants: Vec<(Uuid, i64)> =
                of_band.map(|((_, tenant), begin)| (*tenant, *begin)).collect();
            tenants.sort_unstable_by_key(|(tenant, _)| (*tenant <= served, *tenant));
            for (tenant, begin) in tenants {
                begins.0.push(*band);
                begins.1.push(tenant);
                begins.2.push(begin);
            }
        }
        (!begins.0.is_empty()).then_some(begins)
    }

    /// What a short cut found was not enough: whether it is time to look at everything.
    pub(super) fn may_look(&self, queue: &str) -> bool {
        let turns = self.lock();
        let slow = turns.get(queue).filter(|turn| turn.is_slow()).and_then(|turn| turn.looked_at);
        slow.is_none_or(|at| at.elapsed() >= LOOK_WHEN_SHORT)
    }

    /// A claim of so many jobs has taken these by a short cut.
    pub(super) fn took(&self, queue: &str, taken: &[Taken]) {
        self.with(queue, |turn| {
            turn.serve(taken);
            turn.learn(taken);
        });
    }

    /// And these in so much time by a look at everything.
    pub(super) fn looked(&self, queue: &str, most: usize, taken: &[Taken], time: Duration) {
        self.with(queue, |turn| {
            turn.serve(taken);
            turn.slow = if time > SLOW { turn.slow.saturating_add(1) } else { 0 };
            turn.looked_at = Some(Instant::now());
            turn.was_whole = most >= BATCH && taken.len() == most;
            if !turn.is_slow() {
                turn.begins.clear();
            }
            turn.learn(taken);
        });
    }

    fn with(&self, queue: &str, change: impl FnOnce(&mut Turn)) {
        let mut turns = self.lock();
        if turns.len() >= QUEUES && !turns.contains_key(queue) {
            turns.clear();
        }
        if !turns.contains_key(queue) {
            turns.insert(queue.to_owned(), Turn::default());
        }
        if let Some(turn) = turns.get_mut(queue) {
            change(turn);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Turn>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    fn is_slow(&self) -> bool {
        self.slow >= SLOW_IN_A_ROW
    }

    fn takes_shortcuts(&self) -> bool {
        let since = self.looked_at.map(|at| at.elapsed());
        since.is_some_and(|since| self.is_slow() && since < LOOK_EVERY || self.was_whole && since < FRESH)
    }

    /// The next claim begins behind the last tenant of this one, counted from where it began.
    fn serve(&mut self, taken: &[Taken]) {
        for band in 0..3 {
            let served = self.served[place(band)];
            let tenants = taken.iter().filter(|one| one.band == band).map(|one| one.tenant);
            if let Some(last) = tenants.max_by_key(|tenant| (*tenant <= served, *tenant)) {
                self.served[place(band)] = last;
            }
        }
    }

    fn learn(&mut self, taken: &[Taken]) {
        for one in taken {
            let begin = self.begins.entry((one.band, one.tenant)).or_insert(i64::MIN);
            *begin = (*begin).max(one.position.saturating_sub(SLACK));
        }
        if self.begins.len() > TENANTS {
            // Those that are furthest back have had no jobs for longest.
            let mut latest: Vec<_> = std::mem::take(&mut self.begins).into_iter().collect();
            latest.sort_unstable_by_key(|(_, begin)| Reverse(*begin));
            latest.truncate(TENANTS);
            self.begins = latest.into_iter().collect();
        }
    }
}

/// Bands that nobody knows count as the last.
fn place(band: i16) -> usize {
    usize::try_from(band).unwrap_or(2).min(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(tenant: u128, position: i64) -> Taken {
        Taken { band: 1, tenant: Uuid::from_u128(tenant), position }
    }

    #[test]
    fn the_turn_goes_round() {
        let turns = Turns::default();
        let next = |tenants: &[u128]| {
            let taken: Vec<Taken> = tenants.iter().map(|tenant| taken(*tenant, 1)).collect();
            turns.took("mail", &taken);
            turns.served("mail", &[1])[0].as_u128()
        };
        assert_eq!(next(&[2, 3]), 3);
        assert_eq!(next(&[7, 9, 1]), 1, "begun behind 3, and wrapped");
        assert_eq!(next(&[]), 1);
        assert_eq!(turns.served("mail", &[0, 1, 2])[2], Uuid::nil(), "each band for itself");
    }

    #[tokio::test(start_paused = true)]
    async fn slow_claims_take_short_cuts_and_look_again() {
        let turns = Turns::default();
        turns.looked("mail", 10, &[taken(1, 2000)], Duration::from_millis(1));
        assert_eq!(turns.shortcut("mail", &[1]), None, "nothing was slow");
        for _ in 0..SLOW_IN_A_ROW {
            assert_eq!(turns.shortcut("mail", &[1]), None, "it may be an accident");
            assert!(turns.may_look("mail"));
            turns.looked("mail", 10, &[taken(1, 3000), taken(2, 700)], Duration::from_millis(5));
        }
        let begins = (vec![1, 1], vec![Uuid::from_u128(2), Uuid::from_u128(1)], vec![200, 2500]);
        assert_eq!(turns.shortcut("mail", &[1, 0]), Some(begins), "behind tenant 1, which was served last");
        turns.took("mail", &[taken(2, 900)]);
        assert_eq!(turns.shortcut("mail", &[1]).unwrap().2, [2500, 400], "the other tenant is next");
        assert!(!turns.may_look("mail"));
        tokio::time::advance(LOOK_WHEN_SHORT).await;
        assert!(turns.may_look("mail"));
        tokio::time::advance(LOOK_EVERY).await;
        assert_eq!(turns.shortcut("mail", &[1]), None, "a look is due");
        turns.looked("mail", 10, &[taken(1, 5000)], Duration::ZERO);
        assert_eq!(turns.shortcut("mail", &[1]), None, "and it was quick");
    }

    #[tokio::test(start_paused = true)]
    async fn behind_a_whole_batch_the_next_is_looked_for_first_but_not_for_long() {
        let turns = Turns::default();
        let whole: Vec<Taken> = (0..50).map(|position| taken(1, 1000 + position)).collect();
        turns.looked("mail", 50, &whole, Duration::ZERO);
        assert_eq!(turns.shortcut("mail", &[1]).unwrap().2, [549]);
        assert!(turns.may_look("mail"));
        turns.looked("mail", 50, &whole[1..], Duration::ZERO);
        assert_eq!(turns.shortcut("mail", &[1]), None, "that was not all of it");
        turns.looked("mail", 50, &whole, Duration::ZERO);
        tokio::time::advance(FRESH).await;
        assert_eq!(turns.shortcut("mail", &[1]), None, "others may have come");
    }

    #[tokio::test]
    async fn what_is_remembered_has_a_bound() {
        let turns = Turns::default();
        for queue in 0..2 * QUEUES {
            turns.set_gated(&queue.to_string(), true);
        }
        assert!(turns.lock().len() <= QUEUES);
        let many: Vec<Taken> = (0..500).map(|tenant| taken(tenant, tenant as i64)).collect();
        turns.looked("mail", 500, &many, Duration::ZERO);
        assert_eq!(turns.shortcut("mail", &[1]).unwrap().0.len(), TENANTS);
    }
}
