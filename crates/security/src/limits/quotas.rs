//! Which limit is whose, as it can be changed while requests come.

use std::collections::HashMap;
use std::sync::Arc;

use shared_core::TenantId;

use super::limit::Quota;
use super::{Key, Limit, Rule};
use crate::Error;

/// Whose limit is changed. The nearest counts: a tenant's own, else that of its plan, else everybody's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Whose {
    /// Everybody's who has no other.
    Everybody,
    /// That of the tenants on this plan.
    Plan(String),
    /// That of this tenant.
    Tenant(TenantId),
}

/// Tenants and plans at most that are told apart, so that a mistake in a loop does not eat the memory: some 20 MB.
const MOST_ENTRIES: usize = 100_000;

/// All limits at one moment.
#[derive(Clone)]
pub(super) struct Quotas {
    /// Grows with each change.
    pub(super) epoch: u64,
    rules: Vec<Quotaset>,
    plans: HashMap<TenantId, Arc<str>>,
}

#[derive(Clone)]
struct Quotaset {
    everybody: Quota,
    plans: HashMap<Arc<str>, Quota>,
    tenants: HashMap<TenantId, Quota>,
}

impl Quotas {
    pub(super) fn new(rules: &[Rule]) -> Result<Self, Error> {
        let everybody = |rule: &Rule| {
            let everybody = quota(rule, rule.limit())?;
            Ok(Quotaset { everybody, plans: HashMap::new(), tenants: HashMap::new() })
        };
        let rules = rules.iter().map(everybody).collect::<Result<_, Error>>()?;
        Ok(Self { epoch: 0, rules, plans: HashMap::new() })
    }

    /// What one rule grants to whoever asks.
    #[inline]
    pub(super) fn of(&self, rule: usize, key: &Key<'_>) -> Quota {
        let Some(set) = self.rules.get(rule) else { return Quota::Bucket { interval: 1, burst: 0 } };
        if set.tenants.is_empty() && set.plans.is_empty() {
            return set.everybody;
        }
        let own = key.of_tenant().and_then(|tenant| {
            let of_plan = || set.plans.get(self.plans.get(&tenant)?);
            set.tenants.get(&tenant).or_else(of_plan)
        });
        own.copied().unwrap_or(set.everybody)
    }

    pub(super) fn set(&mut self, rule: usize, whose: &Whose, quota: Quota) -> Result<(), Error> {
        self.epoch += 1;
        let Some(set) = self.rules.get_mut(rule) else { return Ok(()) };
        match whose {
            Whose::Everybody => set.everybody = quota,
            Whose::Plan(plan) => drop(set.plans.insert(plan.as_str().into(), quota)),
            Whose::Tenant(tenant) => drop(set.tenants.insert(*tenant, quota)),
        }
        self.check_size()
    }

    pub(super) fn clear(&mut self, rule: usize, whose: &Whose, everybody: Quota) {
        self.epoch += 1;
        let Some(set) = self.rules.get_mut(rule) else { return };
        match whose {
            Whose::Everybody => set.everybody = everybody,
            Whose::Plan(plan) => drop(set.plans.remove(plan.as_str())),
            Whose::Tenant(tenant) => drop(set.tenants.remove(tenant)),
        }
    }

    pub(super) fn assign(&mut self, tenant: TenantId, plan: Option<&str>) -> Result<(), Error> {
        self.epoch += 1;
        match plan {
            Some(plan) => drop(self.plans.insert(tenant, plan.into())),
            None => drop(self.plans.remove(&tenant)),
        }
        self.check_size()
    }

    fn check_size(&self) -> Result<(), Error> {
        let entries: usize = self.rules.iter().map(|set| set.plans.len() + set.tenants.len()).sum();
        match entries + self.plans.len() <= MOST_ENTRIES {
            true => Ok(()),
            false => Err(Error::limits(
                "",
                "100,000 tenants and plans have limits of their own, which is the most",
            )),
        }
    }
}

/// The limit of a rule, checked.
pub(super) fn quota(rule: &Rule, limit: Limit) -> Result<Quota, Error> {
    limit.quota().map_err(|reason| Error::limits(rule.name(), reason))
}
