//! The views of the tenants that were asked for lately, a bounded number of them.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use shared_core::TenantId;
use tokio::sync::OnceCell;

use super::view::TenantView;
use crate::metrics::METRICS;

/// A view that is there, or that the first who needs it reads while the others wait.
pub(super) type Slot = Arc<OnceCell<Arc<TenantView>>>;

/// Two generations of slots: when the young one is full it becomes the old one, and what was not asked for since is gone.
#[derive(Debug)]
pub(super) struct Cache {
    generations: RwLock<Generations>,
    /// Of each generation.
    most: usize,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<TenantId, Slot>,
    old: HashMap<TenantId, Slot>,
}

impl Cache {
    pub(super) fn new(most: usize) -> Self {
        Self { generations: RwLock::default(), most: most.div_ceil(2).max(1) }
    }

    pub(super) fn slot(&self, tenant: TenantId) -> Slot {
        if let Some(slot) = self.read().young.get(&tenant) {
            return Arc::clone(slot);
        }
        let mut generations = self.write();
        if let Some(slot) = generations.young.get(&tenant) {
            return Arc::clone(slot);
        }
        let slot = generations.old.remove(&tenant).unwrap_or_default();
        if generations.young.len() >= self.most {
            let young = mem::take(&mut generations.young);
            let dropped = mem::replace(&mut generations.old, young);
            METRICS.views_dropped.add(dropped.len() as u64, &[]);
        }
        generations.young.insert(tenant, Arc::clone(&slot));
        slot
    }

    /// Whoever asks from now on gets a view that is read from now on.
    pub(super) fn forget(&self, tenant: TenantId) {
        let mut generations = self.write();
        generations.young.remove(&tenant);
        generations.old.remove(&tenant);
    }

    /// Forgets the tenant unless its view is that of this epoch. One that is being read may be older.
    pub(super) fn forget_other_than(&self, tenant: TenantId, epoch: i64) {
        let is_current = {
            let generations = self.read();
            let slot = generations.young.get(&tenant).or_else(|| generations.old.get(&tenant));
            slot.is_none_or(|slot| slot.get().is_some_and(|view| view.epoch == epoch))
        };
        if !is_current {
            self.forget(tenant);
        }
    }

    pub(super) fn forget_all(&self) {
        *self.write() = Generations::default();
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let generations = self.read();
        generations.young.len() + generations.old.len()
    }

    fn read(&self) -> RwLockReadGuard<'_, Generations> {
        self.generations.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Generations> {
        self.generations.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_tenants_ask_the_cache_keeps_its_bound_and_those_who_ask_again() {
        let cache = Cache::new(100);
        let regular = TenantId::new();
        let kept = cache.slot(regular);
        for _ in 0..1000 {
            cache.slot(TenantId::new());
            assert!(Arc::ptr_eq(&cache.slot(regular), &kept));
            assert!(cache.len() <= 100);
        }
    }

    #[test]
    fn what_is_forgotten_is_read_anew() {
        let (cache, tenant) = (Cache::new(10), TenantId::new());
        let before = cache.slot(tenant);
        cache.forget(tenant);
        let after = cache.slot(tenant);
        assert!(!Arc::ptr_eq(&before, &after));
        // One that is being read has an epoch that nobody knows yet.
        cache.forget_other_than(tenant, 1);
        assert!(!Arc::ptr_eq(&after, &cache.slot(tenant)));
    }
}
