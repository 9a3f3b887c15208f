use std::sync::Arc;
use std::time::Duration;

use shared_db::Db;
use shared_events::{SubscriptionStatus, Subscriptions};
use shared_telemetry::Checks;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Deliveries;
use crate::Config;

/// After a look, so many times as long as it took nobody looks again: counting what waits takes time, and a hundredth of it is not
/// noticed.
const REST: u32 = 100;

/// Adds a check that says when the events of these subscriptions are late, and that keeps nothing from being ready: requests are not what
/// is late.
pub(crate) fn check(
    checks: Checks,
    db: &Db,
    names: impl Iterator<Item = String>,
    deliveries: &Deliveries,
    config: &Config,
) -> Checks {
    let look = Arc::new(Look {
        subscriptions: Subscriptions::new(db),
        names: names.collect(),
        deliveries: deliveries.clone(),
        age: config.event_age,
    });
    let last = Arc::new(Mutex::new(None::<Looked>));
    checks.degraded("events", move || {
        let (look, last) = (look.clone(), last.clone());
        async move {
            let mut last = last.lock().await;
            if let Some(looked) = last.as_ref().filter(|looked| Instant::now() < looked.good_until) {
                return looked.result.clone();
            }
            let began = Instant::now();
            let result = look.now().await;
            let rest = (began.elapsed() * REST).min(look.age);
            *last = Some(Looked { result: result.clone(), good_until: Instant::now() + rest });
            result
        }
    })
}

struct Looked {
    result: Result<(), String>,
    good_until: Instant,
}

struct Look {
    subscriptions: Subscriptions,
    /// Programs with others may work on the same database.
    names: Vec<String>,
    deliveries: Deliveries,
    age: Duration,
}

impl Look {
    async fn now(&self) -> Result<(), String> {
        let all = self.subscriptions.status().await.map_err(|error| error.to_string())?;
        for subscription in all.iter().filter(|one| self.names.contains(&one.name)) {
            in_time(subscription, self.age)?;
        }
        let unread = self.deliveries.unread().await.map_err(|error| error.to_string())?;
        match unread.oldest.filter(|oldest| *oldest > self.age) {
            Some(oldest) => Err(format!("the broker: {}", waited(oldest, self.age))),
            None => Ok(()),
        }
    }
}

/// Why the subscription is late, if it is.
fn in_time(status: &SubscriptionStatus, age: Duration) -> Result<(), String> {
    let SubscriptionStatus { name, paused, relays, .. } = status;
    let why = match (paused, relays) {
        (true, _) => "; it is paused",
        (false, 0) => "; no relay works on it",
        (false, _) => "",
    };
    match status.oldest.filter(|oldest| *oldest > age) {
        Some(oldest) => Err(format!("subscription `{name}`: {}{why}", waited(oldest, age))),
        None => Ok(()),
    }
}

fn waited(oldest: Duration, age: Duration) -> String {
    format!("an event has waited for {} s, longer than {age:?}", oldest.as_secs())
}
