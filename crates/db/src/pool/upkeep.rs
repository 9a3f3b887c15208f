//! Ends connections that are too old, or that nobody has needed for long.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Metrics, Pool as Deadpool};
use tokio::task::AbortHandle;

use crate::config::Config;

/// Between two looks: idle connections are a matter of minutes.
const LOOK: Duration = Duration::from_secs(10);

/// Refuses to lend a connection that has passed its lifetime; the pool opens another.
pub(super) fn refuse_the_old(config: &Config) -> Hook {
    let lifetime = config.pool_lifetime;
    Hook::sync_fn(move |_, metrics: &Metrics| match is_old(metrics.age(), lifetime, share(metrics)) {
        true => Err(HookError::message("it has passed its lifetime")),
        false => Ok(()),
    })
}

/// In seconds: a lifetime without end has no share that is a `Duration`.
fn is_old(age: Duration, lifetime: Duration, share: f64) -> bool {
    age.as_secs_f64() > lifetime.as_secs_f64() * share
}

/// Between 0.9 and 1, different for each connection and always the same for one: those that were opened together, after
/// a restart of the server, do not all end together.
fn share(metrics: &Metrics) -> f64 {
    let mut hasher = DefaultHasher::new();
    metrics.created.hash(&mut hasher);
    1.0 - (hasher.finish() % 1000) as f64 / 10_000.0
}

/// A task that its owner ends by dropping this.
pub(super) struct Upkeep(AbortHandle);

impl Upkeep {
    /// Closes what has been idle for too long, from time to time.
    pub(super) fn start(deadpool: Deadpool, config: &Config) -> Self {
        let idle = config.pool_idle;
        let task = tokio::spawn(async move {
            let mut looks = tokio::time::interval(idle.clamp(Duration::from_millis(1), LOOK));
            loop {
                looks.tick().await;
                deadpool.retain(|_, metrics| metrics.last_used() < idle);
            }
        });
        Self(task.abort_handle())
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_lifetime_may_have_no_end() {
        assert!(!is_old(Duration::from_secs(u64::from(u32::MAX)), Duration::MAX, 1.0));
        assert!(is_old(Duration::from_secs(10), Duration::from_secs(10), 0.95));
    }

    #[test]
    fn connections_that_were_opened_together_end_spread_over_a_tenth_of_their_lifetime() {
        // A pool that is filled after a restart of the server: a connection every few microseconds.
        let opened = Instant::now();
        let metrics = |n: u64| Metrics {
            created: opened + Duration::from_micros(7 * n),
            recycled: None,
            recycle_count: 0,
        };
        let shares: Vec<f64> = (0..1000).map(|n| share(&metrics(n))).collect();
        assert!(shares.iter().all(|share| (0.9..=1.0).contains(share)), "{shares:?}");
        // In each fifth of the span about a fifth of them.
        for fifth in 0..5 {
            let (from, to) = (0.9 + 0.02 * f64::from(fifth), 0.92 + 0.02 * f64::from(fifth));
            let within = shares.iter().filter(|share| (from..to).contains(*share)).count();
            assert!((100..300).contains(&within), "{within} of 1000 between {from} and {to}");
        }
        let different: BTreeSet<u64> = shares.iter().map(|share| (share * 10_000.0) as u64).collect();
        assert!(different.len() > 400, "{} different ends", different.len());
        // Each keeps its own.
        assert!((0..1000).all(|n| share(&metrics(n)) == shares[n as usize]));
    }
}
