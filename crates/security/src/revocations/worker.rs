use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use opentelemetry::global;
use opentelemetry::metrics::Gauge;
use shared_core::{Backoff, Clock};
use shared_db::{Db, Listener, Notice};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::postgres::CHANNEL;
use super::store::Store;
use super::{Inner, MARGIN, RevocationConfig, Revocations, seconds};
use crate::Error;
use crate::trail::Trail;

/// Between attempts at a store that is away; a poll interval that is shorter holds.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));

/// The task that keeps a view of revocations up to date. [`stop`](Self::stop) ends it; dropping it does as well.
pub struct RevocationWorker {
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Revocations {
    /// Revocations in the table of this database: `Sessions` writes them in the transactions that end sessions.
    ///
    /// Reads everything before it returns. Notifications make it faster than the poll interval; where there are none, such as
    /// behind a pooler without an address of the server itself, polling alone keeps the second.
    ///
    /// # Errors
    /// [`Error::Database`] if the table can't be read.
    pub async fn over_postgres(db: Db, config: RevocationConfig) -> Result<(Self, RevocationWorker), Error> {
        let listener = match db.listen(&[CHANNEL]).await {
            Ok(listener) => Some(listener),
            Err(error @ shared_db::Error::Config(_)) => {
                tracing::info!(%error, "revocations are found by polling alone");
                None
            }
            Err(error) => return Err(error.into()),
        };
        Self::start(Store::Postgres(db), config, listener).await
    }

    /// Revocations in a stream of this Redis, `shared_security:revocations`.
    ///
    /// Redis acknowledges what its replicas may not have yet. What a failover loses stays refused by the instance that revoked it
    /// and by those that had read it, which takes a poll interval; those that start later never hear of it, unless it is
    /// [revoked](Self::revoke) again. While no master answers, `revoke` is an error, and a retry writes it to the next one.
    /// Clocks of servers may differ by 5 seconds. Where that is too much, use the database.
    ///
    /// # Errors
    /// [`Error::Database`] if the stream can't be read.
    #[cfg(feature = "redis")]
    pub async fn over_redis(
        redis: shared_db::redis::Redis,
        config: RevocationConfig,
    ) -> Result<(Self, RevocationWorker), Error> {
        Self::start(Store::Redis(redis), config, None).await
    }

    async fn start(
        store: Store,
        config: RevocationConfig,
        listener: Option<Listener>,
    ) -> Result<(Self, RevocationWorker), Error> {
        let mut inner = Inner::new(config, Clock::system());
        inner.store = Some(store);
        let revocations = Self(Arc::new(inner), Trail::default());
        let mut cursor = String::new();
        revocations.read(&mut cursor).await?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(revocations.clone().follow(cursor, listener, stop.clone()));
        Ok((revocations, RevocationWorker { stop, task: AbortOnDropHandle::new(task) }))
    }

    /// Reads again and again, until it is stopped.
    async fn follow(self, mut cursor: String, mut listener: Option<Listener>, stop: CancellationToken) {
        let mut failures: u32 = 0;
        for turn in 1_u64.. {
            let pause = if failures == 0 {
                self.0.config.poll
            } else {
                self.0.config.poll.min(RETRY.delay(failures))
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = something(listener.as_mut()) => {}
                () = tokio::time::sleep(pause) => {}
            }
            let patience = self.0.config.stale_after.max(Duration::from_secs(1));
            let read = tokio::select! {
                () = stop.cancelled() => return,
                read = tokio::time::timeout(patience, self.read(&mut cursor)) => read,
            };
            match read {
                Ok(Ok(())) => failures = 0,
                failed => {
                    failures = failures.saturating_add(1);
                    // The first one, and then each minute or so: the freshness tells the rest.
                    if failures % 128 == 1 {
                        let reason = failed.map_or("no answer in time".to_owned(), |read| {
                            read.err().map(|error| error.to_string()).unwrap_or_default()
                        });
                        tracing::warn!(reason, "revocations can't be read; what others revoke is not seen");
                    }
                }
            }
            ENTRIES.record(self.len() as u64, &[]);
            AGE.record(self.freshness().as_secs_f64(), &[]);
            // It looks at every entry, and none is in a hurry.
            if turn.is_multiple_of(64) {
                self.0.view.forget_expired(self.now());
            }
        }
    }

    /// Once. What is there already changes nothing.
    async fn read(&self, cursor: &mut String) -> Result<(), Error> {
        let Some(store) = &self.0.store else { return Ok(()) };
        let began = self.0.started.elapsed();
        let found = store.read(cursor, &self.0.config, self.now() + seconds(MARGIN)).await?;
        if found.all_until.is_some_and(|until| self.0.view.refuse_all(until)) {
            self.0.changes.fetch_add(2, Ordering::AcqRel);
        }
        for one in found.stored {
            self.insert(one.entry, one.kind, &one.name);
        }
        if self.is_stale() {
            // The view was counted as half a change while it was stale; the epoch must not go back.
            self.0.changes.fetch_add(2, Ordering::AcqRel);
        }
        self.0.read_at.store(u64::try_from(began.as_millis()).unwrap_or(u64::MAX), Ordering::Release);
        Ok(())
    }
}

static ENTRIES: LazyLock<Gauge<u64>> = LazyLock::new(|| {
    global::meter("shared_security")
        .u64_gauge("security.revocations.entries")
        .with_description("revocations in memory")
        .build()
});

static AGE: LazyLock<Gauge<f64>> = LazyLock::new(|| {
    global::meter("shared_security")
        .f64_gauge("security.revocations.age")
        .with_unit("s")
        .with_description("how long ago revocations were last read from their store")
        .build()
});

/// Returns when somebody has said something, or may have.
async fn something(listener: Option<&mut Listener>) {
    match listener {
        Some(listener) => {
            let (Notice::Notification { .. } | Notice::MayHaveMissed | _) = listener.next().await;
        }
        None => std::future::pending().await,
    }
}

impl RevocationWorker {
    /// Ends the task, and returns when it runs no more. The view stays as it is and grows stale.
    pub async fn stop(self) {
        self.stop.cancel();
        // It ends by this alone.
        let _ = self.task.await;
    }

    /// Whether the task still runs; for a liveness probe.
    pub fn is_running(&self) -> bool {
        !self.task.is_finished()
    }
}

impl fmt::Debug for RevocationWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationWorker").field("is_running", &self.is_running()).finish_non_exhaustive()
    }
}
