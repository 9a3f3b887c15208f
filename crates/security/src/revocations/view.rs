use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use opentelemetry::metrics::Counter;
use shared_core::TenantId;

/// As far ahead as anything finite that is revoked reaches: in seconds.
const MARGIN: i64 = super::MARGIN.as_secs() as i64;

/// Sixteen locks: a writer keeps one reader in sixteen waiting, for less than a microsecond.
const SHARDS: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Token,
    Session,
    Subject,
    Tenant,
}

/// How many kinds there are.
const KINDS: usize = 4;

/// Times are in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) tenant: TenantId,
    /// Tokens issued up to here are refused.
    pub(super) issued_until: i64,
    /// No token that is meant lives beyond.
    pub(super) expires: i64,
}

/// What is revoked, by a keyed hash of its name: an entry has one size, whatever it names. Two names with one hash would
/// refuse a token too many, which happens less often than a machine fails.
pub(super) struct View {
    shards: [RwLock<HashMap<u64, (Kind, Entry)>>; SHARDS],
    hasher: RandomState,
    counts: [AtomicUsize; KINDS],
    /// Every token issued up to here is refused, whosever it is.
    all_until: AtomicI64,
    max: usize,
    /// One writer makes room at a time.
    making_room: Mutex<()>,
}

impl View {
    pub(super) fn new(max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            hasher: RandomState::new(),
            counts: Default::default(),
            all_until: AtomicI64::new(i64::MIN),
            max,
            making_room: Mutex::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Whether anything of this kind is revoked: most of the time not, and then a token costs no look-up.
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.counts[kind as usize].load(Ordering::Acquire) > 0
    }

    pub(super) fn meets_all(&self, issued_at: i64) -> bool {
        issued_at <= self.all_until.load(Ordering::Acquire)
    }

    pub(super) fn meets(&self, tenant: TenantId, kind: Kind, name: &str, issued_at: i64) -> bool {
        if !self.has(kind) {
            return false;
        }
        let key = self.key(tenant, kind, name);
        read(self.shard(key)).get(&key).is_some_and(|(_, entry)| issued_at <= entry.issued_until)
    }

    /// Says whether anything has changed.
    pub(super) fn insert(&self, entry: Entry, kind: Kind, name: &str, now: i64) -> bool {
        if entry.expires <= now || entry.issued_until <= self.all_until.load(Ordering::Acquire) {
            return false;
        }
        let key = self.key(entry.tenant, kind, name);
        let known = read(self.shard(key)).contains_key(&key);
        let made_room = !known && self.len() >= self.max && self.make_room(now);
        self.put(key, kind, entry) || made_room
    }

    /// Refuses everything that was issued until then, and forgets what that includes. Says whether that is new.
    pub(super) fn refuse_all(&self, until: i64) -> bool {
        let is_new = self.all_until.fetch_max(until, Ordering::AcqRel) < until;
        if !is_new && self.len() == 0 {
            return false;
        }
        self.retain(|_, _| false);
        AGGREGATED.add(1, &[opentelemetry::KeyValue::new("scope", "all")]);
        tracing::warn!("more revocations than fit: every token that was issued until now is refused");
        true
    }

    pub(super) fn forget_expired(&self, now: i64) {
        self.retain(|_, entry| entry.expires > now);
    }

    fn put(&self, key: u64, kind: Kind, new: Entry) -> bool {
        let mut shard = write(self.shard(key));
        let Some((_, old)) = shard.get_mut(&key) else {
            shard.insert(key, (kind, new));
            self.counts[kind as usize].fetch_add(1, Ordering::AcqRel);
            return true;
        };
        let issued_until = old.issued_until.max(new.issued_until);
        let changed = issued_until != old.issued_until;
        (old.issued_until, old.expires) = (issued_until, old.expires.max(new.expires));
        changed
    }

    /// Frees at least a tenth: by what has expired, or else by refusing all tokens of the tenant that fills the view, or of
    /// everybody. It is the fail-closed side: a token more is refused, none less.
    fn make_room(&self, now: i64) -> bool {
        let _one = self.making_room.lock().unwrap_or_else(PoisonError::into_inner);
        self.forget_expired(now);
        let (enough, until) = (self.max - self.max / 10, now + MARGIN);
        if self.len() < enough {
            return true;
        }
        match self.fullest() {
            Some((tenant, entries, expires)) if self.len() - entries < enough => {
                let key = self.key(tenant, Kind::Tenant, "");
                self.put(key, Kind::Tenant, Entry { tenant, issued_until: until, expires });
                self.retain(|kind, entry| entry.tenant != tenant || kind == Kind::Tenant);
                AGGREGATED.add(1, &[opentelemetry::KeyValue::new("scope", "tenant")]);
                tracing::warn!(%tenant, entries, "more revocations than fit: every token of the tenant that was issued until now is refused");
            }
            _ => {
                self.refuse_all(until);
            }
        }
        true
    }

    /// The tenant with the most entries, their number, and when the last of them expires.
    fn fullest(&self) -> Option<(TenantId, usize, i64)> {
        let mut tenants: HashMap<TenantId, (usize, i64)> = HashMap::new();
        for shard in &self.shards {
            for (_, entry) in read(shard).values() {
                let (entries, expires) = tenants.entry(entry.tenant).or_insert((0, i64::MIN));
                (*entries, *expires) = (*entries + 1, (*expires).max(entry.expires));
            }
        }
        let most = tenants.into_iter().max_by_key(|(_, (entries, _))| *entries);
        most.map(|(tenant, (entries, expires))| (tenant, entries, expires))
    }

    fn retain(&self, stays: impl Fn(Kind, &Entry) -> bool) {
        for shard in &self.shards {
            let mut shard = write(shard);
            shard.retain(|_, (kind, entry)| {
                let stays = stays(*kind, entry);
                if !stays {
                    self.counts[*kind as usize].fetch_sub(1, Ordering::AcqRel);
                }
                stays
            });
            let filled = shard.len();
            shard.shrink_to(filled * 2);
        }
    }

    fn key(&self, tenant: TenantId, kind: Kind, name: &str) -> u64 {
        self.hasher.hash_one((tenant, kind, name))
    }

    fn shard(&self, key: u64) -> &RwLock<HashMap<u64, (Kind, Entry)>> {
        &self.shards[key as usize % SHARDS]
    }
}

type Shard = HashMap<u64, (Kind, Entry)>;

// A map is whole also after a panic beside it.
fn read(shard: &RwLock<Shard>) -> RwLockReadGuard<'_, Shard> {
    shard.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(shard: &RwLock<Shard>) -> RwLockWriteGuard<'_, Shard> {
    shard.write().unwrap_or_else(PoisonError::into_inner)
}

static AGGREGATED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    opentelemetry::global::meter("shared_security")
        .u64_counter("security.revocations.aggregated")
        .with_description(
            "times that revocations did not fit, and a tenant's tokens, or all, were refused in their place",
        )
        .build()
});

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(tenant: TenantId) -> Entry {
        Entry { tenant, issued_until: i64::MAX, expires: 10_000 }
    }

    fn fill(view: &View, tenant: TenantId, names: std::ops::Range<usize>) {
        for name in names {
            view.insert(entry(tenant), Kind::Token, &name.to_string(), 1000);
        }
    }

    /// The memory is flat, and no revocation is lost: what does not fit is refused with more around it.
    #[test]
    fn a_flood_of_revocations_refuses_its_own_tenant_and_spares_others() {
        let (noisy, quiet, view) = (TenantId::new(), TenantId::new(), View::new(1000));
        view.insert(entry(quiet), Kind::Token, "stolen", 1000);
        fill(&view, noisy, 0..100_000);
        assert!(view.len() <= 1000, "{}", view.len());
        let refuses = |tenant, name, at| {
            view.meets(tenant, Kind::Token, name, at)
                || view.meets(tenant, Kind::Tenant, "", at)
                || view.meets_all(at)
        };
        for name in ["0", "500", "99999"] {
            assert!(refuses(noisy, name, 1000), "{name}");
        }
        assert!(!refuses(noisy, "another", 1006), "what was issued later is good");
        assert!(refuses(quiet, "stolen", 1000) && !refuses(quiet, "another", 1000));
    }

    #[test]
    fn a_flood_over_many_tenants_refuses_everybody_until_now() {
        let view = View::new(1000);
        for _ in 0..5000 {
            fill(&view, TenantId::new(), 0..1);
        }
        assert!(view.len() <= 1000, "{}", view.len());
        assert!(view.meets_all(1005) && !view.meets_all(1006));
    }

    #[test]
    fn what_has_expired_makes_room_first() {
        let (tenant, view) = (TenantId::new(), View::new(100));
        fill(&view, tenant, 0..100);
        view.insert(entry(tenant), Kind::Token, "new", 9_999);
        assert!(view.meets(tenant, Kind::Tenant, "", 9_999), "nothing had expired yet");
        let view = View::new(100);
        fill(&view, tenant, 0..100);
        view.insert(Entry { expires: 20_000, ..entry(tenant) }, Kind::Token, "new", 10_000);
        assert_eq!(view.len(), 1);
        assert!(view.meets(tenant, Kind::Token, "new", i64::MAX) && !view.has(Kind::Tenant));
    }
}
