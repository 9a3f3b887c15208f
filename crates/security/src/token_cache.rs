//! Tokens that were verified a moment ago.
//!
//! What is kept is only what can't change: that a signature was right under keys that are still those of now, and what
//! the token says. Its times and whether it was revoked are looked at again at each hit. Refusals are not kept.

use std::fmt;

use aws_lc_rs::digest;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter};

use crate::Verified;
use crate::metrics::METRICS;

/// 1 KiB: more than an entry of a usual token takes.
const USUAL_SIZE: usize = 1024;

/// The SHA-256 of a whole token: of its signature as well, so that nobody can ask for an entry who doesn't have the token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(token: &[u8]) -> Self {
        let mut bytes = [0; 32];
        // SHA-256 has as many bytes as fit.
        bytes.copy_from_slice(digest::digest(&digest::SHA256, token).as_ref());
        Self(bytes)
    }
}

/// A token whose signature was right.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) verified: Verified,
    /// Which of the verifier's policies believed it.
    pub(crate) policy: usize,
    /// The epoch of that policy's keys by which it was believed.
    pub(crate) epoch: u64,
}

/// The tokens that one verifier has verified. Another verifier has another cache, so that none takes over what it would
/// not have decided itself; a clone of this one starts out empty for the same reason.
pub(crate) struct TokenCache {
    entries: Cache<Digest, Entry, BySize, DefaultHashBuilder, CountEvictions>,
    capacity: usize,
}

impl TokenCache {
    /// Room for this many tokens of usual size, or for fewer that are larger; 0 keeps none.
    pub(crate) fn new(capacity: usize) -> Self {
        let size = capacity.saturating_mul(USUAL_SIZE) as u64;
        let entries = Cache::with(capacity, size, BySize, DefaultHashBuilder::default(), CountEvictions);
        Self { entries, capacity }
    }

    pub(crate) fn keeps_any(&self) -> bool {
        self.capacity > 0
    }

    /// The entry of this token, if it still holds.
    pub(crate) fn get(&self, digest: &Digest, holds: impl FnOnce(&Entry) -> bool) -> Option<Entry> {
        let entry = self.entries.get(digest).filter(holds);
        let counter = if entry.is_some() { &METRICS.cache_hits } else { &METRICS.cache_misses };
        counter.add(1, &[]);
        entry
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn insert(&self, digest: Digest, entry: Entry) {
        self.entries.insert(digest, entry);
    }
}

impl Clone for TokenCache {
    fn clone(&self) -> Self {
        Self::new(self.capacity)
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenCache({} of {})", self.entries.len(), self.capacity)
    }
}

/// Each entry counts for its bytes, and a small one for a usual one: so both entries and bytes have a bound.
#[derive(Clone)]
struct BySize;

impl Weighter<Digest, Entry> for BySize {
    fn weight(&self, _: &Digest, entry: &Entry) -> u64 {
        (size_of::<Digest>() + size_of::<Entry>() + entry.verified.size()).max(USUAL_SIZE) as u64
    }
}

#[derive(Clone)]
struct CountEvictions;

impl Lifecycle<Digest, Entry> for CountEvictions {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: Digest, _: Entry) {
        METRICS.cache_evictions.add(1, &[]);
    }
}
