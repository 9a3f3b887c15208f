//! Limits, and how much of them is used.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures_util::future::try_join_all;

use super::codec::{self, limit_name};
use super::limits::Rule;
use super::scripts::{BUCKET, USES};
use super::{RedisBackend, STEP};
use crate::Error;
use crate::limit::{Limit, LimitPlace, LimitStatus};

/// Limit, jobs, tokens leased by the queue; limit, milliseconds held; the queue's own limit, its jobs, its tokens as text.
type Uses = (Vec<(Vec<u8>, u64, f64)>, Vec<(Vec<u8>, u64)>, Vec<u8>, u64, f64);

/// Limits in use that are looked at in each queue, whichever they are: some milliseconds.
const LOOKED_AT: u32 = 10_000;

/// Where the limit begins in a rule: behind the version and the mark that it is set.
const RULE_HEAD: usize = 9;

impl RedisBackend {
    pub(super) async fn all_limits(
        &self,
        after: Option<&LimitPlace>,
        most: u32,
    ) -> Result<Vec<LimitStatus>, Error> {
        let rules: HashMap<Vec<u8>, Limit> =
            self.all_rules().await?.into_iter().filter_map(|rule| limit_of(&rule)).collect();
        let mut all: BTreeMap<Vec<u8>, LimitStatus> =
            rules.keys().map(|id| (id.clone(), unused(id))).collect();
        let mut of_queues = Vec::new();
        for queue in self.names().await? {
            let (uses, holds, own, running, tokens): Uses =
                self.run(self.on(&USES, &queue).arg(LOOKED_AT)).await?;
            for (id, running, tokens) in uses {
                let status = all.entry(id.clone()).or_insert_with(|| unused(&id));
                status.running += running;
                status.tokens = Some(status.tokens.unwrap_or_default() + tokens);
            }
            for (id, left) in holds {
                let status = all.entry(id.clone()).or_insert_with(|| unused(&id));
                status.held_for = status.held_for.max(Some(Duration::from_millis(left)));
            }
            if let Some(limit) = codec::read_limit(&own) {
                let tokens = limit.rate.map(|_| tokens);
                let status = unused(queue.as_bytes());
                of_queues.push(LimitStatus { of_queue: true, limit: Some(limit), running, tokens, ..status });
            }
        }
        let is_next = |status: &LimitStatus| after.is_none_or(|after| status.place() > *after);
        all.retain(|id, status| {
            is_next(status) && (rules.contains_key(id) || status.running > 0 || status.held_for.is_some())
        });
        of_queues.retain(is_next);
        let kept: Vec<(Vec<u8>, LimitStatus)> = all.into_iter().take(most as usize).collect();
        let mut found = Vec::with_capacity(kept.len());
        for some in kept.chunks(STEP) {
            let filled = some.iter().map(|(id, status)| self.with_bucket(id, status.clone(), &rules));
            found.extend(try_join_all(filled).await?);
        }
        of_queues.extend(found);
        of_queues.truncate(most as usize);
        Ok(of_queues)
    }

    /// With its limit, and what is in its bucket besides the tokens that queues have leased.
    async fn with_bucket(
        &self,
        id: &[u8],
        status: LimitStatus,
        rules: &HashMap<Vec<u8>, Limit>,
    ) -> Result<LimitStatus, Error> {
        let name = status.name.as_bytes();
        let limit = rules.get(id).or_else(|| rules.get(name)).copied();
        let tokens = match limit.and_then(|limit| limit.rate) {
            None => None,
            Some(rate) => {
                let text: String = self.run(BUCKET.keys([self.keys.limit(id)])).await?;
                Some(text.parse().unwrap_or(f64::from(rate.burst)) + status.tokens.unwrap_or_default())
            }
        };
        Ok(LimitStatus { limit, tokens, ..status })
    }
}

/// The limit of a rule, unless that is a hold, or says that the limit was removed.
fn limit_of((kind, id, rule): &Rule) -> Option<(Vec<u8>, Limit)> {
    let (head, limit) = rule.split_at_checked(RULE_HEAD)?;
    let is_set = kind == "s" && head.ends_with(b"1");
    Some((id.clone(), is_set.then(|| codec::read_limit(limit))??))
}

fn unused(id: &[u8]) -> LimitStatus {
    let (name, key) = limit_name(id);
    LimitStatus { name, key, of_queue: false, limit: None, running: 0, tokens: None, held_for: None }
}
