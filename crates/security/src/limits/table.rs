//! A map from keys to two numbers that never grows.
//!
//! A key is known by a hash under a secret of this process, never by itself. Its place is one of eight in one of two sets,
//! all under the lock of one of up to 64 shards; the hashes of a set lie side by side, so that a look at all eight reads one
//! line of the processor's cache. 24 bytes a place, and nothing is allocated after the table.

use std::hash::{BuildHasher, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ahash::RandomState;

use super::By;
use super::Key;
use super::level::{Stored, is_spent};

const WAYS: usize = 8;
const SHARDS: usize = 64;
/// Sets of a shard at least: many small shards would fill unevenly.
const SETS_EACH: usize = 32;

/// The hashes of eight places, then the first numbers, then the second ones. No hash is 0.
type Set = [u64; 3 * WAYS];

pub(super) struct Table {
    shards: Box<[Padded]>,
    secret: RandomState,
}

/// Neighbours do not share a line of the cache.
#[repr(align(128))]
struct Padded(Mutex<Shard>);

pub(super) struct Shard {
    sets: Vec<Set>,
}

/// A hash, which has always this bit, so that it is never 0; it is one of those that choose the shard.
const USED: u64 = 1 << 63;
/// Whether the place holds a window: the other one.
const WINDOW: u64 = 1 << 62;

/// Where the numbers of a key are, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Found {
        set: usize,
        way: usize,
    },
    /// Empty, or what is in it is worth nothing any more.
    Vacant {
        set: usize,
        way: usize,
    },
    Full,
}

impl Table {
    /// A table of at most so many places, and of at least eight.
    pub(super) fn new(places: usize) -> Self {
        let sets = (places / WAYS).max(1);
        let shards = (sets / SETS_EACH).clamp(1, SHARDS);
        // The memory is zero until it is written to, so a table that is used little takes little.
        let shard = |_| Padded(Mutex::new(Shard { sets: vec![[0; 3 * WAYS]; sets / shards] }));
        Self { shards: (0..shards).map(shard).collect(), secret: RandomState::new() }
    }

    /// How many keys it has room for.
    pub(super) fn places(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).sets.len() * WAYS).sum()
    }

    /// How many keys it holds that are worth something.
    pub(super) fn live(&self, now: u64) -> usize {
        self.shards.iter().map(|shard| locked(shard).live(now)).sum()
    }

    /// The hash of some parts of a key. `domain` keeps apart what must not meet, such as two rules.
    #[inline]
    pub(super) fn hash(&self, domain: u64, is_window: bool, by: &[By], key: &Key<'_>) -> u64 {
        let mut hasher = self.secret.build_hasher();
        hasher.write_u64(domain);
        key.parts(by, |bytes| hasher.write(bytes));
        let kind = if is_window { WINDOW } else { 0 };
        (hasher.finish() & !WINDOW) | kind | USED
    }

    /// Which shard has the hash. Those of several are locked in this order.
    #[inline]
    pub(super) fn shard_of(&self, hash: u64) -> usize {
        (((hash >> 48) & 0xfff) as usize * self.shards.len()) >> 12
    }

    #[inline]
    pub(super) fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        locked(&self.shards[shard])
    }
}

#[inline]
fn locked(shard: &Padded) -> MutexGuard<'_, Shard> {
    // Numbers are written whole, so a panic elsewhere has spoilt nothing.
    shard.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    /// Looks in both sets for the hash, then for room in the emptier one, which lets both fill up alike.
    #[inline]
    pub(super) fn find(&self, hash: u64, now: u64) -> Place {
        let sets = self.sets_of(hash);
        for set in sets {
            let known =
                self.sets.get(set).and_then(|ways| ways[..WAYS].iter().position(|known| *known == hash));
            if let Some(way) = known {
                return Place::Found { set, way };
            }
        }
        let room = sets.map(|set| self.room(set, now));
        let (set, (_, way)) = if room[0].0 >= room[1].0 { (sets[0], room[0]) } else { (sets[1], room[1]) };
        way.map_or(Place::Full, |way| Place::Vacant { set, way })
    }

    /// How many places of a set are vacant, and the last of them.
    fn room(&self, set: usize, now: u64) -> (usize, Option<usize>) {
        let vacant =
            (0..WAYS).filter(|way| self.sets.get(set).is_some_and(|ways| is_vacant(ways, *way, now)));
        vacant.fold((0, None), |(count, _), way| (count + 1, Some(way)))
    }

    /// Of two sets whose bits of the hash do not overlap; nor do they with those of the shard.
    #[inline]
    fn sets_of(&self, hash: u64) -> [usize; 2] {
        let below = |bits: u64| (((bits & 0xff_ffff) * self.sets.len() as u64) >> 24) as usize;
        [below(hash), below(hash >> 24)]
    }

    /// The numbers of a key that was found, or zeroes.
    #[inline]
    pub(super) fn get(&self, place: Place) -> Stored {
        match place {
            Place::Found { set, way } => {
                self.sets.get(set).map_or([0, 0], |ways| [ways[WAYS + way], ways[2 * WAYS + way]])
            }
            Place::Vacant { .. } | Place::Full => [0, 0],
        }
    }

    /// Puts numbers into a place, and returns it as found.
    #[inline]
    pub(super) fn put(&mut self, place: Place, hash: u64, numbers: Stored) {
        let (Place::Found { set, way } | Place::Vacant { set, way }) = place else { return };
        if let Some(ways) = self.sets.get_mut(set) {
            (ways[way], ways[WAYS + way], ways[2 * WAYS + way]) = (hash, numbers[0], numbers[1]);
        }
    }

    /// The place of a full set that is lost with least regret, where a loss does no harm.
    pub(super) fn soonest(&self, hash: u64) -> Place {
        let [set, _] = self.sets_of(hash);
        let ways = self.sets.get(set);
        let soonest = ways.and_then(|ways| (0..WAYS).min_by_key(|way| ways[WAYS + way]));
        soonest.map_or(Place::Full, |way| Place::Vacant { set, way })
    }

    fn live(&self, now: u64) -> usize {
        self.sets.iter().map(|ways| (0..WAYS).filter(|way| !is_vacant(ways, *way, now)).count()).sum()
    }
}

fn is_vacant(ways: &Set, way: usize, now: u64) -> bool {
    let hash = ways[way];
    hash == 0 || is_spent(hash & WINDOW != 0, [ways[WAYS + way], ways[2 * WAYS + way]], now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fills_nearly_whole_before_a_key_finds_no_room() {
        let table = Table::new(10_000);
        let (mut held, mut names) = (0, (0_u32..).map(|name| name.to_string()));
        let first_without_room = names.by_ref().position(|name| {
            let hash = table.hash(0, false, &[By::Item], &Key::new().item(&name));
            let mut shard = table.lock(table.shard_of(hash));
            let place = shard.find(hash, 1);
            shard.put(place, hash, [2, 0]);
            held += 1;
            place == Place::Full
        });
        assert!(first_without_room.unwrap() > table.places() * 6 / 10, "{first_without_room:?}");
        assert!(table.places() <= 10_000 && table.places() > 9_000, "{}", table.places());
        assert_eq!(table.live(1), held - 1);
        assert_eq!(table.live(2), 0);
    }

    #[test]
    fn the_smallest_table_has_a_set() {
        assert_eq!(Table::new(0).places(), WAYS);
    }
}
