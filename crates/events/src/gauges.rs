//! How the subscriptions stand, as gauges.

use std::sync::LazyLock;
use std::time::Duration;

use opentelemetry::metrics::Gauge;
use shared_db::Db;

use crate::operate::Subscriptions;
use crate::{Error, metrics};

/// Made at the first look, when a program has long installed its provider.
static GAUGES: LazyLock<Gauges> = LazyLock::new(Gauges::new);

struct Gauges {
    waiting: Gauge<u64>,
    oldest: Gauge<f64>,
    parked: Gauge<u64>,
    dead: Gauge<u64>,
}

impl Gauges {
    fn new() -> Self {
        let meter = opentelemetry::global::meter("shared_events");
        let count = |name: &'static str, what: &'static str| {
            meter.u64_gauge(name).with_description(what).with_unit("{event}").build()
        };
        Self {
            waiting: count(
                "events.subscription.waiting",
                "committed events that a subscription has not passed",
            ),
            oldest: meter
                .f64_gauge("events.subscription.oldest")
                .with_description(
                    "age of the oldest event that a subscription has not passed, by the server's clock",
                )
                .with_unit("s")
                .build(),
            parked: count("events.subscription.parked", "events put aside, with those that wait behind them"),
            dead: count("events.subscription.dead", "keys that wait for an operator"),
        }
    }
}

/// How often a relay or an intake looks: as often as collectors usually do.
pub(crate) const EVERY: Duration = Duration::from_secs(15);

/// Looks after the gauges of a subscription until it is dropped.
pub(crate) async fn keep(db: &Db, subscription: &str) {
    loop {
        if let Err(error) = record(db, subscription).await {
            tracing::debug!(subscription, "how the subscription stands is not known: {error}");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Looks at one subscription, and records what is seen; what it reads is bounded by what [`Subscriptions::status`] counts.
pub(crate) async fn record(db: &Db, subscription: &str) -> Result<(), Error> {
    let Some(status) = Subscriptions::new(db).subscription(subscription).status().await? else {
        return Ok(());
    };
    let name = metrics::subscription(subscription);
    GAUGES.waiting.record(status.waiting, &name);
    GAUGES.oldest.record(status.oldest.unwrap_or_default().as_secs_f64(), &name);
    GAUGES.parked.record(status.parked, &name);
    GAUGES.dead.record(status.dead, &name);
    Ok(())
}
