use std::sync::Arc;
use std::time::Duration;

use shared_queues::{QueueStatus, Queues};
use shared_telemetry::Checks;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::Config;

/// After a look, so many times as long as it took nobody looks again: counting long queues takes time, and a hundredth of it is
/// not noticed.
const REST: u32 = 100;

/// Adds a check that says when jobs are late, and that keeps nothing from being ready: requests are not what is late.
pub(super) fn check(checks: Checks, queues: &Queues, config: &Config) -> Checks {
    let (depth, age) = (config.queue_depth, config.queue_age);
    let (queues, last) = (queues.clone(), Arc::new(Mutex::new(None::<Look>)));
    checks.degraded("queues", move || {
        let (queues, last) = (queues.clone(), last.clone());
        async move {
            let mut last = last.lock().await;
            if let Some(look) = last.as_ref().filter(|look| Instant::now() < look.good_until) {
                return look.result.clone();
            }
            let began = Instant::now();
            let result = match queues.status().await {
                Ok(all) => all.iter().try_for_each(|queue| in_time(queue, depth, age)),
                Err(error) => Err(error.to_string()),
            };
            let rest = (began.elapsed() * REST).min(age);
            *last = Some(Look { result: result.clone(), good_until: Instant::now() + rest });
            result
        }
    })
}

struct Look {
    result: Result<(), String>,
    good_until: Instant,
}

/// Why the queue is late, if it is.
fn in_time(status: &QueueStatus, depth: u64, age: Duration) -> Result<(), String> {
    let QueueStatus { queue, ready, paused, .. } = status;
    let paused = if *paused { "; it is paused" } else { "" };
    if *ready > depth {
        return Err(format!("queue `{queue}`: {ready} jobs are ready, more than {depth}{paused}"));
    }
    match status.oldest.filter(|oldest| *oldest > age) {
        Some(oldest) => {
            let seconds = oldest.as_secs();
            Err(format!("queue `{queue}`: a job has been ready for {seconds} s, longer than {age:?}{paused}"))
        }
        None => Ok(()),
    }
}
