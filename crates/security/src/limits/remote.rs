//! What stores have in common that are a round trip away: a deadline, and a choice for when nothing comes back.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::store::{OnOutage, Outage};

/// Redis and Postgres answer in a few milliseconds where they are well; no request should wait longer for its turn than
/// for its work.
const TIMEOUT: Duration = Duration::from_millis(250);

pub(super) struct Remote {
    timeout: Duration,
    on_outage: OnOutage,
    is_down: AtomicBool,
}

impl Remote {
    pub(super) fn new(on_outage: OnOutage) -> Self {
        Self { timeout: TIMEOUT, on_outage, is_down: AtomicBool::new(false) }
    }

    pub(super) fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The answer, if it comes in time. The log hears of the first that does not, and of the first that does again.
    pub(super) async fn answer<T>(
        &self,
        work: impl Future<Output = Result<T, shared_db::Error>>,
    ) -> Result<T, Outage> {
        let answer = tokio::time::timeout(self.timeout, work).await;
        let is_down = !matches!(answer, Ok(Ok(_)));
        if self.is_down.swap(is_down, Ordering::Relaxed) != is_down {
            match &answer {
                Ok(Ok(_)) => tracing::info!("the store of limits answers again"),
                Ok(Err(error)) => {
                    tracing::error!(%error, otherwise = ?self.on_outage, "the store of limits fails")
                }
                Err(_) => {
                    tracing::error!(timeout = ?self.timeout, otherwise = ?self.on_outage, "the store of limits is late");
                }
            }
        }
        answer.ok().and_then(Result::ok).ok_or(Outage(self.on_outage))
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} after {:?}", self.on_outage, self.timeout)
    }
}
