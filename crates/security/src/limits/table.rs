//! A map from keys to two numbers that never grows.
//!
//! A key is known by a hash under a secret of this process, never by itself. Its place is one of eight in one of two sets,
//! all under the lock of one of up to 64 shards. The eight hashes of a set are one line of the processor's cache, and the two
//! numbers of a key lie in one, so that a decision reads three lines. 24 bytes a place, and nothing is allocated after the table.

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

/// The hashes of eight places, then the two numbers of each. No hash is 0.
type Set = [u64; 3 * WAYS];

/// A line of the cache, in bytes and in numbers.
const LINE: usize = 64;
const NUMBERS_OF_A_LINE: usize = LINE / size_of::<u64>();

pub(super) struct Table {
    shards: Box<[Padded]>,
    secret: RandomState,
}

/// Neighbours do not share a line of the cache.
#[repr(align(128))]
struct Padded(Mutex<Shard>);

pub(super) struct Shard {
    /// The sets, behind so many numbers that they begin with a line.
    numbers: Vec<u64>,
    start: usize,
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
        let shard = |_| Padded(Mutex::new(Shard::new(sets / shards)));
        Self { shards: (0..shards).map(shard).collect(), secret: RandomState::new() }
    }

    /// How many keys it has room for.
    pub(super) fn places(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).sets().len() * WAYS).sum()
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
    fn new(sets: usize) -> Self {
        // Aligned by hand: an allocator that is asked to align writes to all of the memory.
        let numbers = vec![0; sets * size_of::<Set>() / size_of::<u64>() + NUMBERS_OF_A_LINE];
        let start = numbers.as_ptr().align_offset(LINE).min(NUMBERS_OF_A_LINE);
        Self { numbers, start }
    }

    #[inline]
    fn sets(&self) -> &[Set] {
        let numbers = self.numbers.get(self.start..).unwrap_or_default();
        numbers.as_chunks().0
    }

    #[inline]
    fn sets_mut(&mut self) -> &mut [Set] {
        let numbers = self.numbers.get_mut(self.start..).unwrap_or_default();
        numbers.as_chunks_mut().0
    }

    /// Looks in both sets for the hash, then for room in the emptier one, which lets both fill up alike.
    #[inline]
    pub(super) fn find(&self, hash: u64, now: u64) -> Place {
        let sets = self.sets_of(hash);
        // Both at once: which of them it is, and where, no processor can guess, and the memory answers both in the time of one.
        let known = sets.map(|set| self.sets().get(set).map_or(0, |ways| ways_with(ways, hash)));
        if known[0] | known[1] != 0 {
            let (set, ways) = if known[0] != 0 { (sets[0], known[0]) } else { (sets[1], known[1]) };
            return Place::Found { set, way: ways.trailing_zeros() as usize };
        }
        let room = sets.map(|set| self.room(set, now));
        let (set, (_, way)) = if room[0].0 >= room[1].0 { (sets[0], room[0]) } else { (sets[1], room[1]) };
        way.map_or(Place::Full, |way| Place::Vacant { set, way })
    }

    /// How many places of a set are vacant, and the last of them.
    fn room(&self, set: usize, now: u64) -> (usize, Option<usize>) {
        let vacant =
            (0..WAYS).filter(|way| self.sets().get(set).is_some_and(|ways| is_vacant(ways, *way, now)));
        vacant.fold((0, None), |(count, _), way| (count + 1, Some(way)))
    }

    /// Of two sets whose bits of the hash do not overlap; nor do they with those of the shard.
    #[inline]
    fn sets_of(&self, hash: u64) -> [usize; 2] {
        let below = |bits: u64| (((bits & 0xff_ffff) * self.sets().len() as u64) >> 24) as usize;
        [below(hash), below(hash >> 24)]
    }

    /// The numbers of a key that was found, or zeroes.
    #[inline]
    pub(super) fn get(&self, place: Place) -> Stored {
        match place {
            Place::Found { set, way } => self.sets().get(set).map_or([0, 0], |ways| numbers(ways, way)),
            Place::Vacant { .. } | Place::Full => [0, 0],
        }
    }

    /// Puts numbers into a place, and returns it as found.
    #[inline]
    pub(super) fn put(&mut self, place: Place, hash: u64, numbers: Stored) {
        let (Place::Found { set, way } | Place::Vacant { set, way }) = place else { return };
        if let Some(ways) = self.sets_mut().get_mut(set) {
            let at = WAYS + 2 * way;
            (ways[way], ways[at], ways[at + 1]) = (hash, numbers[0], numbers[1]);
        }
    }

    /// The place of a full set that is lost with least regret, where a loss does no harm.
    pub(super) fn soonest(&self, hash: u64) -> Place {
        let [set, _] = self.sets_of(hash);
        let ways = self.sets().get(set);
        let soonest = ways.and_then(|ways| (0..WAYS).min_by_key(|way| numbers(ways, *way)[0]));
        soonest.map_or(Place::Full, |way| Place::Vacant { set, way })
    }

    fn live(&self, now: u64) -> usize {
        self.sets().iter().map(|ways| (0..WAYS).filter(|way| !is_vacant(ways, *way, now)).count()).sum()
    }
}

/// A bit for each way that has this hash.
#[inline]
fn ways_with(ways: &Set, hash: u64) -> u32 {
    (0..WAYS).fold(0, |found, way| found | u32::from(ways[way] == hash) << way)
}

#[inline]
fn numbers(ways: &Set, way: usize) -> Stored {
    let at = WAYS + 2 * way;
    [ways[at], ways[at + 1]]
}

fn is_vacant(ways: &Set, way: usize, now: u64) -> bool {
    let hash = ways[way];
    hash == 0 || is_spent(hash & WINDOW != 0, numbers(ways, way), now)
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
    fn a_set_begins_with_a_line_of_the_cache() {
        for places in [0, 8, 1_000, 100_000] {
            let table = Table::new(places);
            for shard in &table.shards {
                let shard = locked(shard);
                assert_eq!(shard.sets().as_ptr().align_offset(LINE), 0, "{places}");
            }
        }
    }

    #[test]
    fn the_smallest_table_has_a_set() {
        assert_eq!(Table::new(0).places(), WAYS);
    }
}
