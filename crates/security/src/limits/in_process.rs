use std::fmt;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::level::{Level, Stored};
use super::limit::Quota;
use super::metrics::METRICS;
use super::store::{Ask, LimitStore, Outage, Taken};
use super::table::{Place, Shard, Table};
use super::{MOST_RULES, Monotonic, Rule};
use crate::Error;

/// Limits of this process alone. A decision takes no `await`, allocates nothing, and costs a hash and a lock that only a
/// 64th of the keys share.
///
/// # When there are more keys than room
/// The memory is bounded: 24 bytes a key, never more. A key whose limit is whole again gives its place to the next one. A key
/// that still has something used is never dropped for another, as it would come back with a fresh budget; instead, keys
/// that find no room share one aggregate quota for each rule: that of a hundredth of the keys that have room. So however many
/// keys a flood brings, all together get at most 1.01 times the quota of the keys that have room. Who comes newly during a
/// flood shares its fate; whoever was there before it does not notice.
///
/// Give it room for a few times the keys that are busy within the time of the longest limit: at a load above 0.6 some keys
/// find no room before all is full. The metric `security.limits.without_room` says when it happens.
pub struct InProcess {
    table: Table,
    /// What keys without room share, for each rule.
    aggregate: Mutex<[Stored; MOST_RULES]>,
    /// As many keys' quota is what they share.
    sharing: u64,
    clock: Monotonic,
}

impl InProcess {
    /// Room for so many keys of all rules together: at least 8, at most what the memory has, untouched until it is used.
    pub fn new(keys: usize) -> Self {
        Self::with_clock(keys, Monotonic::system())
    }

    /// The same by a clock that a test moves.
    pub fn with_clock(keys: usize, clock: Monotonic) -> Self {
        let table = Table::new(keys);
        let sharing = (table.places() / 100).max(1) as u64;
        Self { table, aggregate: Mutex::default(), sharing, clock }
    }

    /// How many keys have something used now. It looks at all places: for a test or a report.
    pub fn keys(&self) -> usize {
        self.table.live(self.clock.now())
    }

    /// Decides on one. How it stands afterwards; where the cost does not fit, as before.
    #[inline]
    pub(super) fn decide_one(&self, ask: &Ask<'_>, cost: u64) -> Result<Level, Level> {
        let (now, hash) = (self.clock.now(), self.hash(0, ask));
        let mut shard = self.table.lock(self.table.shard_of(hash));
        let mut aggregate = None;
        let place = shard.find(hash, now);
        let mut level = self.level(place, &shard, 0, ask, now, &mut aggregate);
        if !level.fits(cost) {
            return Err(level);
        }
        if cost > 0 {
            level.take(cost);
            self.put(place, &mut shard, (0, hash), level.store(now), &mut aggregate);
        }
        Ok(level)
    }

    /// Decides on all, under the locks of all their shards.
    pub(super) fn decide(&self, asks: &[Ask<'_>], cost: u64) -> Taken {
        let now = self.clock.now();
        let mut hashes = [0; MOST_RULES];
        for (rule, (hash, ask)) in hashes.iter_mut().zip(asks).enumerate() {
            *hash = self.hash(rule, ask);
        }
        let shards = hashes.map(|hash| self.table.shard_of(hash));
        let (mut locks, mut aggregate) = (self.lock(&shards[..asks.len().min(MOST_RULES)]), None);
        let mut undo: [Option<(usize, Place, Stored)>; MOST_RULES] = [None; MOST_RULES];
        let (mut before, mut all) = ([None; MOST_RULES], true);
        for (rule, ask) in asks.iter().enumerate().take(MOST_RULES) {
            let Some(shard) = held(&mut locks, shards[rule]) else { continue };
            let place = shard.find(hashes[rule], now);
            let level = self.level(place, shard, rule, ask, now, &mut aggregate);
            before[rule] = Some(level);
            all &= level.fits(cost);
            // Written at once, so that the next one does not take the same place.
            if all && cost > 0 {
                undo[rule] = Some((shards[rule], place, self.kept(place, shard, rule, &mut aggregate)));
                let stored = taken(level, cost).store(now);
                self.put(place, shard, (rule, hashes[rule]), stored, &mut aggregate);
            }
        }
        if !all {
            for (rule, (at, place, stored)) in
                undo.into_iter().enumerate().filter_map(|(at, undo)| Some((at, undo?)))
            {
                let Some(shard) = held(&mut locks, at) else { continue };
                self.put(place, shard, (rule, hashes[rule]), stored, &mut aggregate);
            }
        }
        Taken { all, before }
    }

    #[inline]
    fn hash(&self, rule: usize, ask: &Ask<'_>) -> u64 {
        self.table.hash(rule as u64, is_window(ask.quota), ask.rule.by(), ask.key)
    }

    /// Each shard once, in the order of all callers.
    fn lock(&self, shards: &[usize]) -> Locks<'_> {
        let mut order = [usize::MAX; MOST_RULES];
        order[..shards.len()].copy_from_slice(shards);
        order.sort_unstable();
        let mut locks = [const { None }; MOST_RULES];
        let mut last = usize::MAX;
        for (lock, shard) in locks.iter_mut().zip(order).filter(|(_, shard)| *shard != usize::MAX) {
            if shard != last {
                *lock = Some((shard, self.table.lock(shard)));
            }
            last = shard;
        }
        locks
    }

    /// How much is used of what counts for the key: its own place, or what those without room share.
    #[inline]
    fn level<'a>(
        &'a self,
        place: Place,
        shard: &Shard,
        rule: usize,
        ask: &Ask<'_>,
        now: u64,
        aggregate: &mut Aggregate<'a>,
    ) -> Level {
        let stored = self.kept(place, shard, rule, aggregate);
        if place != Place::Full {
            return Level::stored(ask.quota, stored, now);
        }
        METRICS.without_room(ask.rule.name());
        Level::stored(ask.quota.times(self.sharing), stored, now)
    }

    #[inline]
    fn kept<'a>(&'a self, place: Place, shard: &Shard, rule: usize, aggregate: &mut Aggregate<'a>) -> Stored {
        match place {
            Place::Full => self.shared(aggregate)[rule],
            place => shard.get(place),
        }
    }

    #[inline]
    fn put<'a>(
        &'a self,
        place: Place,
        shard: &mut Shard,
        (rule, hash): (usize, u64),
        stored: Stored,
        aggregate: &mut Aggregate<'a>,
    ) {
        match place {
            Place::Full => self.shared(aggregate)[rule] = stored,
            place => shard.put(place, hash, stored),
        }
    }

    /// Locked when first needed, behind all shards, and until the decision is made.
    fn shared<'a, 'b>(&'a self, aggregate: &'b mut Aggregate<'a>) -> &'b mut [Stored; MOST_RULES] {
        aggregate.get_or_insert_with(|| self.aggregate.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

type Aggregate<'a> = Option<MutexGuard<'a, [Stored; MOST_RULES]>>;
type Locks<'a> = [Option<(usize, MutexGuard<'a, Shard>)>; MOST_RULES];

fn held<'l>(locks: &'l mut Locks<'_>, shard: usize) -> Option<&'l mut Shard> {
    locks.iter_mut().flatten().find(|(at, _)| *at == shard).map(|(_, lock)| &mut **lock)
}

fn taken(mut level: Level, cost: u64) -> Level {
    level.take(cost);
    level
}

fn is_window(quota: Quota) -> bool {
    matches!(quota, Quota::Window { .. })
}

impl LimitStore for InProcess {
    const IS_REMOTE: bool = false;

    fn accept(&self, _: &[Rule]) -> Result<(), Error> {
        Ok(())
    }

    fn take(&self, asks: &[Ask<'_>], cost: u64) -> impl Future<Output = Result<Taken, Outage>> + Send {
        std::future::ready(Ok(self.decide(asks, cost)))
    }
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InProcess({} places)", self.table.places())
    }
}
