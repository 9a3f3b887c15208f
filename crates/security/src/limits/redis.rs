use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared_db::redis::{Call, Redis, Script};

use super::level::Level;
use super::limit::Quota;
use super::remote::Remote;
use super::store::{Ask, LimitStore, OnOutage, Outage, Taken};
use super::{By, Rule};
use crate::Error;

static TAKE: Script = Script::new("take_limits", include_str!("take.lua"));

/// Limits of all processes that share a Redis.
///
/// - **One round trip** for all rules of a limiter, and none for a denial that is known. The script decides on all of them
///   or on none, by the server's clock: what the clocks of the processes say does not matter.
/// - **Keys** are the prefix, a hash tag, the name of the rule and a digest: 89 bytes and the prefix at most, whatever callers
///   send. They expire when nothing is left to be remembered.
/// - **In a cluster** all rules of a limiter lie in one slot, by the parts that all of them name: rules by tenant and principal,
///   and by tenant, lie where the tenant does. Rules with nothing in common, as by address and by tenant, are refused;
///   make two limiters of them, of which the first to deny has taken nothing from the second.
/// - **When it gives no answer** within the [time-out](Self::timeout), the choice of [`OnOutage`] holds.
///
/// What Redis forgets is granted again: after a failover to a replica that had not heard of it, or a restart without a disk,
/// each key gets at most one more burst, or one more window's count. A server whose clock is set back by some time lets
/// buckets drain from then on, so nobody gains; one that is set forward grants what it skips, at most one more burst.
pub struct RedisLimits {
    redis: Redis,
    prefix: String,
    remote: Remote,
}

impl RedisLimits {
    /// Limits in this Redis, and what becomes of requests without it.
    pub fn new(redis: Redis, on_outage: OnOutage) -> Self {
        Self { redis, prefix: "limits:".to_owned(), remote: Remote::new(on_outage) }
    }

    /// What all keys begin with: `limits:` unless said otherwise. Limiters with rules of the same name share what is used,
    /// if they have the same prefix. It has no braces, which would be a hash tag.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long a decision may take: 250 ms unless said otherwise, many times what a healthy Redis needs.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.remote = self.remote.with_timeout(timeout);
        self
    }

    fn call(&self, asks: &[Ask<'_>], cost: u64) -> Call {
        let common: Vec<By> = asks.first().map_or_else(Vec::new, |first| {
            let in_all = |part: &&By| asks.iter().all(|ask| ask.rule.by().contains(part));
            first.rule.by().iter().filter(in_all).copied().collect()
        });
        let keys: Vec<String> = asks.iter().map(|ask| self.name(ask, &common)).collect();
        let call = TAKE.keys(keys.iter()).arg(cost);
        asks.iter().fold(call, |call, ask| match ask.quota {
            Quota::Bucket { interval, burst } => call.arg("b").arg(interval).arg(burst),
            Quota::Window { seconds, count } => call.arg("w").arg(u64::from(seconds) * 1000).arg(count),
        })
    }

    fn name(&self, ask: &Ask<'_>, common: &[By]) -> String {
        let tag = ask.key.digest("slot", common);
        let parts = ask.key.digest(ask.rule.name(), ask.rule.by());
        // Half a digest spreads slots well enough; the whole one tells keys apart.
        let (tag, parts) = (URL_SAFE_NO_PAD.encode(&tag[..8]), URL_SAFE_NO_PAD.encode(parts));
        format!("{}{{{tag}}}{}:{parts}", self.prefix, ask.rule.name())
    }
}

impl LimitStore for RedisLimits {
    const IS_REMOTE: bool = true;

    fn accept(&self, rules: &[Rule]) -> Result<(), Error> {
        if self.prefix.contains(['{', '}']) {
            return Err(Error::limits("", "the prefix of keys has no braces: they would be a hash tag"));
        }
        let Some((first, others)) = rules.split_first() else { return Ok(()) };
        let in_all = |part: &By| others.iter().all(|rule| rule.by().contains(part));
        if self.redis.is_cluster() && !others.is_empty() && !first.by().iter().any(in_all) {
            let reason =
                "in a Redis Cluster all rules of a limiter have a part in common; make two limiters of them";
            return Err(Error::limits(first.name(), reason));
        }
        Ok(())
    }

    async fn take(&self, asks: &[Ask<'_>], cost: u64) -> Result<Taken, Outage> {
        let call = self.call(asks, cost);
        let answer: Vec<i64> = self.remote.answer(self.redis.script(&call)).await?;
        let mut numbers = answer.into_iter().map(i64::unsigned_abs);
        let all = numbers.next() == Some(1);
        let mut before = [None; super::MOST_RULES];
        for (level, ask) in before.iter_mut().zip(asks) {
            let (Some(x), Some(y), Some(z)) = (numbers.next(), numbers.next(), numbers.next()) else { break };
            *level = Some(Level::answered(ask.quota, [x, y, z]));
        }
        Ok(Taken { all, before })
    }
}

impl fmt::Debug for RedisLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisLimits({}*, {:?})", self.prefix, self.remote)
    }
}
