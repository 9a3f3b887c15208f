//! What is known to be denied: asking the store again would be a round trip for the same answer.

use std::time::Duration;

use super::store::Ask;
use super::table::{Place, Table};
use super::{Key, Monotonic, Rule};

/// Denials that are remembered at once: 1.5 MB. A flood has this many hot keys or it is spread so thin that each of them is
/// hardly denied.
const MOST: usize = 65_536;
/// How long one is believed at most: after that the store is asked, which may have lost its memory meanwhile, or been told
/// another limit by another process.
const LONGEST: Duration = Duration::from_secs(60);

/// Rule, key and epoch of the limits, with the cost that was denied and until when. An allowance is never remembered. Whoever
/// asks for less than was denied is not known to be denied; a change of any limit changes the epoch, and forgets all.
pub(super) struct Denials {
    table: Table,
    clock: Monotonic,
}

impl Denials {
    pub(super) fn new(clock: Monotonic) -> Self {
        Self { table: Table::new(MOST), clock }
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// How long this cost is denied yet, if that is known.
    pub(super) fn holds(&self, at: (usize, u64), ask: &Ask<'_>, cost: u64) -> Option<Duration> {
        let now = self.now();
        let hash = self.hash(at, ask.rule, ask.key);
        let shard = self.table.lock(self.table.shard_of(hash));
        let [until, denied] = match shard.find(hash, now) {
            found @ Place::Found { .. } => shard.get(found),
            _ => return None,
        };
        (cost >= denied && until > now).then(|| Duration::from_nanos(until - now))
    }

    /// Remembers that the store has denied this cost, which was asked at `asked`. From then on, and not from the answer: the
    /// store decided later than that, so a denial is never held longer than it is true.
    pub(super) fn remember(&self, at: (usize, u64), ask: &Ask<'_>, cost: u64, asked: u64, wait: Duration) {
        let wait = u64::try_from(wait.min(LONGEST).as_nanos()).unwrap_or(0);
        let hash = self.hash(at, ask.rule, ask.key);
        let mut shard = self.table.lock(self.table.shard_of(hash));
        let place = match shard.find(hash, asked) {
            Place::Full => shard.soonest(hash),
            place => place,
        };
        shard.put(place, hash, [asked.saturating_add(wait), cost]);
    }

    fn hash(&self, (rule, epoch): (usize, u64), named: &Rule, key: &Key<'_>) -> u64 {
        self.table.hash((epoch << 8) | rule as u64, false, named.by(), key)
    }
}
