use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use shared_db::redis::cmd;

use super::RedisBackend;

/// How long before the caller's patience ends the server gives up: so the connection is used again, and not closed.
const MARGIN: Duration = Duration::from_millis(50);

/// A server that has nothing else to do looks ten times a second whose time is over, so it listens no shorter than this. Whoever asks for
/// less waits longer, and hears of a job at once: a pause without listening would let it lie until the end.
const SHORTEST: Duration = Duration::from_millis(100);

impl RedisBackend {
    /// Waits for the marker that an enqueue leaves, on a connection of its own; in a cluster one for each queue.
    pub(super) async fn wait_for_wake(&self, queues: &[Arc<str>], most: Duration) {
        let end = tokio::time::Instant::now() + most;
        let most = most.max(SHORTEST);
        if !queues.is_empty() {
            // Keys of several queues lie on several nodes of a cluster.
            let at_once = if self.redis.is_cluster() { 1 } else { queues.len() };
            let mut waits: FuturesUnordered<_> =
                queues.chunks(at_once).map(|some| self.blocked(some, most - MARGIN)).collect();
            while let Some(is_awake) = waits.next().await {
                if is_awake {
                    return;
                }
            }
        }
        tokio::time::sleep_until(end).await;
    }

    /// Whether there was a marker. Without a connection there is none.
    async fn blocked(&self, queues: &[Arc<str>], most: Duration) -> bool {
        let Ok(mut connection) = self.redis.get().await else { return false };
        let mut pop = cmd("BLPOP");
        queues.iter().for_each(|queue| {
            pop.arg(self.keys.wake(queue));
        });
        pop.arg(most.as_secs_f64());
        let marker: Result<Option<(Vec<u8>, Vec<u8>)>, _> = connection.wait(&pop, most).await;
        marker.is_ok_and(|marker| marker.is_some())
    }
}
