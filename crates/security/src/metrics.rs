//! What is counted, through the OpenTelemetry API: without a meter provider it costs nothing and goes nowhere.

use std::sync::LazyLock;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;

use crate::VerifyError;

/// Made at the first use, when a program has long installed its provider.
pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

#[cfg_attr(
    not(all(feature = "jwks", feature = "postgres")),
    allow(dead_code, reason = "a source counts what it needs")
)]
pub(crate) struct Metrics {
    pub(crate) cache_hits: Counter<u64>,
    pub(crate) cache_misses: Counter<u64>,
    pub(crate) cache_evictions: Counter<u64>,
    refused: Counter<u64>,
    #[cfg(feature = "postgres")]
    pub(crate) views_read: Counter<u64>,
    #[cfg(feature = "postgres")]
    pub(crate) views_dropped: Counter<u64>,
    #[cfg(feature = "postgres")]
    pub(crate) views_stale: Counter<u64>,
    lookups: Counter<u64>,
    pub(crate) stale: Counter<u64>,
    pub(crate) ignored: Counter<u64>,
    refreshes: Counter<u64>,
}

impl Metrics {
    fn new() -> Self {
        let meter = opentelemetry::global::meter("shared_security");
        let counter =
            |name: &'static str, what: &'static str| meter.u64_counter(name).with_description(what).build();
        Self {
            cache_hits: counter("security.token_cache.hits", "tokens that were remembered"),
            cache_misses: counter("security.token_cache.misses", "tokens that were not remembered"),
            cache_evictions: counter("security.token_cache.evictions", "tokens forgotten for want of room"),
            refused: counter("security.tokens.refused", "tokens that were refused, by reason"),
            #[cfg(feature = "postgres")]
            views_read: counter("security.tenants.read", "tenants whose roles and state were read"),
            #[cfg(feature = "postgres")]
            views_dropped: counter("security.tenants.dropped", "tenants dropped from memory for others"),
            #[cfg(feature = "postgres")]
            views_stale: counter(
                "security.tenants.stale",
                "requests refused since changes of tenants could not be looked for",
            ),
            lookups: counter(
                "security.keys.lookups",
                "tokens of unknown keys, by whether their source was asked",
            ),
            stale: counter(
                "security.keys.stale",
                "times that all keys were dropped since their source was silent",
            ),
            ignored: counter("security.keys.ignored", "keys of a JWKS that can't verify tokens here"),
            refreshes: counter(
                "security.keys.refreshes",
                "attempts to read keys from their source, by outcome",
            ),
        }
    }

    pub(crate) fn token_refused(&self, reason: VerifyError) {
        self.refused.add(1, &[KeyValue::new("error.type", reason.name())]);
    }

    pub(crate) fn lookup(&self, outcome: &'static str) {
        self.lookups.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    #[cfg(any(feature = "jwks", feature = "postgres"))]
    pub(crate) fn refresh(&self, source: &'static str, done: bool) {
        let outcome = KeyValue::new("outcome", if done { "done" } else { "failed" });
        self.refreshes.add(1, &[KeyValue::new("source", source), outcome]);
    }
}
