//! How a transaction is opened, and when it is run again.

use std::time::Duration;

use shared_core::Backoff;

use crate::error::Error;
use crate::metrics::METRICS;
use crate::tenant::Tenant;
use crate::tenant_tx::TenantTx;

/// What a transaction sees of others that run at the same time.
///
/// <https://www.postgresql.org/docs/current/transaction-iso.html>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isolation {
    /// Each statement sees what was committed before it began. The server's usual level.
    #[default]
    ReadCommitted,
    /// All statements see what was committed before the first one; a row that somebody else has changed since can't be
    /// changed.
    RepeatableRead,
    /// As if transactions ran one after the other. Some are refused, and must be run again.
    Serializable,
}

/// What stands behind BEGIN.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mode {
    pub(crate) isolation: Isolation,
    pub(crate) read_only: bool,
}

impl Mode {
    pub(crate) fn begin(self) -> &'static str {
        match (self.isolation, self.read_only) {
            (Isolation::ReadCommitted, false) => "BEGIN",
            (Isolation::ReadCommitted, true) => "BEGIN READ ONLY",
            (Isolation::RepeatableRead, false) => "BEGIN ISOLATION LEVEL REPEATABLE READ",
            (Isolation::RepeatableRead, true) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            (Isolation::Serializable, false) => "BEGIN ISOLATION LEVEL SERIALIZABLE",
            (Isolation::Serializable, true) => "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY",
        }
    }
}

/// Attempts at most. A transaction that has lost to others this often needs another design, such as locking its rows in
/// one order.
const ATTEMPTS: u32 = 8;

/// Between attempts: about as long as those take to whom it has lost.
const PAUSE: Backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(500));

/// Transactions that are run again where the server asks for it: after a serialisation failure, a deadlock, or a change
/// of a table under a prepared statement. See [`Tenant::retrying`].
///
/// Each repetition is logged and counted (`db.client.transaction.retries`). An unknown outcome is never repeated.
#[derive(Clone, Debug)]
pub struct Retrying {
    tenant: Tenant,
}

impl Retrying {
    pub(crate) fn new(tenant: Tenant) -> Self {
        Self { tenant }
    }

    /// Runs `work` in a transaction and commits if it returns `Ok`; up to 8 times, each with a clone of `work`. What it
    /// does outside of the transaction is done as often.
    ///
    /// # Errors
    /// As [`Tenant::tx`]; after the last attempt those of that one.
    pub async fn tx<T, E: From<Error>>(
        &self,
        work: impl AsyncFnOnce(&mut TenantTx) -> Result<T, E> + Clone,
    ) -> Result<T, E> {
        for attempt in 1..ATTEMPTS {
            let mut tx = self.tenant.begin().await?;
            let done = work.clone()(&mut tx).await;
            if !tx.lost() {
                match (tx, done) {
                    (tx, Ok(done)) => match tx.commit().await {
                        Err(error) if error.is_conflict() || error.is_stale() => {}
                        committed => return committed.map(|()| done).map_err(E::from),
                    },
                    (tx, Err(error)) => {
                        tx.rollback().await;
                        return Err(error);
                    }
                }
            } else {
                tx.rollback().await;
            }
            repeated(attempt);
            tokio::time::sleep(PAUSE.delay(attempt)).await;
        }
        self.tenant.tx(work).await
    }
}

fn repeated(attempt: u32) {
    METRICS.retries.add(1, &[]);
    tracing::info!(attempt, "a transaction has lost to others and is run again");
}
