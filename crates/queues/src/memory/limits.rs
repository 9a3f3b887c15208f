//! Limits: what is set, and what is used. Each key of a name counts by itself, over all queues.

use std::collections::BTreeMap;
use std::time::Duration;

use super::clock::Moment;
use crate::limit::{Limit, LimitKey, LimitStatus, Rate};

/// A name and, for one key of it, the key.
type Name = (String, Option<String>);

#[derive(Default)]
pub(super) struct Limits {
    set: BTreeMap<Name, Limit>,
    used: BTreeMap<Name, Use>,
    /// Until when nothing passes.
    held: BTreeMap<Name, Moment>,
}

/// The use of one limit.
#[derive(Clone, Copy, Default)]
pub(super) struct Use {
    pub(super) running: u64,
    pub(super) bucket: Bucket,
}

/// A token bucket, known by the moment at which it is full again: each token that is taken puts it off.
#[derive(Clone, Copy, Default)]
pub(super) struct Bucket {
    full_at: Moment,
}

impl Bucket {
    /// How many tokens are in it. Parts of one count as nothing.
    pub(super) fn tokens(self, rate: Rate, now: Moment) -> u64 {
        let missing = self.missing(now).as_nanos().div_ceil(interval(rate).as_nanos());
        u64::from(rate.burst).saturating_sub(u64::try_from(missing).unwrap_or(u64::MAX))
    }

    pub(super) fn take(&mut self, rate: Rate, tokens: u32, now: Moment) {
        self.full_at = self.full_at.max(now).saturating_add(interval(rate).saturating_mul(tokens));
    }

    fn missing(self, now: Moment) -> Duration {
        self.full_at.saturating_sub(now)
    }
}

/// From one token to the next.
fn interval(rate: Rate) -> Duration {
    (rate.period / rate.count.max(1)).max(Duration::from_nanos(1))
}

impl Limits {
    pub(super) fn set(&mut self, name: &str, key: Option<&str>, limit: Option<Limit>) {
        match limit {
            Some(limit) => self.set.insert(name_of(name, key), limit),
            None => self.set.remove(&name_of(name, key)),
        };
    }

    pub(super) fn hold(&mut self, name: &str, key: Option<&str>, until: Moment) {
        self.held.insert(name_of(name, key), until);
    }

    /// Whether one more may pass all of these.
    pub(super) fn have_room(&self, keys: &[LimitKey], now: Moment) -> bool {
        keys.iter().map(Name::from).all(|name| self.has_room(&name, now))
    }

    fn has_room(&self, name: &Name, now: Moment) -> bool {
        if self.held_until(name) > now {
            return false;
        }
        let Some(limit) = self.setting(name) else { return true };
        let used = self.used.get(name).copied().unwrap_or_default();
        limit.concurrency.is_none_or(|most| used.running < u64::from(most))
            && limit.rate.is_none_or(|rate| used.bucket.tokens(rate, now) > 0)
    }

    /// One passes all of these.
    pub(super) fn take(&mut self, keys: &[LimitKey], now: Moment) {
        for name in keys.iter().map(Name::from) {
            let rate = self.setting(&name).and_then(|limit| limit.rate);
            let used = self.used.entry(name).or_default();
            used.running += 1;
            if let Some(rate) = rate {
                used.bucket.take(rate, 1, now);
            }
        }
    }

    /// One of those that passed is back. Its tokens are spent.
    pub(super) fn give_back(&mut self, keys: &[LimitKey], now: Moment) {
        for name in keys.iter().map(Name::from) {
            if let Some(used) = self.used.get_mut(&name) {
                used.running = used.running.saturating_sub(1);
            }
        }
        self.forget(now);
    }

    /// Forgets what makes no difference any more.
    fn forget(&mut self, now: Moment) {
        self.used.retain(|_, used| used.running > 0 || used.bucket.full_at > now);
        self.held.retain(|_, until| *until > now);
    }

    pub(super) fn all(&self, now: Moment) -> Vec<LimitStatus> {
        let mut names: Vec<&Name> = self.set.keys().chain(self.used.keys()).chain(self.held.keys()).collect();
        names.sort();
        names.dedup();
        names.into_iter().map(|name| self.status(name, now)).collect()
    }

    fn status(&self, name: &Name, now: Moment) -> LimitStatus {
        let limit = self.setting(name);
        let used = self.used.get(name).copied().unwrap_or_default();
        let held_for = self.held_until(name).saturating_sub(now);
        LimitStatus {
            name: name.0.clone(),
            key: name.1.clone(),
            of_queue: false,
            limit,
            running: used.running,
            tokens: limit.and_then(|limit| limit.rate).map(|rate| used.bucket.tokens(rate, now) as f64),
            held_for: (!held_for.is_zero()).then_some(held_for),
        }
    }

    /// What is set for this key, or else for all keys of the name.
    fn setting(&self, name: &Name) -> Option<Limit> {
        self.set.get(name).or_else(|| self.set.get(&(name.0.clone(), None))).copied()
    }

    /// A hold of a name holds all its keys.
    fn held_until(&self, name: &Name) -> Moment {
        let until = |name| self.held.get(name).copied().unwrap_or_default();
        until(name).max(until(&(name.0.clone(), None)))
    }
}

fn name_of(name: &str, key: Option<&str>) -> Name {
    (name.to_owned(), key.map(str::to_owned))
}

impl From<&LimitKey> for Name {
    fn from(key: &LimitKey) -> Self {
        name_of(&key.name, key.key.as_deref())
    }
}
