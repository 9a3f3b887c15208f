//! Tenants take turns.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use shared_core::TenantId;

use crate::JobId;

/// The ready jobs of one priority.
#[derive(Default)]
pub(super) struct Band {
    /// Of each tenant by position: the oldest first.
    tenants: BTreeMap<TenantId, BTreeMap<u64, JobId>>,
    /// Who was served last.
    served: Option<TenantId>,
}

/// What a claim has to know of tenants.
pub(super) struct Shares<'a> {
    /// Jobs of one turn, for a weight of 1.
    pub(super) quantum: usize,
    pub(super) weights: &'a BTreeMap<TenantId, u32>,
    pub(super) paused: &'a BTreeSet<TenantId>,
}

impl Band {
    pub(super) fn push(&mut self, tenant: TenantId, position: u64, job: JobId) {
        self.tenants.entry(tenant).or_default().insert(position, job);
    }

    pub(super) fn remove(&mut self, tenant: TenantId, position: u64) {
        if let Some(jobs) = self.tenants.get_mut(&tenant) {
            jobs.remove(&position);
            if jobs.is_empty() {
                self.tenants.remove(&tenant);
            }
        }
    }

    /// Takes up to `most` jobs: of each tenant as many as its share is, of the next one then, round and round.
    pub(super) fn take(&mut self, most: usize, shares: &Shares<'_>) -> Vec<JobId> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(tenant) = self.next(shares.paused)
        {
            let weight = shares.weights.get(&tenant).copied().unwrap_or(1) as usize;
            let share = (shares.quantum * weight).min(most - taken.len());
            taken.extend(self.pop(tenant, share));
            self.served = Some(tenant);
        }
        taken
    }

    fn next(&self, paused: &BTreeSet<TenantId>) -> Option<TenantId> {
        let after = self.served.map_or(Unbounded, Excluded);
        let round = self.tenants.range((after, Unbounded)).chain(&self.tenants);
        round.map(|(tenant, _)| *tenant).find(|tenant| !paused.contains(tenant))
    }

    fn pop(&mut self, tenant: TenantId, share: usize) -> Vec<JobId> {
        let Some(jobs) = self.tenants.get_mut(&tenant) else { return Vec::new() };
        let popped = std::iter::from_fn(|| jobs.pop_first()).take(share).map(|(_, job)| job).collect();
        if jobs.is_empty() {
            self.tenants.remove(&tenant);
        }
        popped
    }
}
