//! Whose turn it is: deficit round robin between tenants (Shreedhar and Varghese, 1996), for several servers at once. Decisions alone,
//! without a clock.
//!
//! Tenants that wait stand in a ring. One that comes to its turn gets a quantum of time, and takes slots as long as it has some left; what
//! a turn took is known when it is over, so a tenant may come to owe, and is passed by until that is made up for. Who has the fewest slots
//! in hand goes first, so that one with work in every lane does not have all of them; and where one waits that has too few, a
//! turn of one that has more ends early.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use shared_core::TenantId;

/// The time that a tenant may use in each round: some turns of short ones, and a wait that nobody minds.
pub(super) const QUANTUM: Duration = Duration::from_millis(20);

/// Rounds that a tenant is passed by at most, whatever its turns took: it gets an eighth of the others' then.
const OWED: i32 = 8;

pub(super) struct Rounds<W> {
    free: usize,
    /// Whether one who waits has not given up.
    is_there: fn(&W) -> bool,
    tenants: HashMap<TenantId, Tenant<W>>,
    /// Those that have somebody waiting, in the order of their turns.
    ring: VecDeque<TenantId>,
    /// Turns that were told to end, and have not yet.
    ending: usize,
}

struct Tenant<W> {
    held: usize,
    /// The time that it may still use in this round, in microseconds; less than nothing if it owes some.
    deficit: i64,
    waiting: VecDeque<W>,
}

impl<W> Rounds<W> {
    pub(super) fn new(slots: usize, is_there: fn(&W) -> bool) -> Self {
        Self { free: slots, is_there, tenants: HashMap::new(), ring: VecDeque::new(), ending: 0 }
    }

    /// Somebody of the tenant waits for a slot. A tenant that was idle has nothing saved up. Those who have given up are forgotten.
    pub(super) fn wait(&mut self, tenant: TenantId, who: W) {
        let of = self.tenants.entry(tenant).or_insert_with(|| Tenant {
            held: 0,
            deficit: micros(QUANTUM),
            waiting: VecDeque::new(),
        });
        if of.waiting.is_empty() {
            self.ring.push_back(tenant);
        }
        of.waiting.retain(self.is_there);
        of.waiting.push_back(who);
    }

    /// Who gets the next slot, if there is one; of those alone that are still there.
    pub(super) fn next(&mut self) -> Option<(TenantId, W)> {
        if self.free == 0 {
            return None;
        }
        while let Some(tenant) = self.turn() {
            let Some(of) = self.tenants.get_mut(&tenant) else { continue };
            let who = std::iter::from_fn(|| of.waiting.pop_front()).find(self.is_there);
            of.held += usize::from(who.is_some());
            if !of.waiting.is_empty() {
                // Its turn lasts until it has used its time.
                self.ring.push_front(tenant);
            }
            if let Some(who) = who {
                self.free -= 1;
                return Some((tenant, who));
            }
            self.forget(tenant);
        }
        None
    }

    /// The tenant whose turn it is, taken out of the ring.
    fn turn(&mut self) -> Option<TenantId> {
        let fewest = self.fewest()?;
        loop {
            let tenant = self.ring.pop_front()?;
            match self.tenants.get_mut(&tenant) {
                Some(of) if of.held <= fewest && of.deficit > 0 => return Some(tenant),
                Some(of) if of.held <= fewest => of.deficit += micros(QUANTUM),
                Some(_) => {}
                None => continue,
            }
            self.ring.push_back(tenant);
        }
    }

    /// The fewest slots that one who waits has. No more tenants have some than there are slots, so few are looked at.
    fn fewest(&self) -> Option<usize> {
        let mut fewest: Option<usize> = None;
        for tenant in &self.ring {
            match self.held(*tenant) {
                0 => return Some(0),
                held => fewest = Some(fewest.map_or(held, |fewest| fewest.min(held))),
            }
        }
        fewest
    }

    #[cfg(test)]
    pub(super) fn has_waiting(&self) -> bool {
        !self.ring.is_empty()
    }

    #[cfg(test)]
    pub(super) fn waiting(&self, tenant: TenantId) -> usize {
        self.tenants.get(&tenant).map_or(0, |of| of.waiting.len())
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.tenants.is_empty() && self.ring.is_empty()
    }

    fn held(&self, tenant: TenantId) -> usize {
        self.tenants.get(&tenant).map_or(0, |of| of.held)
    }

    fn waits(&self, tenant: TenantId) -> bool {
        self.tenants.get(&tenant).is_some_and(|of| of.waiting.iter().any(self.is_there))
    }

    /// Whether a turn that has lasted for so long is to end for a tenant that waits: for one that has two slots less, or, behind the
    /// quantum, one less. For each of them one turn ends.
    pub(super) fn is_wanted(&mut self, tenant: TenantId, lasted: Duration) -> bool {
        let (mine, less) = (self.held(tenant), if lasted < QUANTUM { 2 } else { 1 });
        let Some(most) = mine.checked_sub(less) else { return false };
        let poorer = self.ring.iter().filter(|other| self.held(**other) <= most && self.waits(**other));
        let is_wanted = poorer.take(self.ending + 1).count() > self.ending;
        self.ending += usize::from(is_wanted);
        is_wanted
    }

    /// A slot comes back after so long; it may have been told to.
    pub(super) fn done(&mut self, tenant: TenantId, took: Duration, was_told: bool) {
        self.free += 1;
        self.ending -= usize::from(was_told);
        if let Some(of) = self.tenants.get_mut(&tenant) {
            of.held -= 1;
            of.deficit = (of.deficit - micros(took)).max(-micros(QUANTUM * OWED.unsigned_abs()));
        }
        self.forget(tenant);
    }

    /// Of a tenant that has nothing in hand and waits for nothing, nothing is kept.
    fn forget(&mut self, tenant: TenantId) {
        if self.tenants.get(&tenant).is_some_and(|of| of.held == 0 && of.waiting.is_empty()) {
            self.tenants.remove(&tenant);
        }
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
